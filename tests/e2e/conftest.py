"""One server with all three hosted tools real, and a model that says what each test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import stack

from e2e.bookkeeping import Embeddings
from e2e.servers import Model, Server, serving, with_all_tools

pytest.register_assert_rewrite("e2e.clients")


@pytest.fixture(scope="session")
def model() -> Model:
    return Model()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, web_stack: stack.WebStack, model: Model) -> Iterator[Server]:
    with serving(with_all_tools(tmp_path_factory.mktemp("data"), web_stack), model) as running:
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
