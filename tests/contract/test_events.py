"""Every event that this server writes, judged by OpenAI's own package: its types and its accumulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import pytest
import pytest_asyncio
from harness.scenarios import SCENARIOS, Scenario
from openai._models import BaseModel, construct_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent

from tools_runtime.errors import ApiError

Json = dict[str, Any]

TYPES: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}

OPEN_RESPONSES_FIELDS = {
    *("id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id"),
    *("instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text"),
    *("top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata"),
    *("safety_identifier", "prompt_cache_key"),
}
NOT_NULL = {
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "service_tier",
    "store",
    "background",
    "parallel_tool_calls",
    "truncation",
    "text",
    "tool_choice",
}
"""What the Open Responses schema requires of a response object, and which of it may not be null."""

BEYOND_OPENAI = {"presence_penalty", "frequency_penalty", "store", "results", "url", "title", "text"}
"""Fields that OpenAI's types do not have: four of Open Responses, and those of ``web_search_call.results``."""
LACKING = {"custom_tool_call": {"status"}, "response.shell_call_command": {"item_id"}}
"""Fields that OpenAI's types lack only in some places: output items of custom tools have their status in lists of
items, and so do they on the wire; a shell's events name no item."""

INDEXES = ("item_id", "content_index", "summary_index", "command_index")
WHOLES = {"text", "refusal", "arguments", "code", "input", "command"}


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name, scope="module")
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def events(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    async with scenario.harness(tmp_path_factory.mktemp("streamed")) as house:
        return await house.events(**scenario.request)


def test_events_are_of_openais_types(events: list[Json]) -> None:
    for event in events:
        if event["type"] == "error":
            # On the wire the fields are nested, as in the recorded streams; the package's type has them flat.
            ResponseErrorEvent.model_validate(event["error"] | {key: event[key] for key in ("type", "sequence_number")})
        else:
            model = TYPES[event["type"]].model_validate(event)
            known = BEYOND_OPENAI.union(*(LACKING[key] for key in LACKING if key in str(event)))
            assert _unknown_fields(model) <= known


def test_numbers_have_no_gaps_and_indexes_are_in_the_order_of_opening(events: list[Json]) -> None:
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == list(range(len(added)))
    index = {event["item"]["id"]: event["output_index"] for event in added}
    for event in events:
        if "output_index" in event:
            assert event["output_index"] == index[event.get("item_id") or event["item"]["id"]]


def test_every_item_is_opened_closed_and_in_the_final_output(events: list[Json], scenario: Scenario) -> None:
    final = events[-1]["response"]
    assert events[-1]["type"] == f"response.{scenario.status}" and final["status"] == scenario.status
    done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    assert [done[index] for index in range(len(final["output"]))] == final["output"]
    assert len(done) == len(final["output"])


def test_deltas_add_up_to_what_their_done_events_repeat(events: list[Json]) -> None:
    texts: dict[tuple[str, ...], str] = {}
    for event in events:
        kind, _, step = event["type"].rpartition(".")
        key = (kind, *(str(event.get(name)) for name in INDEXES))
        if step == "delta":
            texts[key] = texts.get(key, "") + event["delta"]
        elif step == "done" and (whole := WHOLES & event.keys()):
            assert texts.pop(key, "") == event[whole.pop()]
    # Code that was cut off has no done event; the item keeps what there was of it.
    assert {kind for kind, *_ in texts} <= {"response.code_interpreter_call_code"}
    done = {e["item"]["id"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    assert all(done[key[1]]["code"] == text and done[key[1]]["status"] == "incomplete" for key, text in texts.items())


def test_openais_accumulator_rebuilds_the_final_response(events: list[Json], scenario: Scenario) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    snapshots: dict[int, Any] = {}
    for event in events:
        if event["type"] == "error":
            return  # the client raises it, and reads no further
        for fired in state.handle_event(cast(Any, construct_type(type_=ResponseStreamEvent, value=event))):
            if fired.type == "response.output_text.delta":
                snapshots[fired.output_index] = fired.snapshot
    output = events[-1]["response"]["output"]
    assert snapshots == {i: _text(item) for i, item in enumerate(output) if item["type"] == "message" and _text(item)}
    assert [state._completed_output[i].to_dict() for i in range(len(output))] == output
    if scenario.status == "completed":
        assert state._completed_response is not None
        assert _without_parsed(state._completed_response.to_dict()) == events[-1]["response"]


def test_response_objects_have_every_required_field(events: list[Json]) -> None:
    for event in events:
        if "response" in event:
            response = event["response"]
            assert response.keys() >= OPEN_RESPONSES_FIELDS
            assert not [name for name in NOT_NULL if response[name] is None]
            assert response["reasoning"] is None or response["reasoning"].keys() >= {"effort", "summary"}
            Response.model_validate(response)
    usage = events[-1]["response"]["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_the_plain_reply_is_the_final_object_of_the_stream(
    events: list[Json], scenario: Scenario, tmp_path: Path
) -> None:
    async with scenario.harness(tmp_path) as house:
        if scenario.status == "failed":
            with pytest.raises(ApiError) as raised:
                await house.reply(**scenario.request)
            assert raised.value.message == events[-1]["response"]["error"]["message"]
        else:
            plain = await house.reply(**scenario.request)
            assert _anonymous(plain) == _anonymous(events[-1]["response"])


def _unknown_fields(value: Any) -> set[str]:
    """Names of fields, at any depth, that OpenAI's types do not declare."""
    if isinstance(value, BaseModel):
        found = set(value.model_extra or ())
        return found.union(*(_unknown_fields(getattr(value, name)) for name in type(value).model_fields))
    if isinstance(value, list):
        return set().union(*(_unknown_fields(item) for item in value))
    return set()


def _text(message: Json) -> str:
    return "".join(part.get("text", "") for part in message["content"])


def _without_parsed(value: Any) -> Any:
    """``value`` without the fields that the package's accumulator adds."""
    if isinstance(value, dict):
        return {k: _without_parsed(v) for k, v in value.items() if k not in ("parsed", "parsed_arguments")}
    return [_without_parsed(item) for item in value] if isinstance(value, list) else value


def _anonymous(response: Json) -> Json:
    """The response without what differs from run to run: ids (but for their prefixes) and times."""
    items = [item | {"id": item["id"].split("_")[0]} for item in response["output"]]
    return response | {"id": None, "created_at": None, "completed_at": None, "output": items}
