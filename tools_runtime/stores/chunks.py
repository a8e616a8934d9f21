"""Chunks and their vectors: the truth from which every index is built."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, text, update

from tools_runtime.stores import Chunk, NewChunk, VectorStoreFile
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import chunks, files, vector_store_files, vectors

_FILE = vector_store_files.c
_MATCHING = text(
    "SELECT chunks.key FROM chunk_words JOIN chunks ON chunks.key = chunk_words.rowid "
    "WHERE chunk_words MATCH :words AND chunks.owner = :owner "
    "AND chunks.file_key IN (SELECT value FROM json_each(:files)) ORDER BY chunk_words.rank LIMIT :limit"
)
"""SQLite's own full-text search: the one query here that another database must spell differently."""
_MANY = 500
"""How many keys stand in one query; SQLite allows 32,766 parameters."""


class ChunkStore:
    """Stored chunks. A file's chunks are all there, with status ``completed``, or none of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def complete(
        self, member: VectorStoreFile, new: Sequence[NewChunk], *, embedding_model: str, usage_bytes: int
    ) -> list[int] | None:
        """Stores a file's chunks and vectors and sets it ``completed``, in one transaction. Returns the chunks' keys in
        order; None, and nothing is stored, when the file is no longer a job (deleted or cancelled meanwhile)."""
        place = {"owner": member.owner, "file_key": member.key}

        def work(connection: Connection) -> list[int] | None:
            job = _FILE.owner == member.owner, _FILE.key == member.key, _FILE.status == "in_progress"
            done = {
                "status": "completed",
                "usage_bytes": usage_bytes,
                "embedding_model": embedding_model,
                "error_code": None,
                "error_message": None,
            }
            if not connection.execute(update(vector_store_files).where(*job).values(**done)).rowcount:
                return None
            mine = chunks.c.owner == member.owner, chunks.c.file_key == member.key
            connection.execute(delete(chunks).where(*mine))
            names = ("page", "heading", "start", "end", "text")
            texts = [{name: getattr(one, name) for name in names} | place for one in new]
            if texts:
                connection.execute(insert(chunks), texts)
            keys = [*connection.scalars(select(chunks.c.key).where(*mine).order_by(chunks.c.key))]
            rows = [
                {"chunk_key": key, "windows": one.windows, "data": one.vectors} | place
                for key, one in zip(keys, new, strict=True)
            ]
            if rows:
                connection.execute(insert(vectors), rows)
            return keys

        return await self._database.write(work)

    async def get(self, owner: str, keys: Sequence[int]) -> dict[int, Chunk]:
        """Chunks by key. Those that are gone are left out."""

        def work(connection: Connection) -> dict[int, Chunk]:
            found = {}
            for start in range(0, len(keys), _MANY):
                query = _chunks(owner).where(chunks.c.key.in_(keys[start : start + _MANY]))
                found.update({row.key: Chunk(**row._mapping) for row in connection.execute(query)})
            return found

        return await self._database.read(work)

    async def matching(self, owner: str, words: Sequence[str], file_keys: Sequence[int], limit: int) -> list[int]:
        """The keys of those of the files' chunks that hold any of the words, best first (BM25)."""
        if not words:
            return []
        given = {
            "owner": owner,
            "words": " OR ".join(f'"{word}"' for word in words),
            "files": json.dumps([*file_keys]),
            "limit": limit,
        }
        return await self._database.read(lambda connection: [*connection.scalars(_MATCHING, given)])

    async def of_file(self, owner: str, file_key: int) -> list[Chunk]:
        """A file's chunks in order."""
        query = _chunks(owner).where(chunks.c.file_key == file_key).order_by(chunks.c.key)
        return await self._database.read(
            lambda connection: [Chunk(**row._mapping) for row in connection.execute(query)]
        )

    async def vectors(self, embedding_model: str) -> list[tuple[int, int, int, bytes]]:
        """File key, chunk key, number of windows and vectors of every chunk of every owner. For building an
        index, hence in order of file and chunk."""
        query = (
            select(vectors.c.file_key, vectors.c.chunk_key, vectors.c.windows, vectors.c.data)
            .join(vector_store_files, _FILE.key == vectors.c.file_key)
            .where(_FILE.status == "completed", _FILE.embedding_model == embedding_model)
            .order_by(vectors.c.file_key, vectors.c.chunk_key)
        )
        return await self._database.read(
            lambda connection: [
                (row.file_key, row.chunk_key, row.windows, row.data) for row in connection.execute(query)
            ]
        )


def _chunks(owner: str) -> Select[Any]:
    return (
        select(chunks.c.key, chunks.c.file_key, _FILE.file_id, files.c.filename, _FILE.attributes)
        .add_columns(chunks.c.text, chunks.c.start, chunks.c.end, chunks.c.page, chunks.c.heading)
        .join(vector_store_files, _FILE.key == chunks.c.file_key)
        .join(files, files.c.id == _FILE.file_id)
        .where(chunks.c.owner == owner, _FILE.owner == owner, files.c.owner == owner)
    )
