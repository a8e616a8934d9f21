"""What all clients' conversations share: a vector store, and a container for those that must name one."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.servers import Server


@pytest.fixture(scope="session")
def store(server: Server, report: bytes) -> str:
    store = server.client.vector_stores.create(name="reports")
    file = server.client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("report.pdf", report))
    assert file.status == "completed", file.last_error
    return store.id


@pytest.fixture(autouse=True)
def settings_of_the_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``llm`` keeps a folder of its own, and loads what plugins there are."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
