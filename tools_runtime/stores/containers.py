"""Containers of the code interpreter: what is known of them after their sessions have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, insert, or_, select, update

from tools_runtime import ids
from tools_runtime.stores import DAY, Cursor, NewContainer, Page, StoredContainer, StoredContainerFile
from tools_runtime.stores.container_files import current_files
from tools_runtime.stores.database import Database
from tools_runtime.stores.paging import Members, as_page
from tools_runtime.stores.schema import container_files, containers

_MEMBERS = Members(containers.c.key, containers.c.id, within=containers.c.owner)

_MANY = 100
"""How many are deleted in one transaction."""

_HERE = select(containers.c.id).where(
    containers.c.id == bindparam("container"), containers.c.worker == bindparam("here"), ~containers.c.ended
)


class ContainerStore:
    """Stored containers. ``clock`` tells the seconds since 1970. ``worker`` names this process, over restarts: sessions
    are in processes, and a container's is in the one that began it last."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time, *, worker: str) -> None:
        self._database = database
        self._worker = worker
        self.now = clock

    async def start(self) -> None:
        """Ends the containers whose sessions an earlier process of this name had; those that never had one live on."""
        query = update(containers).where(containers.c.started, self._here()).values(ended=True)
        await self._database.write(lambda connection: connection.execute(query).rowcount)

    async def create(
        self, owner: str, new: NewContainer, *, id: str | None = None, started: bool = False
    ) -> StoredContainer:
        """A container, under ``id`` where one was given out already."""
        now = int(self.now())
        container = StoredContainer(
            id=id or ids.new("cntr"),
            owner=owner,
            created_at=now,
            last_active_at=now,
            **vars(new),
            started=started,
            expired=False,
        )
        row = vars(container) | {"ended": False, "worker": self._worker if started else None}
        del row["expired"]
        await self._database.write(lambda connection: connection.execute(insert(containers), row).rowcount)
        return container

    async def begin(self, owner: str, id: str) -> bool:
        """Notes that the container has a session now. False when there is no such container any more."""
        values = {"started": True, "ended": False, "worker": self._worker, "last_active_at": int(self.now())}
        query = update(containers).where(*_is(owner, id)).values(**values)
        return await self._database.write(lambda connection: connection.execute(query).rowcount > 0)

    async def get(self, owner: str, id: str) -> StoredContainer | None:
        """The container, without using it."""
        return await self._database.read(lambda connection: self._get(connection, owner, id))

    async def touch(self, owner: str, id: str) -> StoredContainer | None:
        """The container, which is used thereby: unless it has expired, its idle time begins anew."""

        def work(connection: Connection) -> StoredContainer | None:
            now = int(self.now())
            used = update(containers).where(*_is(owner, id), ~_expired(now))
            connection.execute(used.values(last_active_at=now))
            return self._get(connection, owner, id)

        return await self._database.write(work)

    async def page(self, owner: str, cursor: Cursor, *, name: str | None = None) -> Page[StoredContainer]:
        """A page of containers. Raises ``ApiError`` for an unknown cursor."""
        query = _containers(owner)
        if name is not None:
            query = query.where(containers.c.name == name)

        def work(connection: Connection) -> Page[StoredContainer]:
            rows = _MEMBERS.page(connection, query, owner, cursor)
            return as_page(*rows, self._container, lambda container: container.id)

        return await self._database.read(work)

    async def running(self, owner: str) -> tuple[int, int]:
        """How many of the owner's containers have not expired, and when the first of them will, if none is used."""
        now = int(self.now())
        ends = func.min(containers.c.last_active_at + containers.c.idle_minutes * 60)
        query = select(func.count(), ends).where(containers.c.owner == owner, ~_expired(now))

        def work(connection: Connection) -> tuple[int, int]:
            count, first = connection.execute(query).one()
            return count, first if first is not None else now

        return await self._database.read(work)

    async def end(self, id: str) -> None:
        """Notes that the container has expired, unless another process has begun it again."""
        query = update(containers).where(containers.c.id == id, self._here()).values(ended=True)
        await self._database.write(lambda connection: connection.execute(query).rowcount)

    async def here(self, ids: Collection[str]) -> set[str]:
        """Those of the containers whose session is in this process: the others were deleted, have expired or were begun
        again by another process."""
        return await self._database.read(lambda connection: {id for id in ids if self._is_here(connection, id)})

    async def files_here(self, owner: str, id: str) -> list[StoredContainerFile] | None:
        """The latest version of each file; None when the container's session is not in this process any more."""
        return await self._database.read(
            lambda connection: current_files(connection, owner, id) if self._is_here(connection, id) else None
        )

    async def keep_active(self, used_at: Mapping[str, float]) -> None:
        """Notes when each of the containers was last used here; another process may have used it later."""
        rows = [{"container": id, "used": int(seconds)} for id, seconds in used_at.items()]
        earlier = containers.c.last_active_at < bindparam("used")
        query = update(containers).where(containers.c.id == bindparam("container"), earlier)
        query = query.values(last_active_at=bindparam("used"))
        if rows:
            await self._database.write(lambda connection: connection.execute(query, rows).rowcount)

    async def delete(self, owner: str, id: str) -> list[str] | None:
        """Deletes the container and its files. Returns the blobs that nobody needs any more; None when there is no such
        container."""

        def work(connection: Connection) -> list[str] | None:
            if self._get(connection, owner, id) is None:
                return None
            return _delete(connection, containers.c.id == id)

        return await self._database.write(work)

    async def purge(self, days: int) -> list[str]:
        """Deletes containers, of all owners, that expired ``days`` ago, some at a time. Returns the blobs that nobody
        needs any more."""
        now = int(self.now())
        old = _expired(now), containers.c.last_active_at < now - days * DAY
        some = select(containers.c.id).where(*old).order_by(containers.c.key).limit(_MANY)

        def work(connection: Connection) -> list[str]:
            return _delete(connection, containers.c.id.in_([*connection.scalars(some)]))

        return await self._database.write(work)

    def _is_here(self, connection: Connection, id: str) -> bool:
        return connection.scalar(_HERE, {"container": id, "here": self._worker}) is not None

    def _here(self) -> ColumnElement[bool]:
        return or_(containers.c.worker.is_(None), containers.c.worker == self._worker)

    def _get(self, connection: Connection, owner: str, id: str) -> StoredContainer | None:
        row = connection.execute(_containers(owner).where(containers.c.id == id)).one_or_none()
        return None if row is None else self._container(row)

    def _container(self, row: Row[Any]) -> StoredContainer:
        return StoredContainer(
            id=row.id,
            owner=row.owner,
            created_at=row.created_at,
            last_active_at=row.last_active_at,
            name=row.name,
            idle_minutes=row.idle_minutes,
            memory_limit=row.memory_limit,
            network_policy=row.network_policy,
            started=row.started,
            expired=row.ended or row.last_active_at + row.idle_minutes * 60 <= self.now(),
        )


def _is(owner: str, id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return containers.c.owner == owner, containers.c.id == id


def _expired(now: int) -> ColumnElement[bool]:
    return or_(containers.c.ended, containers.c.last_active_at + containers.c.idle_minutes * 60 <= now)


def _containers(owner: str) -> Select[Any]:
    return select(containers).where(containers.c.owner == owner)


def _delete(connection: Connection, *which: ColumnElement[bool]) -> list[str]:
    inside = container_files.c.container_id.in_(select(containers.c.id).where(*which))
    elsewhere = select(container_files.c.blob).where(~inside)
    blobs = select(container_files.c.blob).where(inside, container_files.c.blob.not_in(elsewhere)).distinct()
    unused = [*connection.scalars(blobs)]
    _MEMBERS.delete(connection, *which)
    return unused
