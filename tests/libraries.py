"""Vector stores for tests: a whole library on a folder, small uploads, and PDFs made by hand."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import databases
import numpy as np

from tools_runtime.retrieval import Embedder, Matrix, Models, Reader, Reranker
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.faiss import FaissIndex, IndexShape
from tools_runtime.retrieval.index import SearchIndex
from tools_runtime.retrieval.ingestion import IngestLimits, Ingestor, Pipeline
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.library import Library, Stores
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader
from tools_runtime.retrieval.snapshots import Snapshots
from tools_runtime.stores import Attachment, Attributes, NewFile, NewVectorStore, StoredFile, VectorStoreFile
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.jobs import JobStore
from tools_runtime.stores.uploads import UploadStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore
from tools_runtime.stores.workspace import Workspace

OWNER = "default"
INGEST = IngestLimits(retry_seconds=0.01, lease_seconds=1, poll_seconds=0.05)
ANIMALS = {
    "cats.txt": "The house cat is a small carnivore. Cats purr, sleep most of the day and hunt mice.",
    "planes.md": "# Aircraft\n\nA jet engine burns kerosene. The wings give lift when air flows over them.",
    "bread.html": "<html><body><h1>Bread</h1><p>Flour, water, yeast and salt make a dough.</p></body></html>",
}


class WordCounts:
    """An embedder that needs no model: texts are alike as far as they share words."""

    model = "word-counts"

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        return [self._vector(text) for text in texts]

    async def queries(self, texts: Sequence[str]) -> Matrix:
        return np.concatenate(await self.passages(texts))

    def _vector(self, text: str) -> Matrix:
        vector = np.full((1, 64), 1e-3, np.float32)
        for word in text.lower().split():
            vector[0, zlib.crc32(word.encode()) % 64] += 1
        return vector / np.linalg.norm(vector)


@asynccontextmanager
async def library(
    folder: Path,
    embedder: Embedder,
    *,
    reader: Reader | None = None,
    reranker: Reranker | None = None,
    limits: IngestLimits = INGEST,
) -> AsyncIterator[Library]:
    """A library whose database and blobs lie in ``folder``; a second one on the same folder is a restart."""
    database = Database(databases.url(folder))
    await database.open()
    files = FileStore(database, BlobStore(folder / "files"))
    members = VectorStoreFileStore(database)
    workspace = Workspace(folder / "index")
    index = search_index(database, workspace.folder, embedder.model)
    passages = Passages(ChunkStore(database), embedding_model=embedder.model)
    reader = reader or SubprocessReader(ReadLimits(seconds=60))
    jobs = JobStore(database, worker=workspace.worker, lease_seconds=limits.lease_seconds)
    pipeline = Pipeline(reader, Chunker(max_tokens=100_000), embedder)
    ingestor = Ingestor(files, jobs, passages, pipeline, limits)
    stores = Stores(files, VectorStoreStore(database), members)
    shelf = Library(stores, index, passages, ingestor, Models(embedder, reranker))
    await shelf.start()
    try:
        yield shelf
    finally:
        await shelf.stop()
        await database.close()
        workspace.close()


def search_index(database: Database, folder: Path, model: str, shape: IndexShape | None = None) -> SearchIndex:
    """The indexes of one process, whose caches lie in ``folder``."""
    shape = shape or IndexShape()
    vectors = FaissIndex(Snapshots(folder / "vectors", tag=shape.tag(model)), shape)
    keywords = TantivyIndex(folder / "keywords", memory_bytes=2**24)
    chunks, members, log = ChunkStore(database), VectorStoreFileStore(database), ChangeLog(database)
    return SearchIndex(chunks, members, log, (vectors, keywords), embedding_model=model, poll_seconds=0.05)


@asynccontextmanager
async def part_store(folder: Path, shelf: Library) -> AsyncIterator[UploadStore]:
    """The uploads that become files of ``shelf``, which lies in the same folder."""
    database = Database(databases.url(folder))
    await database.open()
    store = UploadStore(database, BlobStore(folder / "parts"), shelf.files, seconds=3600)
    await store.start()
    try:
        yield store
    finally:
        await database.close()


async def upload(shelf: Library, name: str, data: str | bytes, owner: str = OWNER) -> StoredFile:
    async def pieces() -> AsyncIterator[bytes]:
        yield data.encode() if isinstance(data, str) else data

    return await shelf.files.create(NewFile(owner, name, "assistants"), pieces(), max_bytes=10**8)


async def new_store(shelf: Library, owner: str = OWNER, *, days: int | None = None) -> str:
    return (await shelf.stores.create(owner, NewVectorStore("test", None, {}, days))).id


async def add(
    shelf: Library,
    store_id: str,
    name: str,
    data: str | bytes,
    attributes: Attributes | None = None,
    owner: str = OWNER,
) -> VectorStoreFile:
    """Uploads a file, puts it into the vector store and waits for the outcome."""
    file = await upload(shelf, name, data, owner)
    await shelf.attach(owner, store_id, Attachment(file.id, attributes or {}))
    return await settled(shelf, store_id, file.id, owner)


async def settled(shelf: Library, store_id: str, file_id: str, owner: str = OWNER) -> VectorStoreFile:
    while True:
        member = await shelf.members.get(owner, store_id, file_id)
        assert member is not None
        if member.status != "in_progress":
            return member
        await asyncio.sleep(0.01)


async def filled_store(shelf: Library) -> str:
    """A vector store with three small files about different things."""
    store_id = await new_store(shelf)
    files = [await upload(shelf, name, text) for name, text in ANIMALS.items()]
    await shelf.attach_batch(OWNER, store_id, [Attachment(file.id, {"name": file.filename}) for file in files])
    for file in files:
        member = await settled(shelf, store_id, file.id)
        assert member.status == "completed", member.error_message
    return store_id


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with some lines of Latin text on each page."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, page in enumerate(pages):
        lines = " ".join(f"({line}) Tj 0 -14 Td" for line in page.splitlines())
        stream = f"BT /F1 12 Tf 72 720 Td {lines} ET"
        resources = f"<< /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R /Resources {resources} >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()
