"""Ingestion as durable jobs: files in status ``in_progress``, which workers lease one by one."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from tools_runtime.stores import ErrorCode, VectorStoreFile
from tools_runtime.stores.changes import note
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import vector_store_files
from tools_runtime.stores.vector_store_files import member

_TABLE = vector_store_files.c
_FREE: dict[str, Any] = {"worker": None, "lease_until": None}


@dataclass(frozen=True)
class Job:
    """A file to read. ``attempts`` counts this one."""

    file: VectorStoreFile
    attempts: int


class JobStore:
    """The jobs as one worker sees them. What it leases is its own for ``lease_seconds``, and again with each ``renew``;
    then another may take it over, and what this one still does with it has no effect."""

    def __init__(self, database: Database, *, worker: str, lease_seconds: float) -> None:
        self._database = database
        self.worker = worker
        self._seconds = lease_seconds

    async def recover(self, embedding_model: str) -> None:
        """Frees what an earlier process of this worker's name had leased, and makes jobs of the files that were
        embedded by another model. Before anything else."""
        foreign = _TABLE.status == "completed", _TABLE.embedding_model != embedding_model
        anew = _FREE | {"status": "in_progress", "usage_bytes": 0, "attempts": 0}

        def work(connection: Connection) -> None:
            connection.execute(update(vector_store_files).where(_TABLE.worker == self.worker).values(**_FREE))
            note(connection, [*connection.scalars(select(_TABLE.key).where(*foreign))])
            connection.execute(update(vector_store_files).where(*foreign).values(**anew))

        await self._database.write(work)

    async def claim(self, after: str) -> Job | None:
        """Leases the oldest free job of the vector store whose id follows ``after``, around in a circle: so a store
        with many files takes no more turns than one with a single file."""
        now = time.time()
        free = _TABLE.status == "in_progress", or_(_TABLE.lease_until.is_(None), _TABLE.lease_until < now)
        query = select(vector_store_files).where(*free).order_by(_TABLE.vector_store_id, _TABLE.key).limit(1)

        def work(connection: Connection) -> Job | None:
            row = connection.execute(query.where(_TABLE.vector_store_id > after)).one_or_none()
            row = row or connection.execute(query).one_or_none()
            if row is None:
                return None
            lease = {"worker": self.worker, "lease_until": now + self._seconds, "attempts": row.attempts + 1}
            connection.execute(update(vector_store_files).where(_TABLE.key == row.key).values(**lease))
            return Job(member(row), row.attempts + 1)

        return await self._database.write(work)

    async def renew(self, keys: Collection[int]) -> set[int]:
        """Holds on to these jobs. Returns those that are still this worker's: others were deleted, cancelled or taken
        over."""
        mine = self._mine(), _TABLE.key.in_(keys)

        def work(connection: Connection) -> set[int]:
            until = time.time() + self._seconds
            connection.execute(update(vector_store_files).where(*mine).values(lease_until=until))
            return set(connection.scalars(select(_TABLE.key).where(*mine)))

        return await self._database.write(work)

    async def release(self, keys: Collection[int]) -> None:
        """Gives jobs back as if they had not been begun."""
        await self._set(_TABLE.key.in_(keys), _FREE | {"attempts": _TABLE.attempts - 1})

    async def retry(self, file: VectorStoreFile, reason: str, seconds: float, *, counted: bool = True) -> None:
        """Gives a job back, to be tried again after some seconds. ``reason`` is for the operator. An attempt that is
        not ``counted`` is as if it had not been made."""
        later: dict[str, Any] = {"worker": None, "lease_until": time.time() + seconds, "attempt_error": reason}
        if not counted:
            later["attempts"] = _TABLE.attempts - 1
        await self._set(_TABLE.key == file.key, later)

    async def fail(self, file: VectorStoreFile, code: ErrorCode, message: str) -> None:
        """Notes that a file cannot be read, and why. Does nothing when it is no longer this worker's job."""
        await self._set(
            _TABLE.key == file.key, _FREE | {"status": "failed", "error_code": code, "error_message": message}
        )

    async def _set(self, which: ColumnElement[bool], values: dict[str, Any]) -> None:
        query = update(vector_store_files).where(self._mine(), which).values(**values)
        await self._database.write(lambda connection: connection.execute(query).rowcount)

    def _mine(self) -> ColumnElement[bool]:
        return (_TABLE.status == "in_progress") & (_TABLE.worker == self.worker)
