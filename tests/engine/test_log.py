"""The event log: what its reader is told, when nothing comes too, and what is kept until then."""

from __future__ import annotations

import asyncio

import pytest

from tools_runtime.engine.log import EventLog
from tools_runtime.errors import ApiError
from tools_runtime.protocol.events import Completed, Created, InProgress
from tools_runtime.protocol.response import Response, Usage


@pytest.fixture
def log() -> EventLog:
    return EventLog(Response(id="resp_1", created_at=0, model="m"))


def complete(log: EventLog) -> None:
    log.accumulator.finish("completed", Usage())
    log.append(Completed(response=log.response))


async def read(log: EventLog) -> list[int | None]:
    return [event.sequence_number async for batch in log.follow() for event in batch]


async def test_a_reader_is_told_what_was_there_and_what_comes(log: EventLog) -> None:
    log.append(Created(response=log.response))
    reader = asyncio.create_task(read(log))
    await asyncio.sleep(0)
    log.append(InProgress(response=log.response))
    await asyncio.sleep(0)
    complete(log)
    assert await reader == [0, 1, 2]


async def test_what_was_taken_is_forgotten(log: EventLog) -> None:
    log.append(Created(response=log.response))
    assert [event.sequence_number for event in log.take()] == [0]
    log.append(InProgress(response=log.response))
    complete(log)
    assert (await read(log), list(log.take()), len(log)) == ([1, 2], [], 3)


async def test_many_events_come_in_several_batches(log: EventLog) -> None:
    log.append(Created(response=log.response))
    for _ in range(1000):
        log.append(InProgress(response=log.response))
    complete(log)
    assert [len(batch) async for batch in log.follow()] == [500, 500, 2]


async def test_there_is_room_when_what_came_has_been_taken(log: EventLog) -> None:
    log.append(Created(response=log.response))
    await log.room(1000)
    log.append(InProgress(response=log.response))
    waiting = asyncio.create_task(log.room(1000))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    log.take()
    await waiting


async def test_what_is_there_comes_in_one_batch(log: EventLog) -> None:
    log.append(Created(response=log.response))
    log.append(InProgress(response=log.response))
    complete(log)
    assert [len(batch) async for batch in log.follow()] == [3]


async def test_an_empty_batch_says_that_nothing_comes(log: EventLog) -> None:
    log.append(Created(response=log.response))
    batches = log.follow(idle_seconds=0.001)
    assert [len(await anext(batches)) for _ in range(3)] == [1, 0, 0]
    complete(log)
    assert [len(batch) async for batch in batches] == [1]


async def test_an_abandoned_log_lets_its_readers_go(log: EventLog) -> None:
    log.append(Created(response=log.response))
    reader = asyncio.create_task(read(log))
    await asyncio.sleep(0)
    log.abandon()
    assert await reader == [0]


async def test_the_final_response_is_waited_for(log: EventLog) -> None:
    log.append(Created(response=log.response))
    waiting = asyncio.create_task(log.finished())
    await asyncio.sleep(0)
    complete(log)
    assert (await waiting).status == "completed"


async def test_a_runs_error_is_raised_to_whoever_waits_for_the_response(log: EventLog) -> None:
    log.append(Created(response=log.response))
    log.error = ApiError("No.")
    complete(log)
    with pytest.raises(ApiError, match=r"No\."):
        await log.finished()
