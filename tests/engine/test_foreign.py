"""Items of tools that are not hosted here: what each becomes for a model server, and that none breaks anything."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any, get_args

import aiohttp
import pytest
from campaigns import Campaign
from harness import harness
from harness.scenarios import ANSWER, CRM, PATCH
from harness.server import serving
from mcp_servers import hosted
from openai.types.responses import ResponseInputItem, ResponseOutputItem

from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, InputImage, InputText
from tools_runtime.protocol.prompt import NativeItem, PromptItem
from tools_runtime.upstreams.scripted import ScriptedUpstream

PNG = "data:image/png;base64,iVBORw0KGgo="
HELLO = {"role": "user", "content": "hi"}
FIND = {"type": "function", "name": "find_mail", "parameters": {"type": "object"}}

PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], str, Any]] = {
    "custom": (
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        "patch",
        "done",
    ),
    "custom, in a namespace, with parts": (
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "namespace": "crm", "input": "SELECT 1"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
        "crm__sql",
        [InputText(text="1")],
    ),
    "function in a namespace": (
        {"type": "function_call", "call_id": "c", "name": "find", "namespace": "crm", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Ada"},
        "crm__find",
        "Ada",
    ),
    "shell": (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "x"], "timeout_ms": None}},
        {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [
                {"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
                {"stdout": "", "stderr": "slow", "outcome": {"type": "timeout"}},
            ],
        },
        "shell",
        "a\n\n[exit code 0]\nslow\n[timed out]",
    ),
    "local_shell": (
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "action": {"type": "exec", "command": ["ls"]},
         "status": "completed"},
        {"type": "local_shell_call_output", "id": "c", "output": "a"},
        "local_shell",
        "a",
    ),
    "apply_patch": (
        {"type": "apply_patch_call", "call_id": "c", "status": "completed",
         "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no such file"},
        "apply_patch",
        "no such file",
    ),
    "computer": (
        {"type": "computer_call", "id": "cu_1", "call_id": "c", "pending_safety_checks": [], "status": "completed",
         "action": {"type": "click", "x": 1, "y": 2, "button": "left"}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": PNG}},
        "computer",
        [InputImage(image_url=PNG)],
    ),
    "tool_search": (
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "mail"}},
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [FIND]},
        "tool_search",
        "These tools can be called now: find_mail.",
    ),
    "program": (
        {"type": "program", "id": "prog_1", "call_id": "c", "code": "1", "fingerprint": "f"},
        {"type": "program_output", "id": "po_1", "call_id": "c", "result": "1", "status": "completed"},
        "program",
        "1",
    ),
}  # fmt: skip

ALONE: tuple[dict[str, Any], ...] = (
    {"type": "tool_search_call", "id": "ts_1", "execution": "server", "arguments": {}, "status": "completed"},
    {"type": "tool_search_output", "id": "to_1", "execution": "server", "tools": [FIND], "status": "completed"},
    {"type": "additional_tools", "role": "developer", "tools": [FIND, CRM]},
    {"type": "configuration_update", "reasoning": {"effort": "low"}},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "a", "tools": []},
)

OTHERS: tuple[dict[str, Any], ...] = (
    HELLO,
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
     "content": [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}]},
    {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "low"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_file", "file_data": "eA==", "filename": "a.txt"}]},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}],
     "content": [{"type": "reasoning_text", "text": "x"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"]},
    {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "cntr_1"},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "a", "name": "f", "arguments": "{}", "output": "x"},
    {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "a", "name": "f", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False},
    {"type": "compaction", "encrypted_content": "gAAA"},
    {"type": "compaction_trigger"},
    {"type": "item_reference", "id": "msg_1"},
)  # fmt: skip


async def shown(folder: Path, *items: dict[str, Any], native: tuple[str, ...] = ()) -> list[PromptItem]:
    """What the model server is shown of the items, but for the user's message at the end."""
    async with harness(folder, ScriptedUpstream([ANSWER], native_tools=native)) as house:
        await house.reply(input=[*items, HELLO], tools=[PATCH, CRM])
        return list(house.upstream.prompts[0].items[:-1])


@pytest.mark.parametrize("name", PAIRS)
async def test_a_call_and_its_output_are_shown_as_those_of_a_function(name: str, tmp_path: Path) -> None:
    asked, answered, function, output = PAIRS[name]
    call, result = await shown(tmp_path, asked, answered)
    assert isinstance(call, FunctionCall) and (call.name, call.call_id, call.namespace) == (function, "c", None)
    assert isinstance(result, FunctionCallOutput) and (result.call_id, result.output) == ("c", output)


@pytest.mark.parametrize("name", PAIRS)
async def test_a_server_that_takes_the_tool_is_shown_the_items_themselves(name: str, tmp_path: Path) -> None:
    asked, answered, *_ = PAIRS[name]
    every = ("custom", "namespace", "shell", "local_shell", "apply_patch", "computer", "tool_search",
             "programmatic_tool_calling")  # fmt: skip
    call, result = await shown(tmp_path, asked, answered, native=every)
    for item, sent in ((call, asked), (result, answered)):
        assert isinstance(item, NativeItem | FunctionCall | FunctionCallOutput)
        assert sent.items() <= item.wire().items()


@pytest.mark.parametrize("item", ALONE, ids=lambda item: f"{item['type']} {item.get('execution', '')}")
async def test_what_a_model_cannot_use_is_not_shown(item: dict[str, Any], tmp_path: Path) -> None:
    assert await shown(tmp_path, item) == []


async def test_an_image_that_was_made_is_told(tmp_path: Path) -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="}
    call, output = await shown(tmp_path, item | {"revised_prompt": "a duck"})
    assert isinstance(call, FunctionCall) and call.arguments == '{"prompt":"a duck"}'
    assert isinstance(output, FunctionCallOutput) and "aGk=" not in str(output.output)


@pytest.mark.parametrize("name", PAIRS)
async def test_a_call_needs_its_output_and_an_output_its_call(name: str, tmp_path: Path) -> None:
    asked, answered, *_ = PAIRS[name]
    for lone in (asked, answered):
        async with harness(tmp_path, [ANSWER]) as house:
            with pytest.raises(ApiError, match="call") as raised:
                await house.reply(input=[HELLO, lone])
            assert (raised.value.status, raised.value.param) == (400, "input")


async def test_tools_that_items_have_added_can_be_called(tmp_path: Path) -> None:
    found = [*PAIRS["tool_search"][:2], {"type": "additional_tools", "role": "developer", "tools": [CRM, FIND]}]
    async with harness(tmp_path, [ANSWER, ANSWER]) as house:
        first = await house.reply(input=[*found, HELLO])
        await house.reply(input="Go on.", previous_response_id=first["id"])
        for prompt in house.upstream.prompts:
            assert [each.name for each in prompt.functions] == ["find_mail", "crm__find", "crm__sql"]
    assert first["tools"] == []


async def test_a_tool_of_an_item_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    item = {"type": "additional_tools", "tools": [FIND, {"type": "function"}]}
    async with harness(tmp_path, [ANSWER]) as house:
        with pytest.raises(ApiError) as raised:
            await house.reply(input=[HELLO, item])
    assert raised.value.param == "input[1].tools[1]"


def _types(union: Any) -> set[str]:
    """The types of the members of one of OpenAI's unions of items."""
    kinds = [get_args(member.model_fields["type"].annotation) for member in get_args(get_args(union)[0])]
    literals = [literal for kind in kinds for literal in kind]
    return {one for each in literals for one in (get_args(each) or (each,)) if isinstance(one, str)}


def test_every_type_of_item_is_among_those_that_are_tried() -> None:
    forms = [*OTHERS, *ALONE, *(form for pair in PAIRS.values() for form in pair[:2])]
    assert {form.get("type", "message") for form in forms} >= _types(ResponseInputItem) | _types(ResponseOutputItem)
    assert (len(_types(ResponseInputItem)), len(_types(ResponseOutputItem))) >= (31, 28)


@pytest.mark.campaign
async def test_no_item_breaks_the_server(tmp_path: Path, campaign: Campaign) -> None:
    forms = [*OTHERS, *ALONE, *(form for pair in PAIRS.values() for form in pair[:2])]
    natives = (), ("custom", "shell", "namespace", "image_generation", "mcp", "compaction", "tool_search")
    for native in natives:
        (tmp_path / str(len(native))).mkdir()
        async with (
            serving(
                tmp_path / str(len(native)), ScriptedUpstream(lambda prompt: ANSWER, native_tools=native), [hosted()]
            ) as served,
            aiohttp.ClientSession() as client,
        ):
            rounds = 0
            for rng in campaign.rounds():
                items = [mutated(rng, copy.deepcopy(rng.choice(forms))) for _ in range(rng.randint(1, 4))]
                for pair in rng.sample(sorted(PAIRS), rng.randint(0, 2)):
                    items += copy.deepcopy(PAIRS[pair][:2])
                body = {"input": items, "tools": [PATCH, CRM], "store": rng.random() < 0.2}
                async with client.post(f"{served.url}/responses", json=body) as reply:
                    assert reply.status in (200, 400, 404), (await reply.text(), items)
                    assert reply.status == 200 or (await reply.json())["error"]["message"], items
                rounds += 1
        assert rounds


def mutated(rng: random.Random, value: Any) -> Any:
    """``value`` as it is, or with something in it replaced, taken out or put in."""
    if rng.random() < 0.5:
        return value
    place: Any = value
    while isinstance(place, dict | list) and place and rng.random() < 0.7:
        inner = rng.choice(list(place.values()) if isinstance(place, dict) else place)
        if not isinstance(inner, dict | list):
            break
        place = inner
    junk = rng.choice([None, 5, -1.5, True, "", "x" * 300, [], {}, [None], {"type": "message"}, {"type": []}])
    if isinstance(place, dict):
        name = rng.choice([*place, "novelty", "type", "id", "call_id", "status"])
        if rng.random() < 0.3:
            place.pop(name, None)
        else:
            place[name] = junk
    elif isinstance(place, list):
        place.append(junk)
    return value
