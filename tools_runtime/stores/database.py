"""The database: transactions as plain functions, run in threads.

SQLAlchemy Core is used without its asyncio layer: that one crosses a thread for each statement, this one crosses once
for each transaction (docs/decisions/0003-database-threads.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from tools_runtime.stores.connections import READS, WRITES, Unavailable, connect, refusal

T = TypeVar("T")
Work = Callable[[Connection], T]

_log = logging.getLogger(__name__)

_READERS = 4


class Database:
    """One database by SQLAlchemy URL, e.g. ``sqlite:////data/tools-runtime.db``, on as many as five connections.
    ``open`` it before use.

    ``read`` and ``write`` run a function of a connection in a thread and return its result. Writes that arrive while
    another commit is under way share the next one; a write returns when it is on disk. On any database one transaction
    at a time writes, so that keys and numbers grow in the order in which others come to see them. All raise
    ``Unavailable`` while the database is not there, and go on when it is there again.
    """

    def __init__(self, url: str) -> None:
        engine = connect(url, connections=_READERS + 1)
        self._reading = engine.execution_options(**READS.get(engine.dialect.name, {}))
        self._writing = engine.execution_options(writes=True, **WRITES.get(engine.dialect.name, {}))
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self._pending: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._missing = False

    async def open(self) -> None:
        """Creates the tables or brings them up to date."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._migrate)

    async def close(self) -> None:
        """Waits for the writes under way."""
        if self._flushing is not None:
            await self._flushing
        self._writer.shutdown()
        self._readers.shutdown()
        self._writing.dispose()

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
            with self._writing.connect() as connection, connection.begin():
                results = [work(connection) for work in batch]
            self._found()
            return [(result, None) for result in results]
        except Exception as error:
            refused = self._refusal(error)
            # A connection that was lost in the commit says nothing of whether it was done: doing it again might do it
            # twice.
            if len(batch) == 1 or isinstance(refused, Unavailable):
                return [(None, refused)] * len(batch)
            return [outcome for work in batch for outcome in self._commit([work])]

    def _read(self, work: Work[T]) -> T:
        try:
            with self._reading.connect() as connection:
                result = work(connection)
            self._found()
            return result
        except Exception as error:
            raise self._refusal(error) from error

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "tools_runtime.stores:migrations")
        with self._writing.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _refusal(self, error: Exception) -> Exception:
        refused = refusal(error)
        if isinstance(refused, Unavailable) and not self._missing:
            self._missing = True
            _log.error("the database is not available: %s", str(getattr(error, "orig", error)).strip())
        return refused

    def _found(self) -> None:
        if self._missing:
            self._missing = False
            _log.warning("the database is available again")
