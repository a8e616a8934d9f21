"""A database that is away, or that others keep busy; and writers of several processes, who take turns."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from postgres import Postgres
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.exc import OperationalError

from tools_runtime.stores.connections import Unavailable, refusal
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import conversations, items

KILL_ME = "SELECT pg_terminate_backend(pg_backend_pid())"
KILL_IN_COMMIT = (
    f"CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM ({KILL_ME}); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER kill AFTER INSERT ON conversations DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION kill()",
)


@pytest.fixture
def url(postgres: Postgres, postgres_tables: str) -> Iterator[str]:
    with postgres.database(postgres_tables) as url:
        yield url


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Callable[[], Database]]:
    """Makes databases on the same URL, as several processes do."""
    async with AsyncExitStack() as stack:

        def database() -> Database:
            made = Database(url)
            stack.push_async_callback(made.close)
            return made

        yield database


def add_item(id: str) -> Callable[[Connection], None]:
    row = {"owner": "o", "id": id, "conversation_id": "conv_1", "output": False, "data": b"{}"}
    return lambda connection: connection.execute(insert(items), row) and None


def item_ids(connection: Connection) -> list[str]:
    return [*connection.scalars(select(items.c.id).order_by(items.c.key))]


def until_one_waits(postgres: Postgres) -> None:
    while not postgres.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
        time.sleep(0.01)


async def test_a_write_waits_until_an_earlier_one_can_be_seen(postgres: Postgres, opened: Callable[[], Database]):
    first, second = opened(), opened()
    holding, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        add_item("first")(connection)
        holding.set()
        go_on.wait(60)

    one = asyncio.create_task(first.write(slow))
    await asyncio.to_thread(holding.wait, 60)
    two = asyncio.create_task(second.write(add_item("second")))
    # PostgreSQL alone would give the second a higher key and show it first: a reader that goes on from there would
    # never see the first.
    await asyncio.to_thread(until_one_waits, postgres)
    assert await second.read(item_ids) == []
    go_on.set()
    await asyncio.gather(one, two)
    assert await second.read(item_ids) == ["first", "second"]


async def test_a_server_that_comes_back_is_used_again(
    postgres: Postgres, opened: Callable[[], Database], caplog: pytest.LogCaptureFixture
):
    database = opened()
    await database.write(add_item("before"))
    postgres.stop()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await database.read(item_ids)
    outcomes = await asyncio.gather(*(database.write(add_item("x")) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    postgres.start()
    await database.write(add_item("after"))
    assert await database.read(item_ids) == ["before", "after"]
    said = [record.message.partition(":")[0] for record in caplog.records]
    assert said == ["the database is not available", "the database is available again"]


async def test_a_connection_that_was_lost_while_idle_is_not_noticed(postgres: Postgres, opened: Callable[[], Database]):
    database = opened()
    await database.write(add_item("before"))
    await database.read(item_ids)
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tools-runtime'")
    await database.write(add_item("after"))
    assert await database.read(item_ids) == ["before", "after"]


async def test_a_connection_that_is_lost_undoes_what_was_being_written(opened: Callable[[], Database]):
    database = opened()

    def work(connection: Connection) -> None:
        add_item("lost")(connection)
        connection.execute(text(KILL_ME))

    with pytest.raises(Unavailable):
        await database.write(work)
    assert await database.read(item_ids) == []


async def test_what_may_have_been_written_is_not_written_again(opened: Callable[[], Database]):
    database, runs = opened(), 0

    def work(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        connection.execute(insert(conversations), {"id": f"c{runs}", "owner": "o", "created_at": 1, "metadata": {}})

    await database.write(lambda connection: [connection.execute(text(line)) for line in KILL_IN_COMMIT] and None)
    outcomes = await asyncio.gather(database.write(work), database.write(work), return_exceptions=True)
    assert ([type(outcome) for outcome in outcomes], runs) == ([Unavailable] * 2, 2)


def test_a_turn_that_does_not_come_in_time_is_no_bug(url: str, tmp_path: Path):
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as one, engine.connect() as two:
        one.execute(text("SELECT pg_advisory_xact_lock(1)"))
        two.execute(text("SET LOCAL lock_timeout = '1ms'"))
        with pytest.raises(OperationalError) as postgres_says:
            two.execute(text("SELECT pg_advisory_xact_lock(1)"))
    engine.dispose()
    engine = create_engine(f"sqlite:///{tmp_path}/busy.db", connect_args={"timeout": 0})
    with closing(sqlite3.connect(tmp_path / "busy.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with engine.connect() as one, pytest.raises(OperationalError) as sqlite_says:
            one.execute(text("CREATE TABLE x (y)"))
        third = sqlite3.connect(tmp_path / "busy.db", timeout=0)
        with closing(third), pytest.raises(sqlite3.OperationalError) as driver_says:
            third.execute("BEGIN IMMEDIATE")
    engine.dispose()
    for said in (postgres_says, sqlite_says, driver_says):
        assert isinstance(refusal(said.value), Unavailable)
    assert refusal(ValueError("a bug")).args == ("a bug",)


async def test_text_may_hold_what_postgresql_does_not_take(database: Database):
    await database.write(add_item("a\0b"))
    assert await database.read(item_ids) == ["a\ufffdb"]
    assert (
        await database.read(lambda connection: connection.scalar(select(items.c.id).where(items.c.id == "a\0c")))
        is None
    )
