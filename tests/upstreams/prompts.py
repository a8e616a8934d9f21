"""Prompts to show to an upstream, and what it answers."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from tools_runtime.protocol.items import Message
from tools_runtime.protocol.prompt import Function, Prompt, PromptItem
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.upstreams import CallArguments, CallStarted, Delta, Finished, TextDelta, Upstream

SEARCH = Function(
    "file_search",
    "Searches the user's files.",
    {
        "type": "object",
        "properties": {
            "queries": {
                "type": "array",
                # Without a limit, the smallest models write a string that never ends.
                "items": {"type": "string", "maxLength": 100},
                "minItems": 1,
                "maxItems": 2,
            }
        },
        "required": ["queries"],
        "additionalProperties": False,
    },
)
ADD = Function(
    "add",
    None,
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    strict=True,
)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def prompt(*items: PromptItem, request: dict[str, Any] | None = None, **fields: Any) -> Prompt:
    """A prompt for model ``m``; ``request`` holds sampling parameters, ``fields`` those of ``Prompt``."""
    return Prompt(
        model="m",
        request=CreateResponse.model_validate(request or {}),
        items=items or (user("Hello?"),),
        **fields,
    )


async def collect(upstream: Upstream, prompt: Prompt) -> list[Delta]:
    """All deltas of one model call."""
    async with aclosing(upstream.stream(prompt)) as deltas:  # type: ignore[type-var]
        return [delta async for delta in deltas]


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def called(deltas: list[Delta]) -> list[tuple[str, str]]:
    """(name, arguments) of each call, in the order in which they began."""
    names = {delta.call_id: delta.name for delta in deltas if isinstance(delta, CallStarted)}
    arguments = dict.fromkeys(names, "")
    for delta in deltas:
        if isinstance(delta, CallArguments):
            arguments[delta.call_id] += delta.delta
    return [(name, arguments[call_id]) for call_id, name in names.items()]


def end(deltas: list[Delta]) -> Finished:
    assert isinstance(deltas[-1], Finished)
    return deltas[-1]
