"""A request's tools and its tool choice, resolved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from harness.scenarios import CODE, FILES, WEATHER, WEB
from harness.tools import FakeTool, code_interpreter, file_search, web_search

from tools_runtime.engine.client_tools import Names
from tools_runtime.engine.toolbox import ForeignRule, Given, Resolver, Toolbox
from tools_runtime.errors import ApiError
from tools_runtime.protocol.prompt import Forced, ForcedNative
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.tools import HostedTool, Scope
from tools_runtime.tools.sources import Sources

TIME = {"type": "function", "name": "time"}
ALL = [WEATHER, TIME, WEB, FILES, CODE]


async def toolbox(
    tools: list[Any], choice: Any = "auto", native: Sequence[str] = (), foreign: ForeignRule = "drop"
) -> Toolbox:
    request = CreateResponse.model_validate({"input": "hi", "tools": tools, "tool_choice": choice})
    return await resolve(request, [web_search(), file_search(), code_interpreter()], native, foreign)


async def resolve(
    request: CreateResponse, hosted: Sequence[HostedTool], native: Sequence[str] = (), foreign: ForeignRule = "drop"
) -> Toolbox:
    scope = Scope("default", "resp_1", request, (), Sources())
    given = [Given(tool, f"tools[{index}]") for index, tool in enumerate(request.tools)]
    return await Resolver(hosted, native.__contains__, foreign).resolve(given, scope, Names(request.tools))


def names(box: Toolbox) -> list[str]:
    return [function.name for function in box.functions]


async def refusal(tools: list[Any], choice: Any = "auto") -> ApiError:
    with pytest.raises(ApiError) as raised:
        await toolbox(tools, choice)
    assert raised.value.status == 400
    return raised.value


async def test_the_model_sees_hosted_tools_as_functions() -> None:
    box = await toolbox(ALL)
    assert names(box) == ["weather", "time", "web_search", "file_search", "code_interpreter"]
    assert set(box.hosted) == {"web_search", "file_search", "code_interpreter"}
    assert [function.name for function in box.without_hosted()] == ["weather", "time"]
    assert box.choice == "auto"


async def test_credentials_go_to_the_model_server_and_are_not_echoed() -> None:
    mcp = {
        "type": "mcp",
        "server_label": "s",
        "server_url": "https://a.org",
        "headers": {"K": "1"},
        "authorization": "2",
    }
    box = await toolbox([mcp], native=["mcp"])
    assert box.native == (mcp,)
    assert box.echo == [{"type": "mcp", "server_label": "s", "server_url": "https://a.org"}]


async def test_tools_are_echoed_with_their_defaults() -> None:
    box = await toolbox([TIME])
    assert box.echo == [{"type": "function", "name": "time", "description": None, "parameters": None, "strict": True}]


async def test_what_several_tools_have_to_say_is_said_once() -> None:
    assert len((await toolbox(ALL)).instructions) == 1


@pytest.mark.parametrize(
    ("choice", "functions", "chosen"),
    [
        ("auto", 5, "auto"),
        ("required", 5, "required"),
        ("none", 0, "none"),
        ({"type": "function", "name": "time"}, 5, Forced("time")),
        ({"type": "web_search"}, 5, Forced("web_search")),
        ({"type": "web_search_preview"}, 5, Forced("web_search")),
        ({"type": "file_search"}, 5, Forced("file_search")),
        ({"type": "code_interpreter"}, 5, Forced("code_interpreter")),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, 1, "auto"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}, FILES]},
            2,
            "required",
        ),
    ],
    ids=str,
)
async def test_tool_choice(choice: Any, functions: int, chosen: Any) -> None:
    box = await toolbox(ALL, choice)
    assert (len(box.functions), box.choice) == (functions, chosen)
    assert len(box.echo) == 5, "the echo shows every tool, whatever may be called"


async def test_a_tool_that_may_not_be_called_is_not_run_either() -> None:
    box = await toolbox(ALL, {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]})
    assert box.hosted == {} and names(box) == ["time"]


@pytest.mark.parametrize(
    ("tools", "choice", "param"),
    [
        ([TIME, TIME], "auto", "tools[1].name"),
        ([WEB, WEB], "auto", "tools[1]"),
        ([WEB, {"type": "function", "name": "web_search"}], "auto", "tools[1].name"),
        ([], "required", "tool_choice"),
        ([TIME], {"type": "function", "name": "weather"}, "tool_choice"),
        ([TIME], {"type": "web_search"}, "tool_choice"),
        ([WEB], {"type": "function", "name": "web_search"}, "tool_choice"),
        ([TIME], {"type": "allowed_tools", "mode": "auto", "tools": [TIME, WEB]}, "tool_choice.tools[1]"),
        ([{"type": "web_search_preview"}], "auto", "tools[0].type"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(tools: list[Any], choice: Any, param: str) -> None:
    assert (await refusal(tools, choice)).param == param


async def test_a_client_may_use_the_names_of_a_tools_further_functions() -> None:
    tool = FakeTool("web_search", lambda emit, scope: NotImplemented, "open_page", "find_in_page")
    tools = [WEB, {"type": "function", "name": "open_page"}]
    request = CreateResponse.model_validate({"input": "hi", "tools": tools})
    box = await resolve(request, [tool])
    assert names(box) == ["web_search", "find_in_page", "open_page"]
    assert set(box.hosted) == {"web_search", "find_in_page"}


# --- tools of the client's, and foreign ones -------------------------------------------------------------------------

PATCH = {
    "type": "custom",
    "name": "patch",
    "description": "Edit.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"},
}
SHELL = {"type": "shell", "environment": {"type": "local"}}
HOSTED_SHELL = {"type": "shell", "environment": {"type": "container_auto"}}
IMAGE = {"type": "image_generation", "quality": "low"}


def namespace(name: str, *members: str, type: str = "function") -> dict[str, Any]:
    tools = [{"type": type, "name": member} for member in members]
    return {"type": "namespace", "name": name, "description": f"About {name}.", "tools": tools}


async def test_tools_of_the_clients_become_functions() -> None:
    search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    tools = [PATCH, SHELL, {"type": "local_shell"}, {"type": "apply_patch"}, search]
    box = await toolbox(tools)
    assert names(box) == ["patch", "shell", "local_shell", "apply_patch", "tool_search"]
    assert [each.kind for each in box.client.values()] == [
        "custom",
        "shell",
        "local_shell",
        "apply_patch",
        "tool_search",
    ]
    assert "start: /x+/" in str(box.functions[0].parameters), "the grammar is told"
    assert box.echo == tools and box.native == ()


async def test_a_namespace_becomes_functions_whose_names_tell_it() -> None:
    box = await toolbox([namespace("crm", "find", "add"), namespace("mcp__files__", "find"), {**TIME, "name": "find"}])
    assert names(box) == ["crm__find", "crm__add", "mcp__files__find", "find"]
    assert [(each.namespace, each.name) for each in box.client.values()][:2] == [("crm", "find"), ("crm", "add")]
    assert box.instructions[0] == "crm__find, crm__add: About crm."


async def test_names_that_would_be_alike_or_too_long_are_told_apart() -> None:
    tools = [{**TIME, "name": "a__b"}, namespace("a", "b"), namespace("a__", "b"), namespace("n" * 60, "f" * 60)]
    shown = names(await toolbox(tools))
    assert len(set(shown)) == 4 and shown[0] == "a__b"
    assert all(len(name) <= 64 for name in shown)
    assert shown == names(await toolbox(tools)), "and the same in every request"


@pytest.mark.parametrize("tool", [PATCH, SHELL, HOSTED_SHELL, IMAGE, namespace("crm", "find"), {"type": "new", "x": 1}])
async def test_tools_that_the_model_server_takes_are_handed_on_as_they_are(tool: dict[str, Any]) -> None:
    box = await toolbox([TIME, tool], native=[tool["type"], "function"])
    assert box.native == (tool,) and names(box) == ["time"] and box.echo[1] == tool


@pytest.mark.parametrize("tool", [HOSTED_SHELL, IMAGE, {"type": "tool_search"}, {"type": "new"}, {"type": "computer"}])
async def test_foreign_tools_are_left_out_or_refused(tool: dict[str, Any]) -> None:
    box = await toolbox([TIME, tool])
    assert names(box) == ["time"] and len(box.echo) == 1 and box.native == ()
    with pytest.raises(ApiError) as raised:
        await toolbox([TIME, tool], foreign="refuse")
    assert raised.value.param == "tools[1].type"
    assert (await refusal([TIME, tool], {"type": tool["type"]})).param == "tool_choice"


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "custom", "name": "patch"}, Forced("patch")),
        ({"type": "shell"}, Forced("shell")),
        ({"type": "function", "name": "find"}, Forced("crm__find")),
        ({"type": "function", "name": "find", "namespace": "crm"}, Forced("crm__find")),
        ({"type": "image_generation"}, ForcedNative({"type": "image_generation"})),
    ],
)
async def test_the_choice_of_a_clients_or_a_native_tool(choice: dict[str, Any], chosen: Any) -> None:
    box = await toolbox([PATCH, SHELL, namespace("crm", "find"), IMAGE], choice, native=["image_generation"])
    assert box.choice == chosen


async def test_allowed_tools_narrow_namespaces_and_native_tools_too() -> None:
    allowed = [{"type": "function", "name": "add", "namespace": "crm"}, {"type": "shell"}]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": allowed}
    box = await toolbox([namespace("crm", "find", "add"), SHELL, IMAGE], choice, native=["image_generation", "shell"])
    assert names(box) == ["crm__add"] and box.native == (SHELL,)


async def test_a_type_is_not_enough_to_choose_a_function_of_another_type() -> None:
    assert (await refusal([PATCH], {"type": "function", "name": "patch"})).param == "tool_choice"
    assert (await refusal([namespace("crm", "f")], {"type": "function", "name": "f", "namespace": "x"})).param
