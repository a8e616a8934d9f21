"""The event log: many readers, early and late, and what they are told when nothing comes."""

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


async def read(log: EventLog, after: int = -1) -> list[int | None]:
    return [event.sequence_number async for batch in log.follow(after) for event in batch]


async def test_readers_see_the_same_whenever_they_come(log: EventLog) -> None:
    early = [asyncio.create_task(read(log)) for _ in range(3)]
    await asyncio.sleep(0)
    log.append(Created(response=log.response))
    await asyncio.sleep(0)
    midway = asyncio.create_task(read(log))
    log.append(InProgress(response=log.response))
    await asyncio.sleep(0)
    complete(log)
    assert await asyncio.gather(*early, midway, read(log)) == [[0, 1, 2]] * 5


async def test_a_reader_may_begin_behind_an_event(log: EventLog) -> None:
    log.append(Created(response=log.response))
    log.append(InProgress(response=log.response))
    reader = asyncio.create_task(read(log, after=0))
    await asyncio.sleep(0)
    complete(log)
    assert await reader == [1, 2]
    assert await read(log, after=2) == []


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
    waiting = [asyncio.create_task(log.finished()) for _ in range(2)]
    await asyncio.sleep(0)
    complete(log)
    assert [response.status for response in await asyncio.gather(*waiting)] == ["completed", "completed"]


async def test_a_runs_error_is_raised_to_whoever_waits_for_the_response(log: EventLog) -> None:
    log.append(Created(response=log.response))
    log.error = ApiError("No.")
    complete(log)
    with pytest.raises(ApiError, match=r"No\."):
        await log.finished()
