"""The accumulator: numbers, indexes, and the rules that no writer may break."""

from __future__ import annotations

import pytest
from harness import decode
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.api import sse
from tools_runtime.engine.accumulator import Accumulator, ProtocolBreach
from tools_runtime.engine.log import EventLog
from tools_runtime.engine.view import View
from tools_runtime.protocol.events import (
    Completed,
    Created,
    Event,
    Failed,
    HostedToolProgress,
    InProgress,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
)
from tools_runtime.protocol.items import FileSearchCall, Message
from tools_runtime.protocol.response import Response, ResponseError, Usage


def a_response() -> Response:
    return Response(id="resp_1", created_at=0, model="m")


def created() -> Created:
    return Created(response=a_response())


def added(id: str | None = "fs_1") -> OutputItemAdded:
    return OutputItemAdded(item=FileSearchCall(id=id))


def done(id: str = "fs_1") -> OutputItemDone:
    return OutputItemDone(item=FileSearchCall(id=id, status="completed", queries=[id]))


def progress(id: str = "fs_1") -> HostedToolProgress:
    return HostedToolProgress(type="response.file_search_call.searching", item_id=id)


def completed() -> Completed:
    return Completed(response=a_response())


def folded(*events: Event) -> Accumulator:
    accumulator = Accumulator(a_response())
    for event in events:
        accumulator.fold(event)
    return accumulator


@pytest.mark.parametrize(
    ("before", "breach"),
    [
        ([], InProgress(response=a_response())),
        ([], added()),
        ([created()], created()),
        ([created(), completed()], progress()),
        ([created(), completed()], completed()),
        ([created(), Failed(response=a_response())], completed()),
        ([created()], progress()),
        ([created()], OutputTextDelta(item_id="fs_1", content_index=0, delta="x")),
        ([created(), added(), done()], progress()),
        ([created(), added()], progress("fs_2")),
        ([created(), added()], added()),
        ([created(), added(), done()], added()),
        ([created()], added(None)),
        ([created()], done()),
        ([created(), added(), done()], done()),
        ([created(), added()], completed()),
    ],
    ids=lambda value: value.type if isinstance(value, Event) else ", ".join(event.type for event in value),
)
def test_a_breach_of_the_rules_raises_and_changes_nothing(before: list[Event], breach: Event) -> None:
    accumulator = folded(*before)
    output = list(accumulator.response.output)
    with pytest.raises(ProtocolBreach):
        accumulator.fold(breach)
    assert accumulator.response.output == output


def test_an_items_index_is_its_place_in_the_order_of_opening() -> None:
    first, second = progress("fs_1"), progress("fs_2")
    accumulator = folded(created(), added("fs_1"), added("fs_2"), second, done("fs_2"), first, done("fs_1"))
    assert (first.output_index, second.output_index) == (0, 1)
    assert [item.id for item in accumulator.response.output] == ["fs_1", "fs_2"]
    assert (second.sequence_number, first.sequence_number) == (3, 5)


def test_a_lifecycle_event_shows_the_response_as_it_was() -> None:
    begin = created()
    accumulator = folded(begin, added(), done())
    accumulator.finish("completed", Usage(input_tokens=3))
    end = completed()
    accumulator.fold(end)
    assert begin.response.output == [] and begin.response.status == "in_progress" and begin.response.usage is None
    assert len(end.response.output) == 1 and end.response.status == "completed"
    assert end.response.completed_at is not None and end.response.usage == Usage(input_tokens=3)


def test_a_run_that_fails_while_it_is_being_stored_is_not_completed() -> None:
    accumulator = folded(created())
    accumulator.finish("completed", Usage())
    failed = accumulator.finish("failed", Usage(), error=ResponseError(code="server_error", message="No."))
    assert failed.status == "failed" and failed.completed_at is None and failed.incomplete_details is None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_parallel_items_are_rebuilt_however_they_interleave(order: list[int]) -> None:
    """Each number lets one of four items take its next step; a client that folds the events sees our output."""
    log = EventLog(a_response())
    log.append(created())
    steps = {item: _life(item) for item in range(4)}
    for item in [*order, *(item for item in range(4) for _ in range(9))]:
        step = next(steps[item], None)
        if step is not None:
            log.append(step)
    log.accumulator.finish("completed", Usage())
    log.append(completed())

    rebuilt: list[dict[str, object]] = []
    events = decode(b"".join(sse.encode(event, obfuscate=False) for event in log.take()) + sse.DONE)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(rebuilt)
            rebuilt.append(event["item"])
        elif "item_id" in event:
            assert rebuilt[event["output_index"]]["id"] == event["item_id"]
        elif event["type"] == "response.output_item.done":
            rebuilt[event["output_index"]] = event["item"]
    full = View(["file_search_call.results"]).response(log.response)
    assert rebuilt == full.wire()["output"] == events[-1]["response"]["output"]


def _life(item: int):  # type: ignore[no-untyped-def]
    """The events of one item: an even one is a search, an odd one a message."""
    id = f"item_{item}"
    if item % 2:
        yield OutputItemAdded(item=Message(id=id, role="assistant", status="in_progress", content=[]))
        for word in "abc":
            yield OutputTextDelta(item_id=id, content_index=0, delta=word)
        yield OutputItemDone(item=Message(id=id, role="assistant", status="completed", content=[]))
    else:
        yield added(id)
        for _ in range(3):
            yield progress(id)
        yield done(id)
