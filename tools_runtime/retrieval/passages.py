"""Chunks between ingestion, which makes them, and searches, which show them."""

from __future__ import annotations

from collections.abc import Sequence

from tools_runtime.retrieval import Matrix, Passage
from tools_runtime.retrieval.chunking import Piece
from tools_runtime.retrieval.distinct import distinct, enough
from tools_runtime.retrieval.index import STORED
from tools_runtime.stores import Chunk, NewChunk, VectorStoreFile
from tools_runtime.stores.chunks import ChunkStore


class Passages:
    """The chunks in the database. What is shown is read from there, so that nothing is ever shown that is deleted,
    whatever an index still knows."""

    def __init__(self, chunks: ChunkStore, *, embedding_model: str) -> None:
        self._chunks = chunks
        self._model = embedding_model

    async def add(
        self, member: VectorStoreFile, worker: str, pieces: Sequence[Piece], matrices: Sequence[Matrix]
    ) -> None:
        """Makes a file searchable, and ``completed``, unless it is no longer wanted."""
        stored = [matrix.astype(STORED) for matrix in matrices]
        new = [
            NewChunk(piece.text, piece.start, piece.end, piece.page, piece.heading, len(matrix), matrix.tobytes())
            for piece, matrix in zip(pieces, stored, strict=True)
        ]
        await self._chunks.complete(member, worker, new, embedding_model=self._model)

    async def best(self, owner: str, ranked: Sequence[tuple[int, float]], limit: int) -> list[Passage]:
        """The best ``limit`` of the ranked chunks, given by key and score, that are still there and tell something
        new (see ``distinct``)."""
        found: list[Passage] = []
        for part in (ranked[: 3 * limit], ranked[3 * limit :]):
            chunks = await self._chunks.get(owner, [key for key, _ in part])
            found += [passage(chunks[key], score) for key, score in part if key in chunks]
            if enough(found, limit):
                break  # what comes later would not be among them
        return distinct(found, limit)

    async def text(self, member: VectorStoreFile) -> str:
        """A file's text as it was read, put together from its chunks."""
        parts, end = [], 0
        for chunk in await self._chunks.of_file(member.owner, member.key):
            gap = "\n" if chunk.start > end else ""  # nothing but space stood there
            parts.append(gap + chunk.text[max(0, end - chunk.start) :])
            end = chunk.end
        return "".join(parts)


def passage(chunk: Chunk, score: float) -> Passage:
    """A chunk as a search result."""
    return Passage(
        file_id=chunk.file_id,
        filename=chunk.filename,
        attributes=chunk.attributes,
        text=chunk.text,
        score=score,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        heading=chunk.heading,
    )
