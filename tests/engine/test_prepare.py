"""From a request to a run: what the response echoes, and what becomes of the input's items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import harness
from harness.scenarios import ANSWER, CODE, WEATHER, call
from harness.tools import code_interpreter

from tools_runtime.engine.prepare import Rules
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import CodeInterpreterCall, FunctionCall
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.upstreams import Finished

ECHOED = {
    "instructions": "Be brief.",
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "parallel_tool_calls": False,
    "prompt_cache_key": "key",
    "prompt_cache_retention": "24h",
    "safety_identifier": "user-1",
    "user": "user-2",
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "temperature": 0.2,
    "top_logprobs": 3,
    "top_p": 0.9,
    "truncation": "auto",
    "metadata": {"a": "b"},
    "store": False,
    "reasoning": {"effort": "high", "summary": "auto", "context": "all_turns", "mode": "pro"},
    "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
    "image": {"context_compression": "enabled"},
    "access_programs": {"cyber": "standard"},
    "tool_choice": {"type": "function", "name": "weather"},
}


async def test_every_parameter_is_echoed(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        response = await house.reply(model="some-model", tools=[WEATHER], **ECHOED)
    assert {name: response[name] for name in ECHOED} == ECHOED
    assert response["model"] == "some-model"


async def test_defaults_are_filled_in(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        response = await house.reply()
    defaults = {"temperature": 1, "top_p": 1, "store": True, "truncation": "disabled", "tool_choice": "auto"}
    assert {name: response[name] for name in defaults} == defaults
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert response["reasoning"] == {"effort": None, "summary": None}
    assert response["model"] == "model", "the default model, where none is named"


async def test_a_json_schema_is_echoed_under_its_own_name(tmp_path: Path) -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True, "description": "d"}
    async with harness(tmp_path, [ANSWER]) as house:
        response = await house.reply(text={"format": schema, "verbosity": "low"})
    assert response["text"] == {"format": schema, "verbosity": "low"}


async def test_instructions_go_before_what_the_tools_have_to_say(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER, ANSWER], [code_interpreter()]) as house:
        await house.reply(instructions="Be brief.", tools=[CODE])
        await house.reply(instructions="Be brief.", tools=[CODE], tool_choice="none")
        told, untold = (prompt.instructions or "" for prompt in house.upstream.prompts)
    assert told.startswith("Be brief.\n\nSources are numbered")
    assert untold == "Be brief."


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        ({"role": "user", "content": "x"}, {"content": [{"type": "input_text", "text": "x"}], "status": "completed"}),
        ({"role": "assistant", "content": "x"}, {"content": [{"type": "output_text", "text": "x", "annotations": [],
                                                              "logprobs": []}]}),
        ({"type": "message", "id": "msg_9", "role": "user", "content": "x", "mood": "good"},
         {"id": "msg_9", "mood": "good"}),
        ({"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "gAAA"},
         {"id": "rs_9", "encrypted_content": "gAAA"}),
        ({"type": "file_search_call", "id": "fs_9", "status": "completed", "queries": ["q"]}, {"queries": ["q"]}),
    ],
)  # fmt: skip
async def test_items_are_kept_whole_with_what_they_lack(tmp_path: Path, item: Any, kept: dict[str, Any]) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        request = CreateResponse.model_validate({"input": [item, {"role": "user", "content": "?"}]})
        prepared = await house.preparer.prepare(request, "default")
    wire = prepared.new_items[0].wire()
    assert kept.items() <= wire.items()
    assert wire["id"] and all(wire[name] == value for name, value in item.items() if name != "content")


async def test_every_new_item_gets_an_id_of_its_kind(tmp_path: Path) -> None:
    items = [
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]
    async with harness(tmp_path, [ANSWER]) as house:
        prepared = await house.preparer.prepare(CreateResponse.model_validate({"input": items}), "default")
    assert [str(item.id).split("_")[0] for item in prepared.new_items] == ["msg", "fc", "fco"]


async def test_what_belongs_to_another_owner_is_not_there(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        made = await house.reply()
        request = CreateResponse.model_validate({"input": "hi", "previous_response_id": made["id"]})
        with pytest.raises(Exception, match="not found"):
            await house.engine.start(request, "somebody else")


async def test_a_hosted_call_that_is_sent_back_without_its_results_has_them_again(tmp_path: Path) -> None:
    async with harness(tmp_path, [call("code_interpreter", "20 + 1"), ANSWER], [code_interpreter()]) as house:
        made = await house.reply(tools=[CODE])
        assert made["output"][0]["outputs"] is None
        request = CreateResponse.model_validate({"input": [*made["output"], {"role": "user", "content": "?"}]})
        own = await house.preparer.prepare(request, "default")
        other = await house.preparer.prepare(request, "somebody else")
    found, missed = own.new_items[0], other.new_items[0]
    assert isinstance(found, CodeInterpreterCall) and isinstance(missed, CodeInterpreterCall)
    assert found.outputs and missed.outputs is None
    assert (found.id, found.code) == (missed.id, missed.code)


async def test_a_call_that_was_cut_off_does_not_block_the_conversation(tmp_path: Path) -> None:
    cut = [*call("weather", '{"city":'), Finished("length")]
    async with harness(tmp_path, [cut, ANSWER]) as house:
        first = await house.reply(tools=[WEATHER])
        assert first["output"][0]["status"] == "incomplete"
        second = await house.reply(previous_response_id=first["id"], input="Go on.")
        assert second["status"] == "completed"
        assert not any(isinstance(item, FunctionCall) for item in house.upstream.prompts[1].items)


# --- what is not known -----------------------------------------------------------------------------------------------

UNKNOWN = {
    "client_metadata": {"a": "b"},
    "reasoning": {"depth": 3},
    "text": {"tone": "dry"},
    "stream_options": {"x": 1},
}
NAMES = ["client_metadata", "reasoning.depth", "text.tone", "stream_options.x"]


async def test_parameters_that_are_not_known_are_accepted_and_left_to_the_model_server(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        response = await house.reply(**UNKNOWN)
        (prompt,) = house.upstream.prompts
    assert response["status"] == "completed" and "client_metadata" not in response
    assert list(prompt.request.unknown()) == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_or_they_are_refused_by_name(name: str, tmp_path: Path) -> None:
    top = name.split(".")[0]
    async with harness(tmp_path, [ANSWER], rules=Rules(unknown_parameters="refuse")) as house:
        with pytest.raises(ApiError) as raised:
            await house.reply(**{top: UNKNOWN[top]})
    assert (raised.value.param, raised.value.code) == (name, "unknown_parameter")
