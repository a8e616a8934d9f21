"""Runs that between them write every kind of item and event: what the model says, and what was asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import Harness, harness
from harness.tools import FakeTool, code_interpreter, file_search, web_search
from tools_runtime.protocol.response import OutputTokensDetails, Usage
from tools_runtime.upstreams import (
    CallArguments,
    CallStarted,
    Finished,
    MessageStarted,
    NativeEvent,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    UpstreamError,
)
from tools_runtime.upstreams.scripted import ScriptedUpstream, Step

WEB = {"type": "web_search"}
FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}
CODE = {"type": "code_interpreter", "container": {"type": "auto"}}
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PATCH = {"type": "custom", "name": "patch", "format": {"type": "text"}}
SHELL = {"type": "shell"}
CRM = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers.",
    "tools": [
        {"type": "function", "name": "find", "parameters": {"type": "object"}},
        {"type": "custom", "name": "sql"},
    ],
}
CLIENTS = [PATCH, SHELL, CRM, {"type": "local_shell"}, {"type": "apply_patch"}]
DIED = UpstreamError("The model server died.", status=502, type="server_error", code="server_error")


def usage(input: int, output: int, reasoning: int = 0) -> Usage:
    return Usage(
        input_tokens=input,
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=input + output,
    )


def call(name: str, arguments: str, call_id: str = "call_1") -> list[Step]:
    """A whole call, its arguments in pieces of four characters."""
    pieces = [arguments[position : position + 4] for position in range(0, len(arguments), 4)]
    return [CallStarted(call_id, name), *(CallArguments(call_id, piece) for piece in pieces)]


def say(text: str) -> list[Step]:
    """A text in words."""
    first, *words = text.split(" ")
    return [TextDelta(first), *(TextDelta(f" {word}") for word in words)]


ANSWER = [*say("Done."), Finished(usage=usage(30, 3))]


def native(key: str, item: dict[str, Any], *between: dict[str, Any]) -> list[Step]:
    """The events of an item of a native tool, numbered as no item of ours is."""
    place = {"output_index": 7, "sequence_number": 90}
    opened = item | {"status": "in_progress"}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "item": opened},
        *({"item_id": item["id"]} | event for event in between),
        {"type": "response.output_item.done", "item": item},
    ]
    return [NativeEvent(key, place | event) for event in events]


IMAGE = {"type": "image_generation_call", "id": "ig_theirs", "status": "completed", "result": "aGk="}
IMAGE_EVENTS = (
    {"type": "response.image_generation_call.in_progress"},
    {"type": "response.image_generation_call.generating"},
    {"type": "response.image_generation_call.partial_image", "partial_image_b64": "aA==", "partial_image_index": 0},
    {"type": "response.image_generation_call.completed"},
)
THEIR_PATCH = {"type": "custom_tool_call", "id": "ctc_theirs", "status": "completed", "call_id": "call_9",
               "name": "patch", "input": "x"}  # fmt: skip


def _random_pause() -> Callable[[], float]:
    rng = random.Random(1)
    return lambda: rng.random() / 200


@dataclass(frozen=True)
class Scenario:
    """``status`` is the status that the response ends with; a run that fails has no plain reply to compare."""

    name: str
    turns: Sequence[Sequence[Step]]
    request: dict[str, Any] = field(default_factory=dict)
    tools: Callable[[], Sequence[FakeTool]] = tuple
    status: str = "completed"
    limits: dict[str, float] = field(default_factory=dict)
    native_tools: Sequence[str] = ()

    def harness(self, folder: Path) -> AbstractAsyncContextManager[Harness]:
        upstream = ScriptedUpstream(self.turns, native_tools=self.native_tools)
        return harness(folder, upstream, self.tools(), **self.limits)


SCENARIOS = (
    Scenario("plain text", [[*say("Hello there, world."), Finished(usage=usage(5, 4))]]),
    Scenario("nothing at all", [[Finished(usage=usage(5, 0))]]),
    Scenario("reasoning text", [[ReasoningDelta("Let me "), ReasoningDelta("see."), *ANSWER]]),
    Scenario(
        "reasoning summary and encrypted content",
        [
            [
                ReasoningDelta("First, ", "summary"),
                ReasoningDelta("this.", "summary"),
                ReasoningDelta("Then that.", "summary", 1),
                ReasoningEnd("gAAAA"),
                ReasoningEnd("gBBBB"),
                *ANSWER,
            ]
        ],
        {"include": ["reasoning.encrypted_content"]},
    ),
    Scenario("refusal", [[RefusalDelta("I can"), RefusalDelta("not."), Finished()]]),
    Scenario("text, then refusal", [[*say("Well, "), RefusalDelta("no."), Finished()]]),
    Scenario("function call", [[*say("Looking."), *call("weather", '{"city":"Ghent"}')]], {"tools": [WEATHER]}),
    Scenario(
        "parallel interleaved function calls",
        [
            [
                CallStarted("call_a", "weather"),
                CallStarted("call_b", "weather"),
                CallArguments("call_a", '{"city":'),
                CallArguments("call_b", '{"city":"Ghent"}'),
                CallArguments("call_a", '"Bruges"}'),
            ]
        ],
        {"tools": [WEATHER]},
    ),
    Scenario(
        "web search",
        [call("web_search", "ducks"), [*say("Ducks swim【1】 and fly [2]."), Finished()]],
        {"tools": [WEB], "include": ["web_search_call.action.sources", "web_search_call.results"]},
        lambda: [web_search()],
    ),
    Scenario(
        "file search",
        [call("file_search", "ducks"), [*say("Ducks swim【1†L1-L3】. More."), Finished()]],
        {"tools": [FILES], "include": ["file_search_call.results"]},
        lambda: [file_search()],
    ),
    Scenario(
        "file search, results not asked for",
        [call("file_search", "ducks"), ANSWER],
        {"tools": [FILES]},
        lambda: [file_search()],
    ),
    Scenario(
        "code interpreter",
        [
            call("code_interpreter", "print(6 * 7)"),
            [*say("See [the plot](sandbox:/mnt/data/plot.png)."), Finished()],
        ],
        {"tools": [CODE], "include": ["code_interpreter_call.outputs"]},
        lambda: [code_interpreter()],
    ),
    Scenario(
        "code interpreter, outputs not asked for",
        [call("code_interpreter", "1"), ANSWER],
        {"tools": [CODE]},
        lambda: [code_interpreter()],
    ),
    Scenario(
        "hosted tool and client function in one turn",
        [[*call("weather", "{}", "call_a"), *call("web_search", "ducks", "call_b")]],
        {"tools": [WEATHER, WEB]},
        lambda: [web_search()],
    ),
    Scenario(
        "hosted calls side by side",
        [
            [
                *call("web_search", "one", "call_a"),
                *call("file_search", "two", "call_b"),
                *call("web_search", "three", "call_c"),
                Finished(usage=usage(10, 20, 5)),
            ],
            ANSWER,
        ],
        {"tools": [WEB, FILES]},
        lambda: [web_search(_random_pause()), file_search(_random_pause())],
    ),
    Scenario(
        "text between reasoning and two kinds of call",
        [
            [
                ReasoningDelta("hm"),
                *say("I will look."),
                *call("code_interpreter", "x = 1", "a"),
                ReasoningDelta("so"),
                *call("file_search", "x", "b"),
            ],
            [ReasoningDelta("now"), *ANSWER],
        ],
        {"tools": [CODE, FILES]},
        lambda: [code_interpreter(), file_search()],
    ),
    Scenario(
        "more hosted calls than allowed",
        [
            [*call("web_search", "one", "a"), *call("web_search", "two", "b"), *call("web_search", "three", "c")],
            ANSWER,
        ],
        {"tools": [WEB], "max_tool_calls": 2},
        lambda: [web_search()],
    ),
    Scenario(
        "as many turns as allowed",
        [call("web_search", "one"), call("web_search", "two"), ANSWER],
        {"tools": [WEB]},
        lambda: [web_search()],
        limits={"max_turns": 3},
    ),
    Scenario(
        "custom tool call",
        [[*say("Patching."), *call("patch", '{"input":"*** Begin\\n\\u00e9 \\"x\\""}')]],
        {"tools": CLIENTS},
    ),
    Scenario("custom tool call whose input is written bare", [call("patch", "*** Begin Patch")], {"tools": CLIENTS}),
    Scenario("custom tool call that expects JSON", [call("patch", '{"other": [1, 2]}')], {"tools": CLIENTS}),
    Scenario(
        "calls in a namespace",
        [[*call("crm__find", '{"name":"Ada"}', "a"), *call("crm__sql", '{"input":"SELECT 1"}', "b")]],
        {"tools": CLIENTS},
    ),
    Scenario(
        "calls of the client's own machine",
        [
            [
                *call("shell", '{"commands":["ls","pwd"],"timeout_ms":100}', "a"),
                *call("local_shell", '{"command":["ls"],"env":{"A":"b"}}', "b"),
                *call("apply_patch", '{"type":"update_file","path":"a.py","diff":"@@\\n-a\\n+b"}', "c"),
                *call("apply_patch", '{"type":"delete_file","path":"b.py"}', "d"),
            ]
        ],
        {"tools": CLIENTS},
    ),
    Scenario("a call that makes no sense", [call("shell", '{"commands": 5}'), ANSWER], {"tools": CLIENTS}),
    Scenario(
        "tool search by the client",
        [call("tool_search", '{"query":"mail"}')],
        {"tools": [{"type": "tool_search", "execution": "client"}]},
    ),
    Scenario(
        "an image that the model server makes",
        [[*native("0", IMAGE, *IMAGE_EVENTS, {"type": "response.novelty"}), *ANSWER]],
        {"tools": [{"type": "image_generation"}]},
        native_tools=["image_generation"],
    ),
    Scenario(
        "a native custom tool call beside a hosted one",
        [
            [
                *native(
                    "0",
                    THEIR_PATCH,
                    {"type": "response.custom_tool_call_input.delta", "delta": "x"},
                    {"type": "response.custom_tool_call_input.done", "input": "x"},
                ),
                *call("web_search", "ducks"),
                CallStarted("n", "find", "crm"),
                CallArguments("n", "{}"),
            ]
        ],
        {"tools": [PATCH, WEB, CRM]},
        lambda: [web_search()],
        native_tools=["custom", "namespace"],
    ),
    Scenario(
        "messages in phases",
        [[MessageStarted("commentary"), *say("I look."), MessageStarted("final_answer"), *ANSWER]],
    ),
    Scenario(
        "upstream dies in calls of the client's",
        [
            [
                *call("patch", '{"input":"*** Be', "a"),
                *call("shell", '{"commands":["l', "b"),
                *native("0", IMAGE)[:2],
                DIED,
            ]
        ],
        {"tools": CLIENTS},
        status="failed",
    ),
    Scenario("cut off by length", [[*say("It was a"), Finished("length", usage(5, 4))]], status="incomplete"),
    Scenario(
        "cut off in a call",
        [[*call("weather", '{"ci', "a"), *call("code_interpreter", "pri", "b"), Finished("length")]],
        {"tools": [WEATHER, CODE]},
        lambda: [code_interpreter()],
        status="incomplete",
    ),
    Scenario("content filter", [[*say("How to"), Finished("content_filter")]], status="incomplete"),
    Scenario("upstream fails before any delta", [[DIED]], status="failed"),
    Scenario(
        "upstream dies in mid-stream",
        [
            [
                ReasoningDelta("hm"),
                *say("It was"),
                *call("weather", '{"', "a"),
                *call("code_interpreter", "1", "b"),
                DIED,
            ]
        ],
        {"tools": [WEATHER, CODE]},
        lambda: [code_interpreter()],
        status="failed",
    ),
)
