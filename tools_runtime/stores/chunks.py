"""Chunks and their vectors: the truth from which every index is built."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from tools_runtime.stores import Chunk, IndexedChunk, NewChunk, VectorStoreFile
from tools_runtime.stores.changes import note
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import chunks, files, vector_store_files, vectors

_FILE = vector_store_files.c
_MANY = 500
"""How many keys stand in one query; SQLite allows 32,766 parameters."""


class ChunkStore:
    """Stored chunks. A file's chunks are all there, with status ``completed``, or none of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def complete(
        self, member: VectorStoreFile, worker: str | None, new: Sequence[NewChunk], *, embedding_model: str
    ) -> bool:
        """Stores a file's chunks and vectors and sets it ``completed``, in one transaction. False, and nothing is
        stored, when the file is no longer this worker's job (deleted, cancelled or taken over meanwhile)."""
        place = {"owner": member.owner, "file_key": member.key}
        done = {
            "status": "completed",
            "usage_bytes": sum(len(chunk.text.encode()) + len(chunk.vectors) for chunk in new),
            "embedding_model": embedding_model,
            "version": secrets.randbits(63),
            "error_code": None,
            "error_message": None,
            "worker": None,
            "lease_until": None,
        }

        def work(connection: Connection) -> bool:
            job = _FILE.owner == member.owner, _FILE.key == member.key, _FILE.status == "in_progress"
            mine = _FILE.worker.is_(None) if worker is None else _FILE.worker == worker
            if not connection.execute(update(vector_store_files).where(*job, mine).values(**done)).rowcount:
                return False
            _replace(connection, place, new)
            note(connection, [member.key])
            return True

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

    async def of_file(self, owner: str, file_key: int) -> list[Chunk]:
        """A file's chunks in order."""
        query = _chunks(owner).where(chunks.c.file_key == file_key).order_by(chunks.c.key)
        return await self._database.read(
            lambda connection: [Chunk(**row._mapping) for row in connection.execute(query)]
        )

    async def indexed(self, file_keys: Sequence[int]) -> list[IndexedChunk]:
        """The chunks of these files, of any owner, in order of file and chunk. For building an index."""
        query = (
            select(chunks.c.file_key, chunks.c.key, chunks.c.text, vectors.c.windows, vectors.c.data)
            .join(vectors, vectors.c.chunk_key == chunks.c.key)
            .where(chunks.c.file_key.in_(file_keys))
            .order_by(chunks.c.file_key, chunks.c.key)
        )
        return await self._database.read(lambda connection: [IndexedChunk(*row) for row in connection.execute(query)])


def _replace(connection: Connection, place: dict[str, Any], new: Sequence[NewChunk]) -> None:
    mine = chunks.c.owner == place["owner"], chunks.c.file_key == place["file_key"]
    connection.execute(delete(chunks).where(*mine))
    if not new:
        return
    names = ("page", "heading", "start", "end", "text")
    connection.execute(insert(chunks), [{name: getattr(one, name) for name in names} | place for one in new])
    keys = connection.scalars(select(chunks.c.key).where(*mine).order_by(chunks.c.key))
    rows = [
        {"chunk_key": key, "windows": one.windows, "data": one.vectors} | place
        for key, one in zip(keys, new, strict=True)
    ]
    connection.execute(insert(vectors), rows)


def _chunks(owner: str) -> Select[Any]:
    return (
        select(chunks.c.key, chunks.c.file_key, _FILE.file_id, files.c.filename, _FILE.attributes)
        .add_columns(chunks.c.text, chunks.c.start, chunks.c.end, chunks.c.page, chunks.c.heading)
        .join(vector_store_files, _FILE.key == chunks.c.file_key)
        .join(files, files.c.id == _FILE.file_id)
        .where(chunks.c.owner == owner, _FILE.owner == owner, files.c.owner == owner)
    )
