"""Uploaded files: a row and a blob each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, or_, select

from tools_runtime import ids
from tools_runtime.stores import Cursor, NewFile, Page, StoredFile
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import note
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.database import Database, Work
from tools_runtime.stores.paging import Members, as_page
from tools_runtime.stores.schema import files, vector_store_files

_MEMBERS = Members(files.c.key, files.c.id, within=files.c.owner)
IN_VECTOR_STORES = Members(
    vector_store_files.c.key, vector_store_files.c.file_id, within=vector_store_files.c.vector_store_id
)


class FileStore:
    """Uploaded files. The blob is written before the row and removed after it, so that a row always has its bytes."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def start(self) -> None:
        """Removes blobs without a row, which a crash may have left. Before the first upload."""
        known = await self._database.read(lambda connection: set(connection.scalars(select(files.c.id))))
        await asyncio.to_thread(self._blobs.sweep, known)

    async def create(
        self, new: NewFile, data: AsyncIterator[bytes], *, max_bytes: int, also: Work[None] = lambda _: None
    ) -> StoredFile:
        """Stores a file; ``also`` is done in the same transaction. Raises ``blobs.TooLarge``, and what ``data`` and
        ``also`` raise; then nothing is stored."""
        id, now = ids.new("file"), int(time.time())
        size = await self._blobs.write(id, data, max_bytes)
        expires_at = None if new.seconds is None else now + new.seconds
        file = StoredFile(id, new.owner, now, new.filename, new.purpose, size, expires_at)

        def work(connection: Connection) -> None:
            connection.execute(insert(files), vars(file))
            also(connection)

        try:
            await self._database.write(work)
        except Unavailable:  # the row may be there: until the next start nothing else is known
            raise
        except Exception:
            await asyncio.to_thread(self._blobs.delete, id)
            raise
        return file

    async def get(self, owner: str, id: str) -> StoredFile | None:
        def work(connection: Connection) -> StoredFile | None:
            row = connection.execute(_files(owner).where(files.c.id == id)).one_or_none()
            return None if row is None else _file(row)

        return await self._database.read(work)

    def path(self, file: StoredFile) -> Path:
        """Where the file's bytes lie."""
        return self._blobs.path(file.id)

    async def page(self, owner: str, cursor: Cursor, *, purpose: str | None = None) -> Page[StoredFile]:
        """A page of files. Raises ``ApiError`` for an unknown cursor."""
        query = _files(owner)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)

        def work(connection: Connection) -> Page[StoredFile]:
            return as_page(*_MEMBERS.page(connection, query, owner, cursor), _file, lambda file: file.id)

        return await self._database.read(work)

    async def expired(self, now: float) -> list[tuple[str, str]]:
        """Owner and id of every file whose time is over."""
        query = select(files.c.owner, files.c.id).where(files.c.expires_at <= now)
        return await self._database.read(lambda connection: [(row.owner, row.id) for row in connection.execute(query)])

    async def delete(self, owner: str, id: str) -> bool:
        """Deletes the file, here and in every vector store. False when there is no such file."""

        def work(connection: Connection) -> bool:
            inside = vector_store_files.c.owner == owner, vector_store_files.c.file_id == id
            note(connection, [*connection.scalars(select(vector_store_files.c.key).where(*inside))])
            IN_VECTOR_STORES.leave(connection, *inside)
            return bool(_MEMBERS.delete(connection, files.c.owner == owner, files.c.id == id))

        gone = await self._database.write(work)
        if gone:
            await asyncio.to_thread(self._blobs.delete, id)
        return gone


def _files(owner: str) -> Select[Any]:
    return select(files).where(files.c.owner == owner, lives())


def lives() -> ColumnElement[bool]:
    """Whether a file's time is not over; where it is, the file is deleted soon."""
    return or_(files.c.expires_at.is_(None), files.c.expires_at > time.time())


def _file(row: Any) -> StoredFile:
    return StoredFile(row.id, row.owner, row.created_at, row.filename, row.purpose, row.bytes, row.expires_at)
