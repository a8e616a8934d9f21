"""One server with all three hosted tools real, and a model that says what each test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import sandboxes
import stack

from e2e.bookkeeping import Embeddings
from e2e.servers import Model, Server, serving, settings

pytest.register_assert_rewrite("e2e.clients")


@pytest.fixture(scope="session")
def model() -> Model:
    return Model()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, web_stack: stack.WebStack, model: Model) -> Iterator[Server]:
    configured = settings(
        tmp_path_factory.mktemp("data"),
        sandbox="docker",
        sandbox_image=sandboxes.image(),
        searxng_url=web_stack.searxng_url,
        search_backends=("searxng",),
        fetch_allow=(f"127.0.0.1:{web_stack.corpus_port}",),
    )
    with serving(configured, model) as running:
        yield running


@pytest.fixture(scope="session")
def report() -> bytes:
    """A real PDF of two pages."""
    return (Path(__file__).parent / "report.pdf").read_bytes()


@pytest.fixture
def embeddings() -> Iterator[str]:
    """The address of an embedding server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Embeddings)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()
