"""Model servers that speak Responses: vLLM, OpenAI and others. ``responses_request`` writes what they are asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from tools_runtime import ids
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.protocol.response import Usage
from tools_runtime.settings import Settings, UpstreamSettings
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
from tools_runtime.upstreams.http import ModelServer
from tools_runtime.upstreams.replies import Reply
from tools_runtime.upstreams.responses_request import responses_body

_COUNTED = ("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text")
"""What of a request OpenAI's ``/responses/input_tokens`` takes."""

_LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})


class Responses:
    """An ``Upstream`` over ``POST /responses``."""

    def __init__(self, server: UpstreamSettings, settings: Settings) -> None:
        self.name = server.name
        self._native_tools = server.native_tools
        self._server = ModelServer(server, settings)

    def takes(self, type: str) -> bool:
        return any(fnmatchcase(type, pattern) for pattern in self._native_tools)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta]:
        reader = EventReader()
        async with aclosing(self._server.events("/responses", responses_body(prompt), _LAST_EVENTS)) as events:
            async for event in events:
                if error := self._error(event):
                    raise error
                try:
                    for delta in reader.read(event):
                        yield delta
                except (AttributeError, TypeError, KeyError, ValidationError) as error:
                    raise self._server.invalid("an event of an unexpected shape.") from error
        if not reader.finished:
            raise self._server.failure("ended its stream before the response was complete.", "upstream_disconnected")

    async def count(self, prompt: Prompt) -> int:
        """The tokens of the prompt, by the server's ``/responses/input_tokens``. Raises ``UpstreamError``."""
        body = {name: value for name, value in responses_body(prompt).items() if name in _COUNTED}
        reply = await self._server.post("/responses/input_tokens", body)
        try:
            return int(reply["input_tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._server.invalid("a count of an unexpected shape.") from error

    async def relay(self, path: str, body: bytes) -> Reply:
        return await self._server.relay(path, body)

    async def models(self) -> list[str]:
        return await self._server.models()

    async def aclose(self) -> None:
        await self._server.aclose()

    def _error(self, event: dict[str, Any]) -> UpstreamError | None:
        """The error that an event announces. OpenAI documents the fields of ``error`` as flat and sends them nested."""
        match event.get("type"):
            case "response.failed":
                return self._server.error(event.get("response"))
            case "error" | None:
                return self._server.error(event)
        return None


# --- the reply -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    id: str
    sent: str = ""


class EventReader:
    """Folds the events of one reply into deltas. Events that say nothing new to us are passed over; those about items
    other than messages, reasoning and function calls are handed on."""

    def __init__(self) -> None:
        self.finished = False
        self._native: dict[Any, str] = {}
        self._calls: dict[Any, _Call] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], Iterator[Delta]]] = {
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._refusal,
            "response.reasoning_text.delta": self._reasoning,
            "response.reasoning.delta": self._reasoning,
            "response.reasoning_summary_text.delta": self._summary,
            "response.output_item.added": self._added,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._arguments_done,
            "response.output_item.done": self._done,
            "response.completed": self._end,
            "response.incomplete": self._end,
        }

    def read(self, event: dict[str, Any]) -> Iterator[Delta]:
        """The deltas of an event. Raises what Python does for missing fields and wrong types."""
        handler = self._handlers.get(event["type"], self._other)
        return handler(event)

    def _other(self, event: dict[str, Any]) -> Iterator[Delta]:
        key = self._native.get(event.get("item_id")) or self._native.get(event.get("output_index"))
        if key is not None:
            yield NativeEvent(key, event)

    def _text(self, event: dict[str, Any]) -> Iterator[Delta]:
        yield TextDelta(_string(event["delta"]), tuple(event.get("logprobs") or ()))

    def _refusal(self, event: dict[str, Any]) -> Iterator[Delta]:
        yield RefusalDelta(_string(event["delta"]))

    def _reasoning(self, event: dict[str, Any]) -> Iterator[Delta]:
        yield ReasoningDelta(_string(event["delta"]), "text", event.get("content_index") or 0)

    def _summary(self, event: dict[str, Any]) -> Iterator[Delta]:
        yield ReasoningDelta(_string(event["delta"]), "summary", event.get("summary_index") or 0)

    def _added(self, event: dict[str, Any]) -> Iterator[Delta]:
        item = event["item"]
        if item["type"] == "function_call":
            call = _Call(item.get("call_id") or ids.new("call"))
            # Some servers keep the index steady, others the id, so either finds the call.
            self._calls[item.get("id")] = self._calls[event.get("output_index")] = call
            yield CallStarted(call.id, _string(item["name"]), item.get("namespace"))
        elif item["type"] == "message":
            if item.get("phase"):
                yield MessageStarted(item["phase"])
        elif item["type"] != "reasoning":
            yield from self._native_item(event)

    def _native_item(self, event: dict[str, Any]) -> Iterator[Delta]:
        places = event["item"].get("id"), event.get("output_index")
        key = next((self._native[place] for place in places if place in self._native), None)
        if key is None:
            key = f"{len(self._native)}"
            self._native |= {place: key for place in places if place is not None}
        yield NativeEvent(key, event)

    def _arguments(self, event: dict[str, Any]) -> Iterator[Delta]:
        call = self._call(event, event.get("item_id"))
        delta = _string(event["delta"])
        if call and delta:
            call.sent += delta
            yield CallArguments(call.id, delta)

    def _arguments_done(self, event: dict[str, Any]) -> Iterator[Delta]:
        if call := self._call(event, event.get("item_id")):
            yield from _rest(call, event.get("arguments"))

    def _done(self, event: dict[str, Any]) -> Iterator[Delta]:
        item = event["item"]
        if item["type"] == "reasoning":
            yield ReasoningEnd(item.get("encrypted_content"))
        elif item["type"] == "function_call":
            if not self._call(event, item.get("id")):
                yield from self._added(event)
            if call := self._call(event, item.get("id")):
                yield from _rest(call, item.get("arguments"))
        elif item["type"] != "message":
            yield from self._native_item(event)

    def _end(self, event: dict[str, Any]) -> Iterator[Delta]:
        response = event["response"]
        reason = (response.get("incomplete_details") or {}).get("reason")
        self.finished = True
        yield Finished(
            "length" if reason == "max_output_tokens" else "content_filter" if reason == "content_filter" else "stop",
            Usage.model_validate(response.get("usage") or {}),
        )

    def _call(self, event: dict[str, Any], item_id: Any) -> _Call | None:
        return self._calls.get(item_id) or self._calls.get(event.get("output_index"))


def _rest(call: _Call, arguments: str | None) -> Iterator[Delta]:
    """What of the whole arguments has not come as a delta: all of it, from servers that send no deltas."""
    if arguments and arguments != call.sent and arguments.startswith(call.sent):
        rest = arguments[len(call.sent) :]
        call.sent = arguments
        yield CallArguments(call.id, rest)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value
