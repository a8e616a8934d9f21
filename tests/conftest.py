"""Fixtures that tests of several packages share, and what the end of a test run says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import campaigns
import databases
import hypothesis
import pytest
import stack
from harness import recorded
from postgres import Postgres

from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder
from tools_runtime.stores.database import Database

# On a busy machine making the input takes long, and that says nothing about what is tested.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def web_stack() -> Iterator[stack.WebStack]:
    """Real sites, a real engine over them and a real SearXNG, on loopback ports."""
    with stack.running() as running:
        yield running


@pytest.fixture(scope="session")
def embedder() -> Iterator[SentenceTransformerEmbedder]:
    """The packaged model, loaded once."""
    embedder = SentenceTransformerEmbedder()
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the tests' own."""
    with Postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tables(postgres: Postgres) -> Iterator[str]:
    """The URL of a PostgreSQL database with the tables and nothing in them, to be copied."""

    async def fill(url: str) -> None:
        database = Database(url)
        await database.open()
        await database.close()

    with postgres.database() as url:
        asyncio.run(fill(url))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database: a file, and another time one of a PostgreSQL server."""
    if request.param == "sqlite":
        yield databases.url(tmp_path)
    else:
        tables = request.getfixturevalue("postgres_tables")
        with request.getfixturevalue("postgres").database(tables) as url:
            yield url


@pytest.fixture
def each_database(database_url: str, tmp_path: Path) -> Iterator[None]:
    """Runs a test once with each kind of database in its folder."""
    with databases.assigned(tmp_path, database_url):
        yield


@pytest.fixture
def campaign(pytestconfig: pytest.Config) -> campaigns.Campaign:
    """For tests marked ``campaign``: how long to go on, and with which seed."""
    return campaigns.of(pytestconfig)


def pytest_addoption(parser: pytest.Parser) -> None:
    campaigns.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    campaigns.settle_seed(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    campaigns.tell(node.workerinput, node.config)


def pytest_report_header(config: pytest.Config) -> str:
    given = campaigns.of(config)
    return f"campaigns: {given.seconds:g} s each, --campaign-seed={given.seed}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not recorded.streams():
        terminalreporter.write_line(f"Left out: comparison with OpenAI's recorded streams; none in {recorded.FOLDER}")
