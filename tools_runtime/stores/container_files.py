"""Files of containers: a row for each version of a file, and the blobs that hold their bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, func, insert, select, update

from tools_runtime import ids
from tools_runtime.stores import Cursor, Page, StoredContainerFile
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.paging import Members, as_page
from tools_runtime.stores.schema import container_files, containers

_MEMBERS = Members(container_files.c.key, container_files.c.id, within=container_files.c.container_id)


class ContainerFileStore:
    """Files that were put into containers, and those that code made there. They outlive their container's session."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def start(self) -> None:
        """Removes blobs without a row, which a crash may have left. Before the first file."""
        blobs = select(container_files.c.blob)
        known = await self._database.read(lambda connection: set(connection.scalars(blobs)))
        await asyncio.to_thread(self._blobs.sweep, known)

    async def create(
        self, owner: str, container_id: str, path: str, data: bytes, source: Literal["user", "assistant"]
    ) -> StoredContainerFile | None:
        """Stores a file. One at the same path stays, but is no longer the current one. None when the container was
        deleted meanwhile."""
        id = ids.new("cfile")
        await self._blobs.write(id, _once(data), len(data))
        file = StoredContainerFile(id, owner, container_id, int(time.time()), path, len(data), source, id)
        same = container_files.c.container_id == container_id, container_files.c.path == path

        def work(connection: Connection) -> bool:
            owned = containers.c.owner == owner, containers.c.id == container_id
            if connection.scalar(select(containers.c.id).where(*owned)) is None:
                return False
            connection.execute(update(container_files).where(*same).values(current=False))
            connection.execute(insert(container_files), vars(file))
            return True

        if await self._database.write(work):
            return file
        await self.discard([id])
        return None

    async def adopt(self, owner: str, source_id: str, container_id: str) -> None:
        """Gives a new container the current files of another; the bytes are shared."""

        def work(connection: Connection) -> None:
            now = int(time.time())
            for row in connection.execute(_current(owner, source_id).order_by(container_files.c.key)):
                fresh = {"id": ids.new("cfile"), "container_id": container_id, "created_at": now}
                connection.execute(insert(container_files), vars(_file(row)) | fresh)

        await self._database.write(work)

    async def get(self, owner: str, container_id: str, id: str) -> StoredContainerFile | None:
        def work(connection: Connection) -> StoredContainerFile | None:
            row = connection.execute(_files(owner, container_id).where(container_files.c.id == id)).one_or_none()
            return None if row is None else _file(row)

        return await self._database.read(work)

    async def current(self, owner: str, container_id: str) -> list[StoredContainerFile]:
        """The latest version of each file."""
        return await self._database.read(lambda connection: current_files(connection, owner, container_id))

    async def page(self, owner: str, container_id: str, cursor: Cursor) -> Page[StoredContainerFile]:
        """A page of the latest versions. Raises ``ApiError`` for an unknown cursor."""
        query = _current(owner, container_id)

        def work(connection: Connection) -> Page[StoredContainerFile]:
            rows = _MEMBERS.page(connection, query, container_id, cursor)
            return as_page(*rows, _file, lambda file: file.id)

        return await self._database.read(work)

    async def delete(self, owner: str, container_id: str, id: str) -> StoredContainerFile | None:
        """Deletes this version and returns it; None when there is none. No older version takes its place."""

        def work(connection: Connection) -> tuple[StoredContainerFile, bool] | None:
            row = connection.execute(_files(owner, container_id).where(container_files.c.id == id)).one_or_none()
            if row is None:
                return None
            _MEMBERS.delete(connection, container_files.c.id == id)
            shared = select(container_files.c.id).where(container_files.c.blob == row.blob).limit(1)
            return _file(row), connection.scalar(shared) is None

        deleted = await self._database.write(work)
        if deleted is None:
            return None
        file, unused = deleted
        if unused:
            await self.discard([file.blob])
        return file

    async def stored(self, owner: str) -> tuple[int, int]:
        """How many versions the owner's containers hold, and their bytes together."""
        query = select(func.count(), func.coalesce(func.sum(container_files.c.bytes), 0))
        query = query.where(container_files.c.owner == owner)

        def work(connection: Connection) -> tuple[int, int]:
            count, size = connection.execute(query).one()
            return count, int(size)

        return await self._database.read(work)

    def path(self, file: StoredContainerFile) -> Path:
        """Where the file's bytes lie."""
        return self._blobs.path(file.blob)

    async def read(self, file: StoredContainerFile) -> bytes:
        """The file's bytes. Raises ``OSError`` when it was deleted meanwhile."""
        return await asyncio.to_thread(self.path(file).read_bytes)

    async def discard(self, blobs: Iterable[str]) -> None:
        """Deletes bytes that no row names any more."""
        for blob in blobs:
            await asyncio.to_thread(self._blobs.delete, blob)


def current_files(connection: Connection, owner: str, container_id: str) -> list[StoredContainerFile]:
    """The latest version of each file."""
    return [*map(_file, connection.execute(_CURRENT, {"of": owner, "container": container_id}))]


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _files(owner: str | BindParameter[str], container_id: str | BindParameter[str]) -> Select[Any]:
    return select(container_files).where(
        container_files.c.owner == owner, container_files.c.container_id == container_id
    )


def _current(owner: str | BindParameter[str], container_id: str | BindParameter[str]) -> Select[Any]:
    return _files(owner, container_id).where(container_files.c.current)


def _file(row: Row[Any]) -> StoredContainerFile:
    return StoredContainerFile(
        id=row.id,
        owner=row.owner,
        container_id=row.container_id,
        created_at=row.created_at,
        path=row.path,
        bytes=row.bytes,
        source=row.source,
        blob=row.blob,
        current=row.current,
    )


_CURRENT = _current(bindparam("of"), bindparam("container")).order_by(container_files.c.key)
