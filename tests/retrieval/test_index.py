"""Indexes that follow the database: of several processes, after restarts, damages and failures."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import databases
import numpy as np
import pytest
from libraries import OWNER, WordCounts, search_index

from tools_runtime.protocol.tools import ComparisonFilter
from tools_runtime.retrieval.faiss import IndexShape
from tools_runtime.retrieval.index import Scope, SearchIndex
from tools_runtime.stores import Attachment, Attributes, NewChunk, NewFile, NewVectorStore
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore

MODEL = WordCounts.model
SHAPE = IndexShape(segment_vectors=256)
pytestmark = pytest.mark.usefixtures("each_database")


class Shelf:
    """The database's side: what ingestion does, without reading and embedding by a model."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.files = FileStore(database, BlobStore(folder / "files"))
        self.stores = VectorStoreStore(database)
        self.members = VectorStoreFileStore(database)
        self.chunks = ChunkStore(database)
        self.log = ChangeLog(database)

    async def store(self) -> str:
        return (await self.stores.create(OWNER, NewVectorStore("x", None, {}, None))).id

    async def add(self, store: str, *texts: str, attributes: Attributes | None = None, file: str | None = None) -> str:
        """A file of these chunks, or another reading of ``file``."""

        async def data() -> AsyncIterator[bytes]:
            yield b"x"

        file = file or (await self.files.create(NewFile(OWNER, "x", "assistants"), data(), max_bytes=9)).id
        (member,), _ = await self.members.attach(OWNER, store, [Attachment(file, attributes or {})])
        vectors = await WordCounts().passages(texts)
        new = [
            NewChunk(text, n, n + 1, None, None, 1, vector.astype(np.float16).tobytes())
            for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]
        assert await self.chunks.complete(member, None, new, embedding_model=MODEL)
        return file


async def found(shelf: Shelf, index: SearchIndex, query: str, *stores: str, **options) -> list[str]:
    """The texts that are found by meaning, and then those that are found by words."""
    vectors = await WordCounts().queries([query])
    ((near, matching),) = await index.find(Scope(OWNER, stores, **options), [query], vectors, 50)
    chunks = await shelf.chunks.get(OWNER, [*near, *matching])
    texts = [[chunks[key].text for key in keys if key in chunks] for keys in (near, matching)]
    return [*texts[0], "|", *texts[1]]


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    database = Database(databases.url(tmp_path))
    await database.open()
    yield Shelf(tmp_path, database)
    await database.close()


@asynccontextmanager
async def process(folder: Path, name: str = "0", *, started: bool = True) -> AsyncIterator[SearchIndex]:
    """The indexes of a server process; ``name`` is that of its folder."""
    database = Database(databases.url(folder))
    index = search_index(database, folder / name, MODEL, SHAPE)
    if started:
        await index.start()
    yield index
    await index.stop()
    await database.close()


async def test_processes_see_each_others_changes(tmp_path: Path, shelf: Shelf):
    store = await shelf.store()
    async with process(tmp_path, "0") as one, process(tmp_path, "1") as two:
        cats = await shelf.add(store, "cats purr", "cats sleep", attributes={"n": 1})
        only = ComparisonFilter(type="eq", key="n", value=1)
        for index in (one, two):
            assert (await found(shelf, index, "purr", store))[0] == "cats purr"
            assert len(await found(shelf, index, "cats", store, condition=only)) == 5
        await shelf.members.set_attributes(OWNER, store, cats, {"n": 2})
        await shelf.add(store, "dogs bark")
        for index in (one, two):
            assert await found(shelf, index, "cats", store, condition=only) == ["|"]
            assert len(await found(shelf, index, "bark", store)) == 5
        assert await shelf.members.detach(OWNER, store, cats)
        for index in (one, two):
            assert await found(shelf, index, "dogs", store) == ["dogs bark", "|", "dogs bark"]
        await shelf.stores.delete(OWNER, store)
        for index in (one, two):
            assert await found(shelf, index, "dogs", store) == ["|"]


async def test_files_of_several_stores_are_ranked_together_and_doubles_counted_once(tmp_path: Path, shelf: Shelf):
    first, second = await shelf.store(), await shelf.store()
    async with process(tmp_path) as index:
        file = await shelf.add(first, "cats purr")
        await shelf.add(second, "cats purr", file=file)
        await shelf.add(second, "cats bark")
        assert await found(shelf, index, "cats purr", first, second) == [
            *("cats purr", "cats bark", "|"),
            *("cats purr", "cats bark"),
        ]
        assert len(await found(shelf, index, "cats", second)) == 5
        await shelf.members.detach(OWNER, first, file)
        assert len(await found(shelf, index, "cats", first, second)) == 5


async def test_another_owner_finds_nothing(tmp_path: Path, shelf: Shelf):
    store = await shelf.store()
    async with process(tmp_path) as index:
        await shelf.add(store, "cats purr")
        vectors = await WordCounts().queries(["cats"])
        assert await index.find(Scope("bob", [store]), ["cats"], vectors, 5) == [([], [])]


async def test_a_log_that_was_cut_short_makes_all_be_compared(tmp_path: Path, shelf: Shelf):
    store = await shelf.store()
    async with process(tmp_path, started=False) as index:
        await index.sync()
        cats = await shelf.add(store, "cats purr")
        await found(shelf, index, "cats", store)
        await shelf.members.detach(OWNER, store, cats)
        await shelf.log.prune(2**40)
        await shelf.add(store, "dogs bark")
        assert await found(shelf, index, "cats dogs", store) == ["dogs bark", "|", "dogs bark"]


async def many(shelf: Shelf, store: str) -> list[str]:
    """More vectors than one segment takes."""
    return [await shelf.add(store, *(f"word{n} text{m}" for m in range(100))) for n in range(6)]


@pytest.mark.parametrize("damage", ["nothing", "vectors", "keywords", "everything", "one file"])
async def test_what_was_kept_is_brought_up_to_date_or_built_again(tmp_path: Path, shelf: Shelf, damage: str):
    store = await shelf.store()
    files = await many(shelf, store)
    async with process(tmp_path) as index:
        assert (await found(shelf, index, "word3 text5", store))[51] == "word3 text5"
        index._vectors.save()
    await shelf.members.detach(OWNER, store, files[0])
    await shelf.add(store, "word6 new")
    if damage in ("vectors", "keywords"):
        shutil.rmtree(tmp_path / "0" / damage)
    elif damage == "everything":
        shutil.rmtree(tmp_path / "0")
    elif damage == "one file":
        min((tmp_path / "0" / "vectors").iterdir()).write_bytes(b"torn")
    async with process(tmp_path) as index:
        for query in ("word3 text5", "word6 new"):
            texts = await found(shelf, index, query, store)
            assert query in texts[:50] and texts[51] == query  # by meaning, and by words
        gone = await found(shelf, index, "word0 text1", store)
        assert "text1" in gone[51] and not any("word0" in text for text in gone)


class FullDisk:
    """A keyword index whose folder cannot be written for a while."""

    def __init__(self, index) -> None:
        self.index, self.full = index, False

    def __getattr__(self, name: str):
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        writes = name in ("add", "remove", "commit", "reopen")
        return refuse if self.full and writes else getattr(self.index, name)


async def test_a_keyword_index_that_cannot_be_written_catches_up_when_it_can(tmp_path: Path, shelf: Shelf, caplog):
    store = await shelf.store()
    async with process(tmp_path, started=False) as index:
        index._keywords = disk = FullDisk(index._keywords)
        cats = await shelf.add(store, "cats purr")
        await index.sync()
        disk.full = True
        await shelf.add(store, "dogs bark")
        await shelf.members.detach(OWNER, store, cats)
        assert "cannot be written" not in caplog.text
        assert (await found(shelf, index, "dogs cats", store))[0] == "dogs bark"
        assert "cannot be written" in caplog.text
        disk.full = False
        await index.repair()
        assert await found(shelf, index, "dogs cats", store) == ["dogs bark", "|", "dogs bark"]
