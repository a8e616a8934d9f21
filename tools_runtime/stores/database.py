"""The database: transactions as plain functions, run in threads.

SQLAlchemy Core is used without its asyncio layer: that one crosses a thread for each statement, this one crosses once
for each transaction (docs/decisions/0003-database-threads.md).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url

T = TypeVar("T")
Work = Callable[[Connection], T]

_READERS = 4
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # What was acknowledged survives not only a kill but a power cut; shared commits keep it cheap.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
)

_FULL = ("SQLITE_FULL", "53100")
"""SQLite's name and PostgreSQL's code for a full disk."""


class Database:
    """One database by SQLAlchemy URL, e.g. ``sqlite:////data/tools-runtime.db``. ``open`` it before use.

    ``read`` and ``write`` run a function of a connection in a thread and return its result. Writes that arrive while
    another commit is under way share the next one; a write returns when it is on disk.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self._pending: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Creates the database or brings it up to date."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._migrate)

    async def close(self) -> None:
        """Waits for the writes under way."""
        if self._flushing is not None:
            await self._flushing
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()

    async def read(self, work: Work[T]) -> T:
        """Runs ``work`` on one consistent view of the data."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def write(self, work: Work[T]) -> T:
        """Runs ``work`` in a transaction. What it raises undoes all that it did, and nothing else. ``work`` may be run
        a second time, so it must do nothing beside its statements. Raises ``OSError`` with ``ENOSPC`` when the
        database's disk is full."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append((work, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            outcomes = await loop.run_in_executor(self._writer, self._commit, [work for work, _ in batch])
            for (_, future), (result, error) in zip(batch, outcomes, strict=True):
                if future.cancelled():
                    continue
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
        self._flushing = None

    def _commit(self, batch: list[Work[Any]]) -> list[tuple[Any, Exception | None]]:
        try:
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                results = [work(connection) for work in batch]
            return [(result, None) for result in results]
        except Exception as error:
            if len(batch) == 1:
                return [(None, _full(error) or error)]
            return [outcome for work in batch for outcome in self._commit([work])]

    def _read(self, work: Work[T]) -> T:
        with self._engine.connect() as connection:
            return work(connection)

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "tools_runtime.stores:migrations")
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _full(error: Exception) -> OSError | None:
    """The system's own error where a database refused because its disk is full."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlite_errorname", None) in _FULL or getattr(cause, "sqlstate", None) in _FULL:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        full.__cause__ = error
        return full
    return None


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=_READERS + 1)
    if make_url(url).get_backend_name() == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own: _begin_sqlite does
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock first: one that reads and then writes would fail where it cannot wait for its turn.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
