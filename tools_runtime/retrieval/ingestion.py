"""Reads the files that vector stores are waiting for, in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from tools_runtime.retrieval import Embedder, Reader, Unreadable
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.passages import Passages
from tools_runtime.stores import VectorStoreFile
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore

_WORKERS = 2
"""Two: one file can be read while another is embedded."""

_log = logging.getLogger(__name__)


class Ingestor:
    """Turns files in progress into passages. The database's rows are the queue: what a crash or a stop interrupts is
    still ``in_progress`` there, and ``start`` begins it again."""

    def __init__(
        self,
        files: FileStore,
        members: VectorStoreFileStore,
        passages: Passages,
        reader: Reader,
        chunker: Chunker,
        embedder: Embedder,
    ) -> None:
        self._files = files
        self._members = members
        self._passages = passages
        self._reader = reader
        self._chunker = chunker
        self._embedder = embedder
        self._waiting: asyncio.Queue[VectorStoreFile] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins the work, with what was left undone."""
        self.submit(await self._members.jobs(self._embedder.model))
        self._workers = [asyncio.create_task(self._work()) for _ in range(_WORKERS)]

    async def stop(self) -> None:
        """Ends the work at once; nothing is half done."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def submit(self, members: Iterable[VectorStoreFile]) -> None:
        """Queues files that are ``in_progress``."""
        for member in members:
            self._waiting.put_nowait(member)

    async def _work(self) -> None:
        while True:
            member = await self._waiting.get()
            try:
                await self._ingest(member)
            except Unreadable as error:
                await self._members.fail(member, error.code, str(error))
            except Exception:
                _log.exception("ingesting %s failed", member.file_id)
                await self._members.fail(member, "server_error", "The file could not be processed.")

    async def _ingest(self, member: VectorStoreFile) -> None:
        current = await self._members.get(member.owner, member.vector_store_id, member.file_id)
        file = await self._files.get(member.owner, member.file_id)
        if file is None or current is None or current.key != member.key or current.status != "in_progress":
            return  # deleted, replaced or cancelled while it waited
        document = await self._reader.read(self._files.path(file), file.filename)
        pieces = await asyncio.to_thread(self._chunker.split, document, member.chunk_tokens, member.overlap_tokens)
        matrices = await self._embedder.passages([piece.text for piece in pieces])
        await self._passages.add(member, pieces, matrices)
