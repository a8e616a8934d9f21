"""Chunks of Chat Completions, as the servers in use write them, become deltas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput
from tools_runtime.protocol.prompt import PromptItem
from tools_runtime.upstreams import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from upstreams import fake_server as fake
from upstreams.conftest import Make
from upstreams.fake_server import FakeServer, chunk, tool_chunk
from upstreams.prompts import ADD, SEARCH, called, collect, end, prompt, said, user


@pytest.fixture
def ask(server: FakeServer, chat: Make) -> Any:
    async def ask(*chunks: Any, items: Sequence[PromptItem] = ()) -> list[Delta]:
        server.answer(fake.events(*chunks))
        return await collect(chat(), prompt(*items, functions=(SEARCH, ADD)))

    return ask


async def test_text(ask: Any) -> None:
    deltas = await ask(chunk(role="assistant", content=None), chunk(content="Hel"), chunk(content="lo"), chunk("stop"))
    assert deltas == [TextDelta("Hel"), TextDelta("lo"), Finished("stop")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning(ask: Any, field: str) -> None:
    deltas = await ask(chunk(**{field: "hm"}), chunk(content="Yes"), chunk("stop"))
    assert deltas[:2] == [ReasoningDelta("hm"), TextDelta("Yes")]


async def test_reasoning_under_both_names_comes_once(ask: Any) -> None:
    deltas = await ask(chunk(reasoning="hm", reasoning_content="hm", content=""), chunk("stop"))
    assert deltas == [ReasoningDelta("hm"), Finished()]


async def test_refusal(ask: Any) -> None:
    assert (await ask(chunk(refusal="No."), chunk("stop")))[0] == RefusalDelta("No.")


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("tool_calls", "stop"),
        ("function_call", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
    ],
)
async def test_finish_reasons(ask: Any, finish: str, reason: str) -> None:
    assert end(await ask(chunk(finish, content="Hi"))).reason == reason


# --- calls -----------------------------------------------------------------------------------------------------------


async def test_a_call_streams_through(ask: Any) -> None:
    deltas = await ask(
        tool_chunk((0, "c1", "add", "")),
        tool_chunk((0, None, None, '{"a"')),
        tool_chunk((0, None, None, ":1}")),
        chunk("tool_calls"),
    )
    assert deltas == [
        CallStarted("c1", "add"),
        CallArguments("c1", '{"a"'),
        CallArguments("c1", ":1}"),
        Finished("stop"),
    ]


PARALLEL = [("add", '{"a":1}'), ("file_search", '{"queries":["x"]}')]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [
                tool_chunk((0, "c1", "add", '{"a"')),
                tool_chunk((1, "c2", "file_search", '{"que')),
                tool_chunk((0, None, None, ":1}"), (1, None, None, 'ries":["x"]}')),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                tool_chunk((0, "c1", "add", None), (1, "c2", "file_search", None)),
                tool_chunk((0, "", "", '{"a":1}')),
                tool_chunk((1, "", None, '{"queries":["x"]}')),
            ],
            id="empty ids and names afterwards",
        ),
        pytest.param(
            [tool_chunk((0, "c1", "add", '{"a":1}')), tool_chunk((0, "c2", "file_search", '{"queries":["x"]}'))],
            id="index 0 for every call",
        ),
        pytest.param(
            [tool_chunk((0, None, "add", {"a": 1}), (1, None, "file_search", {"queries": ["x"]}))],
            id="no ids, arguments as objects",
        ),
        pytest.param(
            [tool_chunk((None, "c1", "add", '{"a":1}'), (None, "c2", "file_search", '{"queries":["x"]}'))],
            id="no index",
        ),
        pytest.param(
            [
                tool_chunk((None, None, "add", '{"a":')),
                tool_chunk((None, None, None, "1}")),
                tool_chunk((None, None, "file_search", '{"queries":["x"]}')),
            ],
            id="neither index nor ids",
        ),
        pytest.param(
            [tool_chunk((0, "same", "add", '{"a":1}')), tool_chunk((1, "same", "file_search", '{"queries":["x"]}'))],
            id="one id for both",
        ),
        pytest.param(
            [
                tool_chunk((0, "c1", "add", '{"a"'), (1, "c2", "file_search", '{"queries"')),
                tool_chunk((0, "c1", "add", ":1}"), (1, "c2", "file_search", ':["x"]}')),
            ],
            id="id and name in every chunk",
        ),
        pytest.param(
            [
                tool_chunk((0, "c1", None, '{"a"')),
                tool_chunk((0, None, "add", ":1}")),
                tool_chunk((1, "c2", "file_search", '{"queries":["x"]}')),
            ],
            id="the name comes late",
        ),
    ],
)
async def test_parallel_calls(ask: Any, chunks: list[Any]) -> None:
    deltas = await ask(*chunks, chunk("tool_calls"))
    assert called(deltas) == PARALLEL
    started = [delta.call_id for delta in deltas if isinstance(delta, CallStarted)]
    assert len(set(started)) == 2 and all(started)


async def test_a_legacy_function_call(ask: Any) -> None:
    deltas = await ask(
        chunk(function_call={"name": "add", "arguments": '{"a"'}),
        chunk(function_call={"arguments": ":1}"}),
        chunk("function_call"),
    )
    assert called(deltas) == [("add", '{"a":1}')]


async def test_a_call_without_arguments(ask: Any) -> None:
    assert called(await ask(tool_chunk((0, "c1", "add", None)), chunk("tool_calls"))) == [("add", "")]


async def test_ids_of_earlier_turns_are_not_used_again(ask: Any) -> None:
    items = (
        user("q"),
        FunctionCall(call_id="call_0", name="add", arguments="{}"),
        FunctionCallOutput(call_id="call_0", output="5"),
    )
    server_chunk = tool_chunk((0, "call_0", "add", '{"a"'))
    follow_up = tool_chunk((0, "call_0", None, ":1}"))
    (first, *rest) = await ask(server_chunk, follow_up, chunk("tool_calls"), items=items)
    assert isinstance(first, CallStarted)
    assert first.call_id != "call_0"
    assert {delta.call_id for delta in rest if isinstance(delta, CallArguments)} == {first.call_id}


# --- usage and log probabilities -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [{"prompt_tokens_details": {"cached_tokens": 4}}, {"prompt_cache_hit_tokens": 4}])
async def test_usage(ask: Any, cached: dict[str, Any]) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 2},
        **cached,
    }
    partial = chunk("stop") | {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    counted = end(await ask(chunk(content="Hi") | {"usage": None}, partial, {"choices": [], "usage": usage})).usage
    assert (counted.input_tokens, counted.output_tokens, counted.total_tokens) == (10, 5, 15)
    assert counted.input_tokens_details.cached_tokens == 4
    assert counted.output_tokens_details.reasoning_tokens == 2


async def test_no_usage_is_zero(ask: Any) -> None:
    assert end(await ask(chunk("stop"))).usage.total_tokens == 0


async def test_logprobs_have_the_form_of_responses(ask: Any) -> None:
    piece = chunk(content="é")
    top = {"token": "e", "bytes": [101], "logprob": -2.0}
    piece["choices"][0]["logprobs"] = {"content": [{"id": 5, "token": "é", "logprob": -0.5, "top_logprobs": [top]}]}
    deltas = await ask(piece, chunk("stop"))
    assert deltas[0] == TextDelta("é", ({"token": "é", "bytes": [195, 169], "logprob": -0.5, "top_logprobs": [top]},))


async def test_chunks_without_choices_or_with_extras_are_harmless(ask: Any) -> None:
    filler = [{}, {"choices": []}, {"choices": None}, {"choices": [{"delta": None}]}, {"x": 1, "error": None}]
    pieces = itertools.chain.from_iterable((piece, chunk(content="a")) for piece in filler)
    assert said(await ask(*pieces, chunk("stop"))) == "aaaaa"


async def test_a_server_that_does_not_stream(server: FakeServer, chat: Make) -> None:
    call = {"id": "call_x", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
    message = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    server.answer(fake.status(200, body))
    deltas = await collect(chat(), prompt())
    assert deltas[:3] == [TextDelta("Let me look."), CallStarted("call_x", "look"), CallArguments("call_x", '{"at":1}')]
    assert isinstance(deltas[3], Finished) and deltas[3].usage.total_tokens == 7
