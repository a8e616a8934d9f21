"""Streams cut off anywhere: what is closed by their events alone is what their readers were told."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.scenarios import SCENARIOS, Scenario

from tools_runtime.engine.accumulator import Accumulator
from tools_runtime.engine.closing import closing
from tools_runtime.protocol import events as ev
from tools_runtime.protocol.codec import load_event
from tools_runtime.protocol.items import CodeInterpreterCall, CustomToolCall, FunctionCall, Message, Reasoning
from tools_runtime.protocol.response import Response

PARTS = ("item_id", "content_index", "summary_index")


async def told(scenario: Scenario, folder: Path) -> list[bytes]:
    async with scenario.harness(folder) as house:
        running = await house.start(**scenario.request)
        return [event.model_dump_json().encode() async for batch in running.log.follow() for event in batch]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_wherever_a_stream_is_cut_off_it_can_be_ended(scenario: Scenario, tmp_path: Path):
    stream = await told(scenario, tmp_path)
    for length in range(1, len(stream)):
        events = [load_event(data) for data in stream[:length]]
        more = closing(events)
        accumulator = Accumulator(Response(id="resp_1", created_at=0, model="m"))
        for event in [*events, *more]:
            accumulator.fold(event)
        final = accumulator.finish("failed", None)
        accumulator.fold(ev.Failed(response=final))  # raises while an item is open
        check_parts([*events, *more])
        check_texts([*events, *more])


def check_parts(events: list[ev.Event]) -> None:
    open_ = set()
    for event in events:
        key = tuple(getattr(event, name, None) for name in PARTS)
        if isinstance(event, ev.ContentPartAdded | ev.SummaryPartAdded):
            open_.add(key)
        elif isinstance(event, ev.ContentPartDone | ev.SummaryPartDone):
            open_.remove(key)
    assert open_ == set()


def check_texts(events: list[ev.Event]) -> None:
    """Each item holds, in the end, all that its deltas told, and each ``done`` event repeats it."""
    deltas: dict[str, str] = {}
    for event in events:
        if isinstance(event, ev.DeltaEvent):
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
        elif isinstance(event, ev.FunctionArgumentsDone):
            assert event.arguments == deltas.get(event.item_id, "")
        elif isinstance(event, ev.OutputItemDone):
            item, said = event.item, deltas.get(event.item.id or "", "")
            if isinstance(item, Message):
                assert said == "".join(getattr(part, "text", getattr(part, "refusal", "")) for part in item.content)
            elif isinstance(item, Reasoning):
                assert said == "".join(part.text for part in [*(item.content or ()), *item.summary])
            elif isinstance(item, FunctionCall | CodeInterpreterCall | CustomToolCall) and said:
                assert said == getattr(item, "arguments", getattr(item, "code", getattr(item, "input", None)))


async def test_closing_writes_what_a_failing_run_writes(tmp_path: Path):
    (scenario,) = [each for each in SCENARIOS if each.name == "upstream dies in mid-stream"]
    stream = [load_event(data) for data in await told(scenario, tmp_path)]
    end = cut = next(n for n, event in enumerate(stream) if event.type == "error")
    while stream[cut - 1].type.endswith(".done"):
        cut -= 1
    by_hand = closing(stream[:cut])
    accumulator = Accumulator(Response(id="resp_1", created_at=0, model="m"))
    for event in [*stream[:cut], *by_hand]:
        accumulator.fold(event)
    assert end - cut == 3
    assert [event.wire() for event in by_hand] == [event.wire() for event in stream[cut:end]]
