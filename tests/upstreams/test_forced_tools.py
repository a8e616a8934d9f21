"""Forced tools through a JSON schema."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tools_runtime.protocol.items import Message
from tools_runtime.protocol.prompt import Forced
from tools_runtime.upstreams import CallArguments, CallStarted, Delta, Finished
from upstreams import fake_server as fake
from upstreams.conftest import Make
from upstreams.fake_server import FakeServer, chunk
from upstreams.prompts import ADD, SEARCH, called, collect, prompt, said


@pytest.fixture
def ask(server: FakeServer, chat: Make) -> Any:
    async def ask(*pieces: str, finish: str = "stop", **fields: Any) -> list[Delta]:
        server.answer(fake.events(*(chunk(content=piece) for piece in pieces), chunk(finish)))
        return await collect(chat(forced_tools="json_schema"), prompt(**fields))

    return ask


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": (ADD, SEARCH), "choice": Forced("file_search")},
        {"functions": (SEARCH,), "choice": "required"},
    ],
)
async def test_one_function(server: FakeServer, ask: Any, fields: dict[str, Any]) -> None:
    started, *pieces, finished = await ask('{"que', 'ries":["x"]}', **fields)
    assert isinstance(started, CallStarted) and started.name == "file_search"
    assert pieces == [CallArguments(started.call_id, '{"que'), CallArguments(started.call_id, 'ries":["x"]}')]
    assert finished == Finished("stop")
    (body,) = server.bodies
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "file_search", "schema": SEARCH.parameters, "strict": True},
    }
    (message,) = body["messages"]
    assert message["content"].startswith("Hello?\n\n")
    assert "file_search" in message["content"] and "Searches the user's files." in message["content"]


CALL = orjson.dumps({"name": "add", "arguments": {"a": 1}}).decode()


async def test_a_choice_of_functions(server: FakeServer, ask: Any) -> None:
    deltas = await ask(CALL[:9], CALL[9:], functions=(SEARCH, ADD), choice="required")
    assert called(deltas) == [("add", '{"a":1}')]
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert [one["properties"]["name"]["const"] for one in schema["anyOf"]] == ["file_search", "add"]
    assert schema["anyOf"][1]["properties"]["arguments"] == ADD.parameters


@pytest.mark.parametrize("text", ["I had rather talk.", "[1]", '{"name": "add"}', CALL[:12]])
async def test_what_is_no_choice_stays_text(ask: Any, text: str) -> None:
    deltas = await ask(text, functions=(SEARCH, ADD), choice="required")
    assert (called(deltas), said(deltas)) == ([], text)


async def test_arguments_that_were_cut_off(ask: Any) -> None:
    deltas = await ask('{"queries": ["x', finish="length", functions=(SEARCH,), choice="required")
    assert called(deltas) == [("file_search", '{"queries": ["x')]
    assert deltas[-1] == Finished("length")


@pytest.mark.parametrize("choice", ["auto", "none"])
async def test_a_free_model_is_asked_as_ever(server: FakeServer, ask: Any, choice: Any) -> None:
    assert said(await ask("Hi", functions=(SEARCH,), choice=choice)) == "Hi"
    assert "tools" in server.bodies[0] and "response_format" not in server.bodies[0]


@pytest.mark.parametrize(
    ("items", "roles"),
    [
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}], ["user"]),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], ["user", "assistant", "user"]),
        ([{"role": "system", "content": "s"}], ["system", "user"]),
    ],
)
async def test_the_hint_is_the_last_word_of_the_user(
    server: FakeServer, chat: Make, items: list[dict[str, Any]], roles: list[str]
) -> None:
    server.answer(fake.events(chunk("stop", content="{}")))
    shown = prompt(*(Message.model_validate(item) for item in items), functions=(SEARCH,), choice="required")
    await collect(chat(forced_tools="json_schema"), shown)
    messages = server.bodies[0]["messages"]
    assert [message["role"] for message in messages] == roles
    assert "file_search" in str(messages[-1]["content"])
