"""A server whose disk is full: it refuses, loses nothing, and goes on when there is room."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from command import run, serving

from e2e.bookkeeping import Bookkeeping, answer, upload

SIZE = 24 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Writes a file until the disk has only ``leave`` bytes left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave))


def is_refused(response: httpx.Response) -> bool:
    """Whether it was for want of room; nothing else may be refused here."""
    if response.status_code == 200:
        return False
    assert (response.status_code, response.json()["error"]["code"]) == (507, "insufficient_storage"), response.text
    return True


@contextmanager
def client(log: Path, data: Path, embeddings: str) -> Iterator[httpx.Client]:
    settings = {
        "data": data,
        "sandbox": "none",
        "embedding_url": embeddings,
        "embedding_model": "words",
        "ingest_retry_seconds": 0.05,
        "ingest_attempts": 2,
    }
    with serving(log, **settings) as url, httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        yield client


@pytest.mark.slow
def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path, disk: Path, embeddings: str):
    log, data = tmp_path / "server.log", disk / "data"
    books = Bookkeeping()
    with client(log, data, embeddings) as server:
        books.store = answer(server.post("/vector_stores", json={}))["id"]
        first = books.attach(server, " ".join(f"first{n}" for n in range(2000)))
        books.check(server)

        # Room for the request, and none for what becomes of the file: it waits, however long.
        fill(disk / "ballast", leave=1_500_000)
        second = books.attach(server, " ".join(f"second{n}" for n in range(60_000)))
        while "the disk is full" not in log.read_text():
            time.sleep(0.05)
        fill(disk / "more")
        assert is_refused(upload(server, "x.txt", "x" * 100_000))
        while not is_refused(server.post("/vector_stores", json={"name": "x" * 200})):
            pass
        assert [path.name for path in (data / "files").iterdir() if path.name not in books.texts] == []
        waiting = answer(server.get(f"/vector_stores/{books.store}/files/{second}"))
        assert waiting["status"] == "in_progress"
        assert first in books.hits(server, "first7")

        (disk / "ballast").unlink()
        (disk / "more").unlink()
        books.check(server)
        books.attach(server, "third")
        books.check(server)
    with client(log, data, embeddings) as server:
        books.check(server)


@pytest.mark.slow
def test_a_server_does_not_start_on_a_full_disk_says_why_and_loses_nothing(tmp_path: Path, disk: Path, embeddings: str):
    log, data = tmp_path / "server.log", disk / "data"
    books = Bookkeeping()
    with client(log, data, embeddings) as server:
        books.store = answer(server.post("/vector_stores", json={}))["id"]
        books.attach(server, " ".join(f"first{n}" for n in range(2000)))
    fill(disk / "ballast")
    told = run("serve", data=data, sandbox="none")
    assert told.returncode == 2
    assert "No space left on device" in told.stdout
    (disk / "ballast").unlink()
    with client(log, data, embeddings) as server:
        books.check(server)
