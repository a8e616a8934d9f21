"""Fixtures that tests of several packages share, and what the end of a test run says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stack
from harness import recorded

from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not recorded.streams():
        terminalreporter.write_line(f"Left out: comparison with OpenAI's recorded streams; none in {recorded.FOLDER}")
