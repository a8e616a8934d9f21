"""What the index costs beside a bare FAISS search on the same vectors: hybrid search with and without a filter,
additions, deletions, start-up, memory and disk. Vectors are clusters in 384 dimensions, texts are words by Zipf's law.

Each size runs in a process and a folder of its own. Searches are whole ones, from a query's vector to passages.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from sqlalchemy import Connection, insert

from tools_runtime.protocol.tools import ComparisonFilter
from tools_runtime.retrieval import Matrix, Models
from tools_runtime.retrieval.faiss import FaissIndex, IndexKind, IndexShape
from tools_runtime.retrieval.index import SearchIndex
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.library import Library, Stores
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.snapshots import Snapshots
from tools_runtime.stores import Attachment, NewChunk, NewFile, NewVectorStore
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.schema import chunks, files, vector_store_files, vectors
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore

OWNER, MODEL = "default", "synthetic"
DIMENSION, OF_FILE, GROUPS, WORDS = 384, 100, 20, 50_000
"""A file has 100 chunks; every twentieth file is in the group that the filter wants."""


class Source:
    """Random chunks, the same for the same seed."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1)
        self._centres = self._random.standard_normal((1000, DIMENSION)).astype(np.float32)
        self._words = np.array([f"word{number:x}" for number in range(WORDS)])
        share = 1 / np.arange(10, WORDS + 10)
        self._shares = share / share.sum()

    def vectors(self, count: int) -> Matrix:
        rows = self._centres[self._random.integers(0, 1000, count)]
        rows = rows + 0.7 * self._random.standard_normal((count, DIMENSION), np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def texts(self, count: int, length: int) -> list[str]:
        drawn = self._random.choice(self._words, (count, length), p=self._shares)
        return [" ".join(row) for row in drawn]


class Given:
    """An embedder whose queries are embedded already."""

    model = MODEL

    def __init__(self) -> None:
        self.next = np.empty((1, DIMENSION), np.float32)

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        raise NotImplementedError

    async def queries(self, texts: Sequence[str]) -> Matrix:
        return self.next


class Bench:
    """One data folder, and a server's parts on it."""

    def __init__(self, folder: Path, kind: IndexKind) -> None:
        self.folder = folder
        self.database = Database(f"sqlite:///{folder}/tools-runtime.db")
        self.embedder = Given()
        self.chunks, self.members = ChunkStore(self.database), VectorStoreFileStore(self.database)
        self.files = FileStore(self.database, BlobStore(folder / "files"))
        self.stores = VectorStoreStore(self.database)
        shape = IndexShape(kind=kind)
        self.vectors = FaissIndex(Snapshots(folder / "index/vectors", tag=shape.tag(MODEL)), shape)
        words = TantivyIndex(folder / "index/keywords", memory_bytes=2**26)
        self.index = SearchIndex(
            self.chunks,
            self.members,
            ChangeLog(self.database),
            (self.vectors, words),
            embedding_model=MODEL,
            poll_seconds=3600,
        )
        passages = Passages(self.chunks, embedding_model=MODEL)
        stores = Stores(self.files, self.stores, self.members)
        self.library = Library(stores, self.index, passages, None, Models(self.embedder))  # type: ignore[arg-type]

    async def fill(self, store: str, source: Source, count: int) -> Matrix:
        """Writes the chunks into the database at once, without a line in the change log. Returns their vectors."""
        every = []
        for first in range(0, count // OF_FILE, 100):
            rows = source.vectors(100 * OF_FILE)
            texts = source.texts(100 * OF_FILE, 100)
            every.append(rows.astype(np.float16))
            await self.database.write(lambda c, f=first, r=rows, t=texts: _insert(c, store, f, r, t))  # type: ignore[misc]
        return np.concatenate(every)

    async def add(self, store: str, source: Source) -> tuple[str, float]:
        """A new file's id, and the seconds from its vectors to its being found."""

        async def data() -> AsyncIterator[bytes]:
            yield b"x"

        file = await self.files.create(NewFile(OWNER, "new.txt", "assistants"), data(), max_bytes=9)
        (member,), _ = await self.members.attach(OWNER, store, [Attachment(file.id, {"group": 1})])
        rows, texts = source.vectors(OF_FILE), source.texts(OF_FILE, 100)
        new = [
            NewChunk(text, n, n + 1, None, None, 1, row.astype(np.float16).tobytes())
            for n, (text, row) in enumerate(zip(texts, rows, strict=True))
        ]
        began = time.perf_counter()
        await self.chunks.complete(member, None, new, embedding_model=MODEL)
        await self.index.sync()
        return file.id, time.perf_counter() - began

    async def delete(self, store: str, file: str) -> float:
        began = time.perf_counter()
        await self.members.detach(OWNER, store, file)
        await self.index.sync()
        return time.perf_counter() - began


def _insert(connection: Connection, store: str, first: int, rows: Matrix, texts: list[str]) -> None:
    numbers = range(first, first + len(texts) // OF_FILE)
    connection.execute(insert(files), [_file(number) for number in numbers])
    connection.execute(insert(vector_store_files), [_member(store, number) for number in numbers])
    key = first * OF_FILE
    places = [{"owner": OWNER, "file_key": 1 + (key + n) // OF_FILE} for n in range(len(texts))]
    connection.execute(
        insert(chunks),
        [
            {"key": key + n + 1, "start": 1000 * (n % OF_FILE), "end": 1000 * (n % OF_FILE) + 999, "text": text} | place
            for n, (text, place) in enumerate(zip(texts, places, strict=True))
        ],
    )
    data = rows.astype(np.float16)
    connection.execute(
        insert(vectors),
        [
            {"chunk_key": key + n + 1, "windows": 1, "data": row.tobytes()} | place
            for n, (row, place) in enumerate(zip(data, places, strict=True))
        ],
    )


def _file(number: int) -> dict[str, Any]:
    name = {"id": f"file-{number}", "filename": f"{number}.txt", "purpose": "assistants"}
    return {"key": number + 1, "owner": OWNER, "created_at": 1, "bytes": 1} | name


def _member(store: str, number: int) -> dict[str, Any]:
    return {
        "key": number + 1,
        "owner": OWNER,
        "vector_store_id": store,
        "file_id": f"file-{number}",
        "created_at": 1,
        "status": "completed",
        "attributes": {"group": number % GROUPS, "name": f"{number}.txt"},
        "chunk_tokens": 800,
        "overlap_tokens": 400,
        "usage_bytes": 1,
        "embedding_model": MODEL,
        "version": number + 1,
    }


async def timed(work: Callable[[int], Awaitable[object]], count: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        await work(number)
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 95))


def lines(name: str, taken: tuple[float, float], bare: tuple[float, float]) -> Iterator[str]:
    yield f"  {name:<28} p50 {taken[0]:7.2f} ms  p95 {taken[1]:7.2f} ms  {taken[0] / bare[0]:5.2f} x bare"


async def build(folder: Path, count: int, kind: IndexKind, source: Source) -> tuple[str, Matrix, float]:
    """A vector store in a database and an index made from it: its id, its vectors, and the index's seconds."""
    bench = Bench(folder, kind)
    await bench.database.open()
    store = (await bench.stores.create(OWNER, NewVectorStore("x", None, {}, None))).id
    rows = await bench.fill(store, source, count)
    began = time.perf_counter()
    await bench.index.start()
    built = time.perf_counter() - began
    await asyncio.to_thread(bench.vectors.save)
    await bench.index.stop()
    await bench.database.close()
    return store, rows, built


async def measure(folder: Path, count: int, kind: IndexKind, rounds: int) -> None:
    source = Source()
    store, rows, built = await build(folder, count, kind, source)
    gc.collect()  # else the index that was built still takes its place
    before = resident()
    bench = Bench(folder, kind)
    began = time.perf_counter()
    await bench.index.start()
    started = time.perf_counter() - began
    print(f"{count} chunks, {kind}: built in {built:.1f} s, started in {started:.2f} s", flush=True)
    print(f"  memory {resident() - before:.0f} MB; disk {size(folder / 'index'):.0f} MB beside a database of", end=" ")
    print(f"{size(folder) - size(folder / 'index'):.0f} MB", flush=True)
    queries, words = source.vectors(rounds), source.texts(rounds, 9)
    faiss.omp_set_num_threads(1)  # of one query it needs no more, and others would only wait for work
    flat = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, len(rows), 10_000):
        flat.add(rows[start : start + 10_000].astype(np.float32))

    async def bare(number: int) -> None:
        flat.search(queries[number : number + 1], 10)

    async def hybrid(number: int, condition: ComparisonFilter | None = None) -> None:
        bench.embedder.next = queries[number : number + 1]
        await bench.library.search(OWNER, [store], [words[number]], limit=10, condition=condition)

    wanted = ComparisonFilter(type="eq", key="group", value=0)
    await timed(hybrid, 3)
    base = await timed(bare, rounds)
    for line in lines("bare FAISS search", base, base):
        print(line)
    for name, taken in {
        "hybrid search": await timed(hybrid, rounds),
        "hybrid search, 5 % filter": await timed(lambda number: hybrid(number, wanted), rounds),
    }.items():
        print(*lines(name, taken, base), sep="\n", flush=True)
    added = [await bench.add(store, source) for _ in range(20)]
    gone = [await bench.delete(store, file) for file, _ in added]
    for name, seconds in {"add a file of 100 chunks": [taken for _, taken in added], "delete it": gone}.items():
        p50, p95 = (1000 * float(np.percentile(seconds, share)) for share in (50, 95))
        print(*lines(name, (p50, p95), base), sep="\n", flush=True)
    await bench.index.stop()
    await bench.database.close()


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--kind", choices=["exact", "ivf"], default="exact")
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/tools-runtime-index"))
    given = parser.parse_args()
    if len(given.sizes) == 1:
        shutil.rmtree(given.folder, ignore_errors=True)
        given.folder.mkdir(parents=True)
        asyncio.run(measure(given.folder, given.sizes[0], given.kind, given.rounds))
        shutil.rmtree(given.folder)
        return
    for count in given.sizes:
        options = ["--sizes", str(count), "--kind", given.kind, "--rounds", str(given.rounds)]
        subprocess.run([sys.executable, __file__, *options, "--folder", str(given.folder)], check=True)


if __name__ == "__main__":
    main()
