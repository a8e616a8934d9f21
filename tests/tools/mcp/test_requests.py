"""What a request may say of MCP servers: their options, secrets, approvals and tool choices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness import Harness, harness
from harness.scenarios import ANSWER, call
from mcp_servers import Target, hosted, mcp_server

from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import FunctionCallOutput
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.upstreams.scripted import ScriptedUpstream

DELETE = call("mcp__demo__delete", '{"name":"x"}')
LISTED = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "demo", "tools": []}
GITHUB = {"type": "mcp", "server_label": "github", "server_url": "https://example.com/mcp"}


def names(prompt: Prompt) -> list[str]:
    return [function.name.removeprefix("mcp__demo__") for function in prompt.functions]


def answers(prompt: Prompt) -> list[str]:
    return [str(item.output) for item in prompt.items if isinstance(item, FunctionCallOutput)]


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def refusal(house: Harness, **body: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await house.reply(**body)
    return raised.value


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"server_url": None}, "tools[0].server_url"),
        ({"server_url": "ftp://example.com"}, "tools[0].server_url"),
        ({"server_url": "/mcp"}, "tools[0].server_url"),
        ({"server_url": "http://a b/\x00"}, "tools[0].server_url"),
        ({"server_url": "https://me:secret@example.com/"}, "tools[0].server_url"),
        ({"connector_id": "connector_gmail"}, "tools[0].connector_id"),
        ({"tunnel_id": "t"}, "tools[0].tunnel_id"),
        ({"server_label": "a b"}, "tools[0].server_label"),
        ({"server_label": "1"}, "tools[0].server_label"),
        ({"headers": {"Host": "other"}}, "tools[0].headers"),
        ({"headers": {"mcp-session-id": "x"}}, "tools[0].headers"),
        ({"headers": {"X": "a\r\nY: b"}}, "tools[0].headers"),
        ({"headers": {"X Y": "a"}}, "tools[0].headers"),
        ({"authorization": "a\nb"}, "tools[0].authorization"),
        ({"authorization": "a", "headers": {"authorization": "b"}}, "tools[0].authorization"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(tmp_path: Path, options: dict[str, Any], param: str) -> None:
    async with mcp_server() as target, harness(tmp_path, [], [hosted(target)]) as house:
        error = await refusal(house, tools=[target.tool(**options)])
        assert target.asked == []
    assert (error.status, error.param) == (400, param)


async def test_one_label_is_one_server(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [], [hosted(target)]) as house:
        error = await refusal(house, tools=[target.tool(), target.tool()])
    assert (error.status, error.param) == (400, "tools[1].server_label")


async def test_secrets_reach_the_server_and_nothing_else(tmp_path: Path) -> None:
    async with mcp_server("s3cret-token") as target:
        async with harness(tmp_path, [DELETE, ANSWER], [hosted(target)]) as house:
            tool = target.tool(
                headers={"X-Tenant": "s3cret-tenant"},
                authorization="s3cret-token",
                server_url=f"{target.url}?key=s3cret-query",
            )
            events = await house.events(tools=[tool])
        headers = [headers.get("x-tenant") for headers, _ in target.asked]
    assert headers and set(headers) == {"s3cret-tenant"}
    assert target.made == ["delete"]
    assert "s3cret" not in str(events)
    stored = await asyncio.to_thread(bytes_in, tmp_path)
    assert b"is gone" in stored and b"s3cret" not in stored
    assert events[-1]["response"]["tools"] == [
        {
            "type": "mcp",
            "allowed_tools": None,
            "headers": None,
            "require_approval": "never",
            "server_description": None,
            "server_label": "demo",
            "server_url": target.url,
        }
    ]


@pytest.mark.parametrize(
    ("allowed", "seen"),
    [
        (["add"], ["add"]),
        ({"tool_names": ["add", "delete"]}, ["add", "delete"]),
        ({"read_only": True}, ["add"]),
        ({"tool_names": ["delete"], "read_only": True}, []),
        ([], []),
    ],
)
async def test_only_allowed_tools_are_listed_and_shown(tmp_path: Path, allowed: Any, seen: list[str]) -> None:
    async with mcp_server() as target, harness(tmp_path, [ANSWER, ANSWER], [hosted(target)]) as house:
        first = await house.reply(tools=[target.tool(allowed_tools=allowed)])
        await house.reply(tools=[target.tool(allowed_tools=["add"])], previous_response_id=first["id"])
        assert target.count("tools/list") == 1
    assert [tool["name"] for tool in first["output"][0]["tools"]] == seen
    assert names(house.upstream.prompts[0]) == seen
    assert names(house.upstream.prompts[1]) == [name for name in seen if name == "add"]


async def test_a_list_that_the_client_sends_back_is_used(tmp_path: Path) -> None:
    listed = LISTED | {"tools": [{"name": "add", "input_schema": {}, "annotations": {"readOnlyHint": True}}]}
    body: dict[str, Any] = {"input": [listed, {"role": "user", "content": "hi"}], "store": False}
    async with mcp_server() as target, harness(tmp_path, [ANSWER], [hosted(target)]) as house:
        response = await house.reply(tools=[target.tool(allowed_tools={"read_only": True})], **body)
        assert target.asked == []
    assert names(house.upstream.prompts[0]) == ["add"]
    assert [item["type"] for item in response["output"]] == ["message"]


async def test_tools_of_servers_count_as_tokens(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [], [hosted(target)]) as house:

        async def count(*tools: dict[str, Any]) -> int:
            return await house.contexts.count(CreateResponse.model_validate({"input": "hi", "tools": [*tools]}), "me")

        nothing, one, every = await count(), await count(target.tool(allowed_tools=["add"])), await count(target.tool())
        assert nothing + 10 < one < every - 10
        assert target.count("tools/list") == 2
        target.place = "127.0.0.1:1"
        with pytest.raises(ApiError) as raised:
            await count(target.tool(server_url="http://127.0.0.1:1/mcp"))
        assert raised.value.status == 424


# --- tool choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "first", "later"),
    [
        ({"type": "mcp", "server_label": "demo", "name": "add"}, ["add"], "all"),
        ({"type": "mcp", "server_label": "demo"}, "all", "all"),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "mcp", "server_label": "demo", "name": "add"}],
            },
            ["add"],
            ["add"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "demo"}]},
            "all",
            "all",
        ),
    ],
)
async def test_a_choice_forces_a_tool_or_a_server(tmp_path: Path, choice: Any, first: Any, later: Any) -> None:
    turns = [call("mcp__demo__add", '{"a":1,"b":2}'), ANSWER]
    function = {"type": "function", "name": "mine", "parameters": {}}
    async with mcp_server() as target, harness(tmp_path, turns, [hosted(target)]) as house:
        await house.reply(tools=[target.tool(), function], tool_choice=choice)
    one, two = house.upstream.prompts
    every = [name for name in names(two) if name != "mine"]
    assert (one.choice, names(one)) == ("required", every if first == "all" else first)
    assert two.choice == "auto"
    assert names(two) == later if later != "all" else len(every) > 5


async def test_a_choice_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [], [hosted(target)]) as house:
        for choice in ({"type": "mcp"}, {"type": "mcp", "server_label": "other"}):
            error = await refusal(house, tools=[target.tool()], tool_choice=choice)
            assert (error.status, error.param) == (400, "tool_choice")
        assert target.asked == []
        choice = {"type": "mcp", "server_label": "demo", "name": "nothing"}
        error = await refusal(house, tools=[target.tool()], tool_choice=choice)
        assert (error.status, error.param) == (400, "tool_choice")


async def test_no_server_is_asked_where_no_tool_may_be_called(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [ANSWER], [hosted(target)]) as house:
        await house.reply(tools=[target.tool()], tool_choice="none")
        assert target.asked == []


# --- approvals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": {"tool_names": ["delete"]}}, False),
        ({"never": {"tool_names": ["add"]}}, True),
        ({"never": {"read_only": True}}, True),
        ({"never": {"read_only": False}}, False),
        ({"never": {}}, True),
        ({"always": {"tool_names": ["delete"]}, "never": {"tool_names": ["delete"]}}, True),
        ({"always": {"tool_names": ["add"]}}, True),
    ],
)
async def test_who_must_be_asked(tmp_path: Path, rule: Any, asks: bool) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER], [hosted(target)]) as house:
        response = await house.reply(tools=[target.tool(require_approval=rule)])
        assert target.made == ([] if asks else ["delete"])
    kinds = [item["type"] for item in response["output"][1:]]
    assert kinds == (["mcp_approval_request"] if asks else ["mcp_call", "message"])


async def asked(house: Harness, target: Target) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The tool, the response that asks for leave, and its request."""
    tool = target.tool(require_approval="always")
    response = await house.reply(tools=[tool])
    request = response["output"][1]
    assert response["status"] == "completed"
    assert request == {
        "id": request["id"],
        "type": "mcp_approval_request",
        "arguments": '{"name":"x"}',
        "name": "delete",
        "server_label": "demo",
    }
    assert target.made == []
    return tool, response, request


def answer(request: dict[str, Any], approve: bool, **more: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": approve, **more}


async def test_an_approved_call_is_made_in_the_next_response_once(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER, ANSWER], [hosted(target)]) as house:
        tool, first, request = await asked(house, target)
        events = await house.events(tools=[tool], previous_response_id=first["id"], input=[answer(request, True)])
        second = events[-1]["response"]
        third = await house.reply(tools=[tool], previous_response_id=second["id"], input="And now?")
        assert (target.made, target.count("tools/list")) == (["delete"], 1)
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert second["output"][0]["approval_request_id"] == request["id"]
    assert second["output"][0]["output"] == "x is gone"
    deltas = [event["delta"] for event in events if event["type"] == "response.mcp_call_arguments.delta"]
    assert deltas == ['{"name":"x"}']
    assert [item["type"] for item in third["output"]] == ["message"]
    for prompt in house.upstream.prompts[1:]:
        assert len(answers(prompt)) == 1 and "x is gone" in answers(prompt)[0]


async def test_a_client_that_keeps_the_items_itself_can_approve_too(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER, ANSWER], [hosted(target)]) as house:
        tool, first, request = await asked(house, target)
        chain = [{"role": "user", "content": "hi"}, *first["output"], answer(request, True)]
        second = await house.reply(tools=[tool], store=False, input=chain)
        chain += [*second["output"], {"role": "user", "content": "And now?"}]
        await house.reply(tools=[tool], store=False, input=chain)
        assert (target.made, target.count("tools/list")) == (["delete"], 1)


async def test_a_question_and_its_answer_are_input_enough(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER], [hosted(target)]) as house:
        tool, _, request = await asked(house, target)
        second = await house.reply(tools=[tool], store=False, input=[request, answer(request, True)])
        assert target.made == ["delete"]
        error = await refusal(house, tools=[tool], input=[answer(request, True)])
        assert error.param == "input[0].approval_request_id"
    assert [item["type"] for item in second["output"]] == ["mcp_list_tools", "mcp_call", "message"]


async def test_a_refused_call_is_not_made_and_the_model_is_told(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER], [hosted(target)]) as house:
        tool, first, request = await asked(house, target)
        no = answer(request, False, reason="I need it.")
        second = await house.reply(tools=[tool], previous_response_id=first["id"], input=[no])
        assert target.made == []
    assert [item["type"] for item in second["output"]] == ["message"]
    assert answers(house.upstream.prompts[1]) == ["The user has refused this call. I need it."]


async def test_a_question_that_nobody_answers_is_told_too(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE, ANSWER], [hosted(target)]) as house:
        tool, first, _ = await asked(house, target)
        await house.reply(tools=[tool], previous_response_id=first["id"], input="Never mind.")
        assert target.made == []
    assert "not made" in answers(house.upstream.prompts[1])[0]


async def test_an_answer_needs_its_question_and_its_server(tmp_path: Path) -> None:
    async with mcp_server() as target, harness(tmp_path, [DELETE], [hosted(target)]) as house:
        tool, first, request = await asked(house, target)
        unknown = answer({"id": "mcpr_none"}, True)
        error = await refusal(house, tools=[tool], previous_response_id=first["id"], input=[unknown])
        assert (error.status, error.param) == (400, "input[0].approval_request_id")
        error = await refusal(house, tools=[GITHUB], previous_response_id=first["id"], input=[answer(request, True)])
        assert (error.status, error.param) == (400, "input[0].approval_request_id")
        assert target.made == []


async def test_an_approved_call_that_fails_is_an_error_of_its_item(tmp_path: Path) -> None:
    turns = [call("mcp__demo__refuse", "{}"), ANSWER]
    async with mcp_server() as target, harness(tmp_path, turns, [hosted(target)]) as house:
        tool = target.tool(require_approval="always")
        first = await house.reply(tools=[tool])
        yes = answer(first["output"][1], True)
        second = await house.reply(tools=[tool], previous_response_id=first["id"], input=[yes])
    assert (second["status"], second["output"][0]["error"]["message"]) == ("completed", "not today")


# --- model servers that ask MCP servers themselves -------------------------------------------------------------------


async def test_a_model_server_that_takes_mcp_is_handed_the_tool_and_its_items(tmp_path: Path) -> None:
    upstream = ScriptedUpstream([ANSWER], native_tools=["mcp"])
    items = [
        LISTED,
        {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "demo", "name": "f", "arguments": "{}"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "demo", "name": "f", "arguments": "{}", "output": "x"},
    ]
    async with mcp_server() as target, harness(tmp_path, upstream, [hosted(target)]) as house:
        await house.reply(tools=[target.tool(connector_id="connector_gmail")], input=items)
        assert target.asked == []
    (prompt,) = upstream.prompts
    assert prompt.native[0]["connector_id"] == "connector_gmail"
    assert [item.type for item in prompt.items] == [item["type"] for item in items]
