"""Files in vector stores, and the batches that put them there. Reading them is ``retrieval``'s work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from tools_runtime import ids
from tools_runtime.errors import not_found
from tools_runtime.stores import (
    Attachment,
    Attributes,
    Cursor,
    FileBatch,
    FileCounts,
    FileStatus,
    Page,
    SearchableFile,
    VectorStoreFile,
)
from tools_runtime.stores.changes import note
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import IN_VECTOR_STORES, lives
from tools_runtime.stores.paging import as_page
from tools_runtime.stores.schema import file_batches, files, vector_store_files, vector_stores

_TABLE = vector_store_files.c
_MANY = 500
"""How many keys stand in one query."""


class VectorStoreFileStore:
    """The files of vector stores. A row in status ``in_progress`` is a job; see ``jobs``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def attach(
        self, owner: str, store_id: str, attachments: Sequence[Attachment], *, batch: bool = False
    ) -> tuple[list[VectorStoreFile], FileBatch | None]:
        """Puts files into a vector store, as jobs still to be done. A file that is in it already is read anew. Returns
        the new members, and the batch where one was asked for. Raises a 404 ``ApiError`` for an unknown vector store
        or file, and then changes nothing."""
        now = int(time.time())
        wanted = {one.file_id: one for one in attachments}

        def work(connection: Connection) -> tuple[list[VectorStoreFile], FileBatch | None]:
            _require(connection, owner, store_id, [*wanted], "file_ids" if batch else "file_id")
            inside = _TABLE.owner == owner, _TABLE.vector_store_id == store_id, _TABLE.file_id.in_(wanted)
            note(connection, [*connection.scalars(select(_TABLE.key).where(*inside))])
            connection.execute(delete(vector_store_files).where(*inside))
            batch_id = ids.new("vsfb") if batch else None
            if batch_id is not None:
                row = {"id": batch_id, "owner": owner, "vector_store_id": store_id, "created_at": now}
                connection.execute(insert(file_batches), row)
            place = {"owner": owner, "vector_store_id": store_id, "batch_id": batch_id, "created_at": now}
            new = [vars(one) | place | {"status": "in_progress", "usage_bytes": 0} for one in wanted.values()]
            if new:
                connection.execute(insert(vector_store_files), new)
            added = [member(row) for row in connection.execute(_members(owner).where(*inside).order_by(_TABLE.key))]
            made = None if batch_id is None else _batch(connection, owner, store_id, batch_id)
            return added, made

        return await self._database.write(work)

    async def get(self, owner: str, store_id: str, file_id: str) -> VectorStoreFile | None:
        query = _member_query(owner, store_id, file_id)

        def work(connection: Connection) -> VectorStoreFile | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else member(row)

        return await self._database.read(work)

    async def page(
        self,
        owner: str,
        store_id: str,
        cursor: Cursor,
        *,
        status: FileStatus | None = None,
        batch_id: str | None = None,
    ) -> Page[VectorStoreFile]:
        """A page of a vector store's files, or of one batch of them. Raises ``ApiError`` for an unknown cursor."""
        query = _members(owner).where(_TABLE.vector_store_id == store_id)
        if status is not None:
            query = query.where(_TABLE.status == status)
        if batch_id is not None:
            query = query.where(_TABLE.batch_id == batch_id)

        def work(connection: Connection) -> Page[VectorStoreFile]:
            rows = IN_VECTOR_STORES.page(connection, query, store_id, cursor)
            return as_page(*rows, member, lambda m: m.file_id)

        return await self._database.read(work)

    async def set_attributes(
        self, owner: str, store_id: str, file_id: str, attributes: Attributes
    ) -> VectorStoreFile | None:
        """Replaces the attributes. None when the file is not in the vector store."""
        query = _member_query(owner, store_id, file_id)

        def work(connection: Connection) -> VectorStoreFile | None:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            mine = update(vector_store_files).where(_TABLE.owner == owner, _TABLE.key == row.key)
            connection.execute(mine, {"attributes": attributes})
            note(connection, [row.key])
            return member(connection.execute(query).one())

        return await self._database.write(work)

    async def detach(self, owner: str, store_id: str, file_id: str) -> bool:
        """Takes a file out of a vector store. False when it is not in it."""
        query = _member_query(owner, store_id, file_id)

        def work(connection: Connection) -> bool:
            row = connection.execute(query).one_or_none()
            if row is None:
                return False
            IN_VECTOR_STORES.delete(connection, _TABLE.owner == owner, _TABLE.key == row.key)
            note(connection, [row.key])
            return True

        return await self._database.write(work)

    async def batch(self, owner: str, store_id: str, batch_id: str) -> FileBatch | None:
        return await self._database.read(lambda connection: _batch(connection, owner, store_id, batch_id))

    async def cancel_batch(self, owner: str, store_id: str, batch_id: str) -> FileBatch | None:
        """Cancels those files of the batch that are still in progress. None when there is no such batch."""

        def work(connection: Connection) -> FileBatch | None:
            unfinished = _TABLE.owner == owner, _TABLE.batch_id == batch_id, _TABLE.status == "in_progress"
            connection.execute(update(vector_store_files).where(*unfinished).values(status="cancelled"))
            return _batch(connection, owner, store_id, batch_id)

        return await self._database.write(work)

    async def searchable(self, embedding_model: str, keys: Sequence[int] | None = None) -> list[SearchableFile]:
        """The files of all owners that can be found by vectors of this model; or those with these keys."""
        names = [_TABLE[name] for name in SearchableFile.__dataclass_fields__]
        found = _TABLE.status == "completed", _TABLE.embedding_model == embedding_model, _TABLE.usage_bytes > 0
        query = select(*names).where(*found)

        def work(connection: Connection) -> list[SearchableFile]:
            if keys is None:
                return [SearchableFile(*row) for row in connection.execute(query)]
            parts = [query.where(_TABLE.key.in_(keys[start : start + _MANY])) for start in range(0, len(keys), _MANY)]
            return [SearchableFile(*row) for part in parts for row in connection.execute(part)]

        return await self._database.read(work)


def _require(connection: Connection, owner: str, store_id: str, file_ids: Sequence[str], param: str) -> None:
    owned = vector_stores.c.owner == owner, vector_stores.c.id == store_id
    if connection.scalar(select(vector_stores.c.id).where(*owned)) is None:
        raise not_found("vector store", store_id, param="vector_store_id")
    known = {*connection.scalars(select(files.c.id).where(files.c.owner == owner, files.c.id.in_(file_ids), lives()))}
    for file_id in file_ids:
        if file_id not in known:
            raise not_found("file", file_id, param=param)


def _members(owner: str) -> Select[Any]:
    return select(vector_store_files).where(_TABLE.owner == owner)


def _member_query(owner: str, store_id: str, file_id: str) -> Select[Any]:
    return _members(owner).where(_TABLE.vector_store_id == store_id, _TABLE.file_id == file_id)


def member(row: Row[Any]) -> VectorStoreFile:
    """A row of the table as a value."""
    names = VectorStoreFile.__dataclass_fields__
    return VectorStoreFile(**{name: value for name, value in row._mapping.items() if name in names})


def _batch(connection: Connection, owner: str, store_id: str, batch_id: str) -> FileBatch | None:
    table = file_batches.c
    query = select(table.created_at).where(
        table.owner == owner, table.vector_store_id == store_id, table.id == batch_id
    )
    created_at = connection.scalar(query)
    if created_at is None:
        return None
    counts = select(_TABLE.status, func.count()).where(_TABLE.owner == owner, _TABLE.batch_id == batch_id)
    by_status = {status: count for status, count in connection.execute(counts.group_by(_TABLE.status))}
    return FileBatch(batch_id, store_id, created_at, FileCounts(**by_status))
