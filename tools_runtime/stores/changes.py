"""The change log: which files of vector stores can be found in another way than before.

Every process keeps indexes of its own in step with the database by following this log. Its numbers are given out by one
row, and one transaction at a time writes: hence they grow in the order of commits, with no gaps, on any database. What
is written there is only *that* a file changed; how it is now says the database.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import index_changes, index_clock


@dataclass(frozen=True)
class Changes:
    """What happened up to ``clock``: the keys of the files that changed, in no order."""

    clock: int
    file_keys: frozenset[int]


def note(connection: Connection, file_keys: Sequence[int]) -> None:
    """Writes into the log that these files changed, as a part of the transaction that changes them."""
    if not file_keys:
        return
    tick = update(index_clock).values(value=index_clock.c.value + len(file_keys)).returning(index_clock.c.value)
    first = connection.execute(tick).scalar_one() - len(file_keys) + 1
    now = int(time.time())
    rows = [{"number": first + n, "file_key": key, "created_at": now} for n, key in enumerate(file_keys)]
    connection.execute(insert(index_changes), rows)


class ChangeLog:
    """The log as those who follow it see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def clock(self) -> int:
        """The number of the last change."""
        return await self._database.read(_clock)

    async def since(self, clock: int) -> Changes | None:
        """The changes after ``clock``. None where the log does not reach back so far: then all must be compared."""
        table = index_changes.c

        def work(connection: Connection) -> Changes | None:
            now = _clock(connection)
            if now == clock:
                return Changes(now, frozenset())
            query = select(table.file_key).where(table.number > clock, table.number <= now)
            keys = [*connection.scalars(query)]
            return Changes(now, frozenset(keys)) if len(keys) == now - clock else None

        return await self._database.read(work)

    async def prune(self, before: float) -> None:
        """Deletes what is older than ``before``, in seconds since 1970."""
        old = delete(index_changes).where(index_changes.c.created_at < int(before))
        await self._database.write(lambda connection: connection.execute(old).rowcount)


def _clock(connection: Connection) -> int:
    return int(connection.execute(select(index_clock.c.value)).scalar_one())
