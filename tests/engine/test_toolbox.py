"""A request's tools and its tool choice, resolved."""

from __future__ import annotations

from typing import Any

import pytest
from harness.scenarios import CODE, FILES, WEATHER, WEB
from harness.tools import FakeTool, code_interpreter, file_search, web_search

from tools_runtime.engine.toolbox import Toolbox, resolve
from tools_runtime.errors import ApiError
from tools_runtime.protocol.prompt import Forced
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.tools import Scope
from tools_runtime.tools.sources import Sources

TIME = {"type": "function", "name": "time"}
ALL = [WEATHER, TIME, WEB, FILES, CODE]


async def toolbox(tools: list[Any], choice: Any = "auto") -> Toolbox:
    request = CreateResponse.model_validate({"input": "hi", "tools": tools, "tool_choice": choice})
    scope = Scope("default", "resp_1", request, (), Sources())
    return await resolve(request, [web_search(), file_search(), code_interpreter()], scope)


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
    box = await resolve(request, [tool], Scope("default", "resp_1", request, (), Sources()))
    assert names(box) == ["web_search", "find_in_page", "open_page"]
    assert set(box.hosted) == {"web_search", "find_in_page"}
