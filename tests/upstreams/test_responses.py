"""Responses servers: what they are asked, and what their events become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tools_runtime.engine.tokens import count
from tools_runtime.protocol.foreign_items import ForeignItem
from tools_runtime.protocol.items import CustomToolCall, FunctionCall, FunctionCallOutput, Message, Reasoning
from tools_runtime.protocol.prompt import Forced, ForcedNative, PromptItem
from tools_runtime.upstreams import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    MessageStarted,
    NativeEvent,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    UpstreamError,
)
from upstreams import fake_server as fake
from upstreams.conftest import Make
from upstreams.fake_server import FakeServer
from upstreams.prompts import ADD, called, collect, end, prompt, said, user

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
COMPLETED = {"type": "response.completed", "response": {"usage": USAGE}}


@pytest.fixture
def ask(server: FakeServer, responses: Make) -> Any:
    async def ask(*events: Any) -> list[Delta]:
        server.answer(fake.events(*events, done=False))
        return await collect(responses(), prompt())

    return ask


# --- the request -----------------------------------------------------------------------------------------------------


async def sent(server: FakeServer, responses: Make, *items: PromptItem, **fields: Any) -> dict[str, Any]:
    server.answer(fake.events(COMPLETED))
    await collect(responses(), prompt(*items, **fields))
    body: dict[str, Any] = server.bodies[-1]
    return body


async def test_a_plain_prompt_sends_nothing_that_was_not_asked_for(server: FakeServer, responses: Make) -> None:
    assert await sent(server, responses) == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hello?"}],
        "stream": True,
        "store": False,
    }
    assert server.requests[0].path == "/v1/responses"


async def test_items_are_sent_without_our_ids(server: FakeServer, responses: Make) -> None:
    picture = [{"type": "input_image", "image_url": "data:x", "detail": "low"}]
    body = await sent(
        server,
        responses,
        Message(role="developer", content="d"),
        Message.model_validate({"role": "user", "id": "msg_1", "content": picture}),
        Reasoning(id="rs_1", encrypted_content="blob"),
        Reasoning.model_validate({"id": "rs_2", "content": [{"type": "reasoning_text", "text": "hm"}]}),
        Reasoning(id="rs_3"),
        Message.model_validate(
            {
                "role": "assistant",
                "id": "msg_2",
                "status": "completed",
                "phase": "commentary",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            }
        ),
        FunctionCall(id="fc_1", status="completed", call_id="c1", name="add", arguments="{}"),
        FunctionCallOutput.model_validate({"id": "fco_1", "call_id": "c1", "output": picture}),
    )
    assert body["input"] == [
        {"type": "message", "role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": picture},
        {"type": "reasoning", "summary": [], "encrypted_content": "blob"},
        {"type": "reasoning", "summary": [], "id": "rs_2", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": "a\nb", "phase": "commentary"},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": picture},
    ]


@pytest.mark.parametrize(("choice", "wire"), [("auto", "auto"), (Forced("add"), {"type": "function", "name": "add"})])
async def test_functions(server: FakeServer, responses: Make, choice: Any, wire: Any) -> None:
    body = await sent(server, responses, functions=(ADD,), choice=choice)
    assert body["tools"] == [
        {"type": "function", "name": "add", "description": None, "parameters": ADD.parameters, "strict": True}
    ]
    assert body["tool_choice"] == wire
    assert body["parallel_tool_calls"] is True


async def test_native_tools_and_items_about_them_are_handed_on(server: FakeServer, responses: Make) -> None:
    image = {"type": "image_generation", "quality": "low"}
    choice = {"type": "image_generation"}
    items = [
        FunctionCall(call_id="c1", name="find", namespace="crm", arguments="{}"),
        CustomToolCall(id="ctc_1", status="completed", call_id="c2", name="patch", input="x"),
        ForeignItem.model_validate({"type": "image_generation_call", "id": "ig_1", "result": "aGk=", "size": "auto"}),
    ]
    body = await sent(server, responses, *items, functions=(ADD,), native=(image,), choice=ForcedNative(choice))
    assert [tool["type"] for tool in body["tools"]] == ["function", "image_generation"] and body["tools"][1] == image
    assert body["tool_choice"] == choice
    assert body["input"] == [
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}", "namespace": "crm"},
        {"type": "custom_tool_call", "status": "completed", "call_id": "c2", "name": "patch", "input": "x"},
        {"type": "image_generation_call", "id": "ig_1", "result": "aGk=", "size": "auto"},
    ]


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [(("*",), ["custom", "shell"]), (("none",), []), (("custom", "image_*"), ["custom"])],
)
def test_what_is_native_is_a_setting(responses: Make, patterns: tuple[str, ...], taken: list[str]) -> None:
    upstream = responses(native_tools=patterns)
    assert [type for type in ("custom", "shell") if upstream.takes(type)] == taken


async def test_options(server: FakeServer, responses: Make) -> None:
    format = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    same = {
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 2,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": format, "verbosity": "low"},
        "truncation": "auto",
        "user": "u",
        "prompt_cache_options": {"mode": "explicit"},
        "a_field_that_is_not_known_here": [1],
    }
    include = ["reasoning.encrypted_content", "file_search_call.results"]
    request = same | {"include": include, "instructions": "not these", "max_output_tokens": 99}
    body = await sent(server, responses, request=request, instructions="i", max_output_tokens=7)
    assert {name: body[name] for name in same} == same
    assert (body["instructions"], body["max_output_tokens"]) == ("i", 7)
    assert body["include"] == ["reasoning.encrypted_content"]


# --- events ----------------------------------------------------------------------------------------------------------


def added(index: int, call_id: str, id: str | None = None, **fields: Any) -> dict[str, Any]:
    item = {"type": "function_call", "id": id or f"fc_{index}", "call_id": call_id, "name": "add", "arguments": ""}
    return {"type": "response.output_item.added", "output_index": index, "item": item | fields}


def arguments(kind: str, index: int, text: str, id: str | None = None) -> dict[str, Any]:
    return {
        "type": f"response.function_call_arguments.{kind}",
        "output_index": index,
        "item_id": f"fc_{index}" if id is None else id,
        "delta" if kind == "delta" else "arguments": text,
    }


def done(index: int, call_id: str, text: str) -> dict[str, Any]:
    return added(index, call_id, arguments=text) | {"type": "response.output_item.done"}


async def test_text_reasoning_and_refusals(ask: Any) -> None:
    logprob = {"token": "Hi", "logprob": -1.0, "top_logprobs": []}
    deltas = await ask(
        {"type": "response.created", "response": {}},
        {"type": "response.reasoning_text.delta", "delta": "a", "content_index": 0},
        {"type": "response.reasoning.delta", "delta": "b"},
        {"type": "response.reasoning_summary_text.delta", "delta": "c", "summary_index": 1},
        {"type": "response.output_item.done", "item": {"type": "reasoning", "encrypted_content": "blob"}},
        {"type": "response.output_text.delta", "delta": "Hi", "logprobs": [logprob]},
        {"type": "response.refusal.delta", "delta": "No"},
        {"type": "response.something.new", "delta": 5},
        COMPLETED,
    )
    assert deltas[:-1] == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ReasoningDelta("c", "summary", 1),
        ReasoningEnd("blob"),
        TextDelta("Hi", (logprob,)),
        RefusalDelta("No"),
    ]
    usage = end(deltas).usage
    assert (usage.total_tokens, usage.input_tokens_details.cached_tokens) == (15, 4)


TWICE = [("add", '{"a":1}'), ("add", '{"a":2}')]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(
            [
                added(0, "c1"),
                added(1, "c2"),
                arguments("delta", 1, '{"a"'),
                arguments("delta", 0, '{"a":1}'),
                arguments("delta", 1, ":2}"),
                arguments("done", 0, '{"a":1}'),
                done(0, "c1", '{"a":1}'),
                arguments("done", 1, '{"a":2}'),
                done(1, "c2", '{"a":2}'),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                added(0, "c1"),
                arguments("done", 0, '{"a":1}'),
                done(0, "c1", '{"a":1}'),
                added(1, "c2"),
                done(1, "c2", '{"a":2}'),
            ],
            id="no deltas",
        ),
        pytest.param([done(0, "c1", '{"a":1}'), done(1, "c2", '{"a":2}')], id="whole items only"),
        pytest.param(
            [
                added(0, "c1", arguments='{"a":1}'),
                done(0, "c1", '{"a":1}'),
                added(1, "c2"),
                arguments("delta", 1, '{"a"'),
                done(1, "c2", '{"a":2}'),
            ],
            id="early, and cut short",
        ),
        pytest.param(
            [
                added(0, "c1"),
                added(1, "c2"),
                arguments("delta", 0, '{"a":1}', id=""),
                arguments("delta", 1, '{"a":2}', id="other"),
            ],
            id="ids that do not fit",
        ),
    ],
)
async def test_calls(ask: Any, events: list[Any]) -> None:
    assert called(await ask(*events, COMPLETED)) == TWICE


async def test_other_items_are_handed_on_with_their_events(ask: Any) -> None:
    item = {"type": "image_generation_call", "id": "ig_1"}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.image_generation_call.generating", "output_index": 0, "item_id": "ig_1"},
        {"type": "response.shell_call_command.added", "output_index": 0, "command_index": 0, "command": ""},
        {"type": "response.novelty", "output_index": 5},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 1, "item": {"type": "shell_call", "id": "sh_1"}},
    ]
    deltas = await ask(*events, COMPLETED)
    native = [delta for delta in deltas if isinstance(delta, NativeEvent)]
    assert [delta.event for delta in native] == [event for event in events if event["type"] != "response.novelty"]
    assert len({delta.key for delta in native[:4]}) == 1 and native[4].key != native[0].key


async def test_namespaces_and_phases(ask: Any) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "find", "namespace": "crm", "arguments": ""}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [], "phase": "commentary"}
    deltas = await ask(
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        COMPLETED,
    )
    assert deltas[:2] == [MessageStarted("commentary"), CallStarted("c1", "find", "crm")]


async def test_a_call_without_an_id_is_given_one(ask: Any) -> None:
    started, pieces, _ = await ask(added(0, ""), arguments("delta", 0, "{}"), COMPLETED)
    assert isinstance(started, CallStarted) and started.call_id.startswith("call_")
    assert pieces == CallArguments(started.call_id, "{}")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("other", "stop")],
)
async def test_incomplete(ask: Any, reason: str, finish: str) -> None:
    response = {"incomplete_details": {"reason": reason}}
    assert await ask({"type": "response.incomplete", "response": response}) == [Finished(finish)]  # type: ignore[arg-type]


async def test_the_stream_need_not_end_with_the_response(server: FakeServer, responses: Make) -> None:
    server.answer(fake.raw(fake.sse(COMPLETED, done=False), then="hang"))
    assert end(await collect(responses(), prompt())).reason == "stop"


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "no", "param": None}, 429, "rate_limit_exceeded"),
        ({"type": "error", "error": {"type": "invalid_request_error", "code": "c", "message": "no"}}, 400, "c"),
        ({"type": "response.failed", "response": {"error": {"code": "x", "message": "no"}}}, 502, "upstream_error"),
        ({"type": "response.failed", "response": {"error": None}}, 502, "upstream_error"),
        ({"error": {"message": "no", "code": 422}}, 422, None),
        ({}, 502, "upstream_error"),
        ({"type": "response.output_text.delta"}, 502, "upstream_invalid_response"),
        ({"type": "response.output_text.delta", "delta": 5}, 502, "upstream_invalid_response"),
        ({"type": "response.output_item.added", "item": "x"}, 502, "upstream_invalid_response"),
        ({"type": "response.completed", "response": {"usage": "much"}}, 502, "upstream_invalid_response"),
        ({"type": ["x"]}, 502, "upstream_invalid_response"),
        ({"type": "response.in_progress"}, 502, "upstream_disconnected"),
    ],
)
async def test_failures(ask: Any, event: dict[str, Any], status: int, code: str | None) -> None:
    with pytest.raises(UpstreamError) as caught:
        await ask(event)
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_refused_request(server: FakeServer, responses: Make) -> None:
    server.answer(fake.status(400, {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}))
    with pytest.raises(UpstreamError) as caught:
        await collect(responses(), prompt(user("q")))
    assert caught.value.envelope() == {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}


# --- OpenAI's own streams --------------------------------------------------------------------------------------------

RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures" / "openai"


def recorded() -> list[Any]:
    """Each response of each recording: its events. Files may hold several responses."""
    found = []
    for path in sorted(RECORDINGS.glob("*.chunks.txt")):
        streams: list[list[Any]] = []
        for line in filter(None, path.read_bytes().splitlines()):
            event = orjson.loads(line)
            if event["type"] == "response.created":
                streams.append([])
            streams[-1].append(event)
        found += [pytest.param(stream, id=f"{path.name}-{number}") for number, stream in enumerate(streams)]
    return found


if not (RECORDED := recorded()):
    print(f"Left out: OpenAI's recorded streams, which are not at {RECORDINGS}.")
else:

    @pytest.mark.parametrize("stream", RECORDED)
    async def test_recorded_streams(ask: Any, stream: list[Any]) -> None:
        final = stream[-1]["response"]
        if final["status"] == "failed":
            with pytest.raises(UpstreamError) as caught:
                await ask(*stream)
            assert caught.value.code == final["error"]["code"]
            return
        deltas = await ask(*stream)
        streamed = [event["delta"] for event in stream if event["type"] == "response.output_text.delta"]
        assert said(deltas) == "".join(streamed)
        calls = [item for item in final["output"] if item["type"] == "function_call"]
        assert called(deltas) == [(call["name"], call["arguments"]) for call in calls]
        # OpenAI encrypts anew for the final object, so the blobs of the items' own events are the ones to compare.
        closed = [event["item"] for event in stream if event["type"] == "response.output_item.done"]
        thoughts = [item for item in closed if item["type"] == "reasoning"]
        ends = [delta for delta in deltas if isinstance(delta, ReasoningEnd)]
        assert [delta.encrypted_content for delta in ends] == [item.get("encrypted_content") for item in thoughts]
        summary = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
        assert summary == "".join(part["text"] for item in thoughts for part in item["summary"])
        assert end(deltas).usage.total_tokens == final["usage"]["total_tokens"]


# --- counting --------------------------------------------------------------------------------------------------------


async def test_the_server_counts_tokens(server: FakeServer, responses: Make) -> None:
    server.answer(fake.status(200, {"object": "response.input_tokens", "input_tokens": 7}))
    assert await count(responses(), prompt(instructions="Be brief.", functions=(ADD,))) == 7
    assert server.requests[0].path == "/v1/responses/input_tokens"
    body = server.bodies[0]
    assert body["instructions"] == "Be brief." and len(body["tools"]) == 1
    assert not {"stream", "store", "max_output_tokens"} & set(body)


@pytest.mark.parametrize("reply", [fake.status(404, {}), fake.status(200, {"tokens": 7}), fake.die])
async def test_tokens_are_estimated_where_the_server_does_not_count(
    server: FakeServer, responses: Make, reply: fake.Reply
) -> None:
    server.answer(reply)
    assert await count(responses(), prompt(user("one two three"))) == 3 + 4
