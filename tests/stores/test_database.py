"""Transactions: shared commits, undone failures, durability, and migrations that match the tables."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import conversations, items, metadata


def adding(id: str, *, fail: bool = False):
    def work(connection: Connection) -> str:
        connection.execute(insert(conversations), {"id": id, "owner": "o", "created_at": 1, "metadata": {}})
        if fail:
            raise ValueError(id)
        return id

    return work


def count(connection: Connection) -> int | None:
    return connection.scalar(select(func.count()).select_from(conversations))


async def test_the_migrations_make_the_declared_tables(database: Database):
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []


async def test_opening_twice_changes_nothing(database: Database, database_url: str):
    await database.write(adding("a"))
    again = Database(database_url)
    await again.open()
    assert await again.read(count) == 1
    await again.close()


async def test_processes_write_one_after_another(database: Database, database_url: str):
    """So that keys become visible in the order in which they were given: what follows a log by its keys misses none."""
    began, go = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(connection: Connection) -> None:
        adding("a")(connection)
        began.set()
        assert go.wait(30)
        order.append("first")

    def quick(connection: Connection) -> None:
        adding("b")(connection)
        order.append("second")

    other = Database(database_url)
    await other.open()
    first = asyncio.create_task(database.write(slow))
    assert await asyncio.to_thread(began.wait, 30)
    second = asyncio.create_task(other.write(quick))
    await asyncio.sleep(0.3)
    go.set()
    await asyncio.gather(first, second)
    assert order == ["first", "second"]
    await other.close()


async def test_a_failing_write_undoes_itself_and_no_other_of_its_batch(database: Database):
    works = [database.write(adding(f"c{n}", fail=n % 3 == 0)) for n in range(30)]
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [n % 3 == 0 for n in range(30)]
    assert await database.read(count) == 20


async def test_a_caller_that_gives_up_does_not_stop_the_others(database: Database):
    tasks = [asyncio.create_task(database.write(adding(f"c{n}"))) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(str) == 9


async def test_closing_waits_for_the_writes_under_way(database_url: str):
    database = Database(database_url)
    await database.open()
    pending = [asyncio.create_task(database.write(adding(f"c{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    await database.close()
    assert [await task for task in pending] == [f"c{n}" for n in range(5)]


WRITER = """
import asyncio, sys
from sqlalchemy import insert
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import conversations

async def main():
    database = Database(sys.argv[1])
    await database.open()
    async def one(n):
        row = {"id": f"c{n}", "owner": "o", "created_at": 1, "metadata": {}}
        await database.write(lambda connection: connection.execute(insert(conversations), row).rowcount)
        print(n, flush=True)
    n = 0
    while True:
        await asyncio.gather(*(one(n + i) for i in range(8)))
        n += 8

asyncio.run(main())
"""


def write_until_killed(url: str) -> list[int]:
    """The numbers of the writes that a process acknowledged before it was killed."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(100)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    return acknowledged


async def test_what_was_acknowledged_survives_a_kill(database_url: str):
    acknowledged = await asyncio.to_thread(write_until_killed, database_url)
    database = Database(database_url)
    await database.open()
    stored = await database.read(lambda connection: set(connection.scalars(select(conversations.c.id))))
    await database.close()
    assert {f"c{n}" for n in acknowledged} <= stored


async def test_foreign_keys_hold(database: Database):
    row = {"owner": "o", "id": "i", "response_id": "resp_missing", "output": False, "data": b"{}"}
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: connection.execute(insert(items), row))
