"""Our types and our order of events, compared with streams that OpenAI's service has sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import collapsed, harness, recorded
from harness.scenarios import ANSWER, SCENARIOS, call
from mcp_servers import hosted, mcp_server
from pydantic import TypeAdapter

from tools_runtime.protocol.events import AnyEvent, Event
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.response import Response

EVENT: TypeAdapter[Event] = TypeAdapter(AnyEvent)
ITEM: TypeAdapter[Any] = TypeAdapter(Item)


@pytest.fixture(params=recorded.streams(), ids=lambda path: path.name.removesuffix(".1.chunks.txt"))
def recording(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_events_are_read_without_loss(recording: Path) -> None:
    for event in recorded.events(recording):
        parsed = EVENT.validate_python(event)
        assert parsed.model_dump(mode="json", exclude_unset=True) == event


def test_items_are_stored_and_read_back_without_loss(recording: Path) -> None:
    for event in recorded.events(recording):
        for item in [event["item"]] if "item" in event else event.get("response", {}).get("output", []):
            assert orjson.loads(ITEM.validate_json(orjson.dumps(item)).model_dump_json(exclude_unset=True)) == item


def test_plain_replies_are_read_without_loss(recording: Path) -> None:
    body = orjson.loads(recording.with_name(recording.name.replace("chunks.txt", "json")).read_bytes())
    if "error" not in body or body["error"] is None:
        assert Response.model_validate(body).model_dump(mode="json", exclude_unset=True) == body


@pytest.mark.parametrize("tool", ["web_search", "file_search", "code_interpreter"])
async def test_a_hosted_call_writes_its_events_in_openais_order(tool: str, tmp_path: Path) -> None:
    theirs = _order(recorded.events(recorded.FOLDER / f"openai-{tool.replace('_', '-')}-tool.1.chunks.txt"))
    # The recorded model calls its tool several times; ours does once.
    first_call_ends = theirs.index(f"done {tool}_call") + 1
    theirs = theirs[:first_call_ends] + theirs[theirs.index("added message") :]
    assert await _our_order(tool.replace("_", " "), tmp_path) == theirs


async def test_an_mcp_servers_tool_is_listed_and_called_in_openais_order(tmp_path: Path) -> None:
    theirs = _order(recorded.events(recorded.FOLDER / "openai-mcp-tool.1.chunks.txt"))
    first_call_ends = theirs.index("done mcp_call") + 1
    theirs = theirs[:first_call_ends] + theirs[theirs.index("added message") :]
    turns = [call("mcp__demo__add", '{"a":1,"b":2}'), ANSWER]
    async with mcp_server() as target, harness(tmp_path, turns, [hosted(target)]) as house:
        ours = await house.events(tools=[target.tool()])
    assert _order(ours) == theirs


async def test_an_approval_is_asked_for_in_openais_words_and_order(tmp_path: Path) -> None:
    theirs = recorded.events(recorded.FOLDER / "openai-mcp-tool-approval.1.chunks.txt")
    turns = [call("mcp__demo__delete", '{"name":"x"}')]
    async with mcp_server() as target, harness(tmp_path, turns, [hosted(target)]) as house:
        ours = await house.events(tools=[target.tool(require_approval="always")])
    assert _order(ours) == _order(theirs)
    assert [item.keys() for item in _items(ours)] == [item.keys() for item in _items(theirs)]
    assert ours[0]["response"]["tools"][0].keys() == theirs[0]["response"]["tools"][0].keys()


def _items(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["item"] for event in events if event.get("item", {}).get("type", "reasoning") != "reasoning"]


async def test_a_failure_is_told_in_openais_order(tmp_path: Path) -> None:
    theirs = _order(recorded.events(recorded.FOLDER / "openai-error.1.chunks.txt"))
    assert await _our_order("upstream fails before any delta", tmp_path) == theirs


async def _our_order(scenario: str, folder: Path) -> list[str]:
    chosen = next(candidate for candidate in SCENARIOS if candidate.name == scenario)
    async with chosen.harness(folder) as house:
        return _order(await house.events(**chosen.request))


def _order(events: list[dict[str, Any]]) -> list[str]:
    """The types of the events, runs of deltas collapsed, without reasoning items and annotations."""
    kinds = []
    for event in events:
        kind = event["type"].removeprefix("response.output_item.")
        item = event.get("item", {}).get("type")
        if item != "reasoning" and kind != "response.output_text.annotation.added":
            kinds.append(f"{kind} {item}" if item else kind)
    return collapsed(kinds)
