"""The chunks in the database and their index, kept in step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from tools_runtime.retrieval import Matrix, VectorIndex
from tools_runtime.retrieval.chunking import Piece
from tools_runtime.retrieval.words import keywords
from tools_runtime.stores import Chunk, NewChunk, VectorStoreFile
from tools_runtime.stores.chunks import ChunkStore

_STORED = np.float16


class Passages:
    """Searchable chunks. The database is the truth and the index follows it: an addition is committed first and
    indexed second, and a removal likewise, so that what the index knows too much or too little is at most what
    ``load`` mends. A chunk that only the index knows is never returned."""

    def __init__(self, chunks: ChunkStore, index: VectorIndex, *, embedding_model: str) -> None:
        self._chunks = chunks
        self._index = index
        self._model = embedding_model
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Builds the index from the database. Once, before anything else."""
        rows = await self._chunks.vectors(self._model)
        await asyncio.to_thread(self._build, rows)

    async def add(self, member: VectorStoreFile, pieces: Sequence[Piece], matrices: Sequence[Matrix]) -> None:
        """Makes a file searchable, and ``completed``, unless it is no longer wanted."""
        stored = [matrix.astype(_STORED) for matrix in matrices]
        new = [
            NewChunk(piece.text, piece.start, piece.end, piece.page, piece.heading, len(matrix), matrix.tobytes())
            for piece, matrix in zip(pieces, stored, strict=True)
        ]
        size = sum(len(chunk.text.encode()) + len(chunk.vectors) for chunk in new)
        async with self._changing:
            keys = await self._chunks.complete(member, new, embedding_model=self._model, usage_bytes=size)
            if keys is not None:
                await asyncio.to_thread(self._index.add, member.key, keys, matrices)

    async def forget(self, file_keys: Sequence[int]) -> None:
        """Takes files that the database no longer has out of the index."""
        async with self._changing:
            await asyncio.to_thread(self._index.remove, file_keys)

    async def nearest(self, owner: str, queries: Matrix, file_keys: Sequence[int], limit: int) -> list[list[Chunk]]:
        """For each query those chunks of the files that are nearest to it in meaning, best first."""
        hits = await asyncio.to_thread(self._index.search, queries, file_keys, limit)
        return await self._fetch(owner, [[key for key, _ in of_query] for of_query in hits])

    async def matching(
        self, owner: str, queries: Sequence[str], file_keys: Sequence[int], limit: int
    ) -> list[list[Chunk]]:
        """For each query those chunks of the files that hold its words, best first."""
        return await self._fetch(
            owner, [await self._chunks.matching(owner, keywords(query), file_keys, limit) for query in queries]
        )

    async def _fetch(self, owner: str, keys: Sequence[Sequence[int]]) -> list[list[Chunk]]:
        chunks = await self._chunks.get(owner, [*{key for of_query in keys for key in of_query}])
        return [[chunks[key] for key in of_query if key in chunks] for of_query in keys]

    async def text(self, member: VectorStoreFile) -> str:
        """A file's text as it was read, put together from its chunks."""
        parts, end = [], 0
        for chunk in await self._chunks.of_file(member.owner, member.key):
            gap = "\n" if chunk.start > end else ""  # nothing but space stood there
            parts.append(gap + chunk.text[max(0, end - chunk.start) :])
            end = chunk.end
        return "".join(parts)

    def _build(self, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
        start = 0
        for stop in range(1, len(rows) + 1):
            if stop == len(rows) or rows[stop][0] != rows[start][0]:
                group = rows[start:stop]
                matrices = [np.frombuffer(data, _STORED).reshape(windows, -1) for _, _, windows, data in group]
                self._index.add(rows[start][0], [row[1] for row in group], [m.astype(np.float32) for m in matrices])
                start = stop
