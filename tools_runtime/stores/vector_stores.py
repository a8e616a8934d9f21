"""Vector stores: their names, times and counts. Their files are in ``vector_store_files``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update

from tools_runtime import ids
from tools_runtime.stores import DAY, Cursor, FileCounts, NewVectorStore, Page, VectorStore
from tools_runtime.stores.changes import note
from tools_runtime.stores.database import Database
from tools_runtime.stores.paging import Members, as_page
from tools_runtime.stores.schema import chunks, vector_store_files, vector_stores

_MEMBERS = Members(vector_stores.c.key, vector_stores.c.id, within=vector_stores.c.owner)

_MANY = 500


class VectorStoreStore:
    """Stored vector stores."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, new: NewVectorStore) -> VectorStore:
        now = int(time.time())
        store = VectorStore(id=ids.new("vs"), created_at=now, last_active_at=now, **vars(new))
        row = vars(new) | {"id": store.id, "owner": owner, "created_at": now, "last_active_at": now}
        await self._database.write(lambda connection: connection.execute(insert(vector_stores), row).rowcount)
        return store

    async def get(self, owner: str, id: str) -> VectorStore | None:
        return await self._database.read(lambda connection: _get(connection, owner, id))

    async def page(self, owner: str, cursor: Cursor) -> Page[VectorStore]:
        """A page of vector stores. Raises ``ApiError`` for an unknown cursor."""

        def work(connection: Connection) -> Page[VectorStore]:
            rows, has_more = _MEMBERS.page(connection, _stores(owner), owner, cursor)
            usage = _usage(connection, owner, [row.id for row in rows])
            return as_page(rows, has_more, lambda row: _store(row, usage), lambda store: store.id)

        return await self._database.read(work)

    async def update(self, owner: str, id: str, changes: dict[str, Any]) -> VectorStore | None:
        """Sets ``name``, ``metadata`` or ``expires_after_days``. None when there is no such vector store."""

        def work(connection: Connection) -> VectorStore | None:
            if changes:
                connection.execute(update(vector_stores).where(*_is(owner, id)).values(**changes))
            return _get(connection, owner, id)

        return await self._database.write(work)

    async def expiries(self, owner: str, ids: Sequence[str]) -> dict[str, int | None]:
        """When each of these vector stores expires, in seconds since 1970; those that do not exist are left out."""
        store = vector_stores.c
        query = select(store.id, store.last_active_at, store.expires_after_days)
        query = query.where(store.owner == owner, store.id.in_(ids))

        def work(connection: Connection) -> dict[str, int | None]:
            rows = connection.execute(query)
            return {id: None if days is None else active + days * DAY for id, active, days in rows}

        return await self._database.read(work)

    async def touch(self, owner: str, store_ids: Sequence[str]) -> None:
        """Notes that the vector stores are in use, which puts off their expiry."""
        used = vector_stores.c.owner == owner, vector_stores.c.id.in_(store_ids)
        query = update(vector_stores).where(*used).values(last_active_at=int(time.time()))
        await self._database.write(lambda connection: connection.execute(query).rowcount)

    async def expire(self, now: float) -> bool:
        """Deletes what is searched in vector stores whose time is over, some of it at a time; they and their lists of
        files stay. False when all is done."""
        table, store = vector_store_files.c, vector_stores.c
        over = store.last_active_at + store.expires_after_days * DAY <= now
        query = select(table.key).join(vector_stores, store.id == table.vector_store_id)
        query = query.where(over, or_(table.usage_bytes > 0, table.status == "in_progress")).limit(_MANY)

        def work(connection: Connection) -> bool:
            keys = [*connection.scalars(query)]
            mine = table.key.in_(keys)
            connection.execute(delete(chunks).where(chunks.c.file_key.in_(keys)))
            connection.execute(update(vector_store_files).where(mine).values(usage_bytes=0))
            unfinished = table.status == "in_progress"
            connection.execute(update(vector_store_files).where(mine, unfinished).values(status="cancelled"))
            note(connection, keys)
            return bool(keys)

        return await self._database.write(work)

    async def delete(self, owner: str, id: str) -> bool:
        """Deletes the vector store; its files stay. False when there is no such vector store."""

        def work(connection: Connection) -> bool:
            inside = vector_store_files.c.owner == owner, vector_store_files.c.vector_store_id == id
            note(connection, [*connection.scalars(select(vector_store_files.c.key).where(*inside))])
            return bool(_MEMBERS.delete(connection, *_is(owner, id)))

        return await self._database.write(work)


def _is(owner: str, id: str) -> tuple[Any, Any]:
    return vector_stores.c.owner == owner, vector_stores.c.id == id


def _stores(owner: str) -> Select[Any]:
    return select(vector_stores).where(vector_stores.c.owner == owner)


def _get(connection: Connection, owner: str, id: str) -> VectorStore | None:
    row = connection.execute(_stores(owner).where(vector_stores.c.id == id)).one_or_none()
    return None if row is None else _store(row, _usage(connection, owner, [id]))


def _usage(connection: Connection, owner: str, store_ids: Sequence[str]) -> dict[str, tuple[FileCounts, int]]:
    """Of each vector store its counts and bytes; those without files are left out."""
    table = vector_store_files.c
    query = (
        select(table.vector_store_id, table.status, func.count(), func.sum(table.usage_bytes))
        .where(table.owner == owner, table.vector_store_id.in_(store_ids))
        .group_by(table.vector_store_id, table.status)
    )
    counts: dict[str, dict[str, int]] = {}
    used: dict[str, int] = {}
    for store, status, count, size in connection.execute(query):
        counts.setdefault(store, {})[status] = count
        used[store] = used.get(store, 0) + int(size)
    return {store: (FileCounts(**by_status), used[store]) for store, by_status in counts.items()}


def _store(row: Row[Any], usage: dict[str, tuple[FileCounts, int]]) -> VectorStore:
    counts, used = usage.get(row.id, (FileCounts(), 0))
    return VectorStore(
        id=row.id,
        created_at=row.created_at,
        last_active_at=row.last_active_at,
        expires_after_days=row.expires_after_days,
        name=row.name,
        description=row.description,
        metadata=row.metadata,
        counts=counts,
        usage_bytes=used,
    )
