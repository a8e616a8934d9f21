"""Ingestion jobs: leases, attempts, turns of the vector stores, and batches across files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import databases
import pytest
from libraries import INGEST, OWNER, WordCounts, library, new_store, settled, upload

from tools_runtime.retrieval import Document, Matrix
from tools_runtime.retrieval.batching import EmbeddingQueue
from tools_runtime.stores import Attachment
from tools_runtime.stores.database import Database
from tools_runtime.stores.jobs import JobStore


class Reading:
    """A reader that notes what it reads, and waits at files whose name says so."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failures = 0
        self.begun = asyncio.Event()

    async def read(self, path: Path, filename: str) -> Document:
        self.names.append(filename)
        self.begun.set()
        if filename.startswith("wait"):
            await asyncio.sleep(3600)
        if filename.startswith("fail") and self.names.count(filename) <= self.failures:
            raise OSError("no such luck")
        return Document(f"text of {filename}")


async def attach(shelf, store: str, names: Sequence[str]) -> list[str]:
    files = [await upload(shelf, name, "x") for name in names]
    await shelf.attach_batch(OWNER, store, [Attachment(file.id, {}) for file in files])
    return [file.id for file in files]


@pytest.mark.usefixtures("each_database")
async def test_vector_stores_take_turns(tmp_path: Path):
    reader = Reading()
    async with library(tmp_path, WordCounts(), reader=reader, limits=replace(INGEST, files=1)) as shelf:
        large, small = await new_store(shelf), await new_store(shelf)
        await attach(shelf, large, [f"large {n}" for n in range(50)])
        (file,) = await attach(shelf, small, ["small"])
        await settled(shelf, small, file)
        assert len(reader.names) < 50


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize(("failures", "status"), [(2, "completed"), (3, "failed")])
async def test_what_may_pass_is_tried_again(tmp_path: Path, failures: int, status: str):
    reader = Reading()
    reader.failures = failures
    async with library(tmp_path, WordCounts(), reader=reader) as shelf:
        store = await new_store(shelf)
        (file,) = await attach(shelf, store, ["fail"])
        member = await settled(shelf, store, file)
        assert (member.status, len(reader.names)) == (status, 3)
        assert member.error_code == (None if status == "completed" else "server_error")


@pytest.mark.usefixtures("each_database")
async def test_the_work_of_a_process_that_is_gone_is_taken_over(tmp_path: Path):
    reader = Reading()
    async with library(tmp_path, WordCounts(), reader=reader) as shelf:
        store = await new_store(shelf)
        database = Database(databases.url(tmp_path))
        dead = JobStore(database, worker="dead", lease_seconds=0.3)
        await shelf._ingestor.stop()
        (file,) = await attach(shelf, store, ["a"])
        job = None
        while job is None:
            job = await dead.claim("")
        await shelf._ingestor.start()
        assert (await settled(shelf, store, file)).status == "completed"
        assert await dead.renew([job.file.key]) == set()
        assert not await shelf.passages._chunks.complete(job.file, "dead", [], embedding_model="x")
        await dead.fail(job.file, "server_error", "too late")
        assert (await settled(shelf, store, file)).status == "completed"
        await database.close()


@pytest.mark.usefixtures("each_database")
async def test_a_restart_goes_on_at_once_and_a_stop_is_no_attempt(tmp_path: Path):
    reader = Reading()
    limits = replace(INGEST, lease_seconds=3600, attempts=1)
    async with library(tmp_path, WordCounts(), reader=reader, limits=limits) as shelf:
        store = await new_store(shelf)
        (file,) = await attach(shelf, store, ["wait"])
        await reader.begun.wait()
    async with library(tmp_path, WordCounts(), limits=limits) as shelf:
        assert (await settled(shelf, store, file)).error_message != "Processing the file was interrupted too often."


@pytest.mark.usefixtures("each_database")
async def test_a_file_that_ends_the_process_each_time_fails(tmp_path: Path):
    async with library(tmp_path, WordCounts(), limits=replace(INGEST, files=1)) as shelf:
        store = await new_store(shelf)
        database = Database(databases.url(tmp_path))
        dying = JobStore(database, worker="dying", lease_seconds=0)
        await shelf._ingestor.stop()
        (file,) = await attach(shelf, store, ["a"])
        attempts = 0
        while attempts < INGEST.attempts:
            job = await dying.claim("")
            attempts = job.attempts if job else attempts
        await shelf._ingestor.start()
        member = await settled(shelf, store, file)
        assert (member.status, member.error_message) == ("failed", "Processing the file was interrupted too often.")
        await database.close()


@pytest.mark.usefixtures("each_database")
async def test_work_on_a_cancelled_file_ends(tmp_path: Path):
    reader = Reading()
    limits = replace(INGEST, files=1, lease_seconds=0.2)
    async with library(tmp_path, WordCounts(), reader=reader, limits=limits) as shelf:
        store = await new_store(shelf)
        (waiting,) = await attach(shelf, store, ["wait"])
        await reader.begun.wait()
        await shelf.detach(OWNER, store, waiting)
        (file,) = await attach(shelf, store, ["b"])
        assert (await settled(shelf, store, file)).status == "completed"


class Batches(WordCounts):
    """An embedder that notes its batches, and fails at a poisonous text."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        self.batches.append([*texts])
        await asyncio.sleep(0)
        if "poison" in texts:
            raise ValueError("poison")
        return await super().passages(texts)


async def test_small_files_share_batches_with_a_large_one():
    embedder = Batches()
    queue = EmbeddingQueue(embedder, batch_texts=8)
    works = [queue.passages([f"large {n}" for n in range(40)])] + [queue.passages([f"small {n}"]) for n in range(12)]
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(0)
    queue.start()
    results = await asyncio.gather(*tasks)
    await queue.stop()
    assert [len(result) for result in results] == [40] + [1] * 12
    expected = await WordCounts().passages([f"large {n}" for n in range(40)])
    assert all((one == other).all() for one, other in zip(results[0], expected, strict=True))
    assert max(map(len, embedder.batches)) == 8
    assert any(text.startswith("small") for text in embedder.batches[0]) and len(embedder.batches) == 7


async def test_a_text_that_cannot_be_embedded_fails_alone():
    queue = EmbeddingQueue(Batches(), batch_texts=8)
    tasks = [asyncio.create_task(queue.passages([text])) for text in ("good", "poison", "fine")]
    await asyncio.sleep(0)
    queue.start()
    good, bad, fine = await asyncio.gather(*tasks, return_exceptions=True)
    await queue.stop()
    assert isinstance(bad, ValueError) and isinstance(good, list) and isinstance(fine, list)
