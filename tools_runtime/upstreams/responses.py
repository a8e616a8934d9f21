"""Model servers that speak Responses: vLLM, OpenAI and others. Their hosted tools are not used; ours are functions.

The server is asked to keep nothing (``store: false``), so it knows none of our ids, and none are sent. The exception is
reasoning in plain text, which open models are given back: vLLM's types require an id there. Encrypted reasoning is
bound to the id under which OpenAI made it, and is accepted with that id or none; ours differs, so none is sent.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tools_runtime import ids
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Message, Reasoning, Refusal
from tools_runtime.protocol.prompt import Forced, Prompt, PromptItem
from tools_runtime.protocol.response import Usage
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    ReasoningDelta,
    ReasoningEnd,
    RefusalDelta,
    TextDelta,
    UpstreamError,
)
from tools_runtime.upstreams.http import ModelServer, Reply

_LAST_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})

_SAME = (
    "temperature",
    "top_p",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "truncation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)
"""Request fields that are passed on as they are. Sent only when the client set them."""

_INCLUDES = ("reasoning.encrypted_content", "message.output_text.logprobs")
"""What of ``include`` concerns the model server; the rest is about hosted tools."""


class Responses:
    """An ``Upstream`` over ``POST /responses``."""

    def __init__(self, server: UpstreamSettings, settings: Settings) -> None:
        self.name = server.name
        self._server = ModelServer(server, settings)

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


# --- the request -----------------------------------------------------------------------------------------------------


def responses_body(prompt: Prompt) -> dict[str, Any]:
    """The body of a streaming request."""
    request = prompt.request
    body: dict[str, Any] = {
        "model": prompt.model,
        "input": [wire for item in prompt.items if (wire := _input_item(item))],
        "stream": True,
        "store": False,
    }
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if prompt.instructions:
        body["instructions"] = prompt.instructions
    if prompt.max_output_tokens is not None:
        body["max_output_tokens"] = prompt.max_output_tokens
    if request.reasoning and (reasoning := request.reasoning.model_dump(exclude_none=True)):
        body["reasoning"] = reasoning
    if text := request.text.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True):
        body["text"] = text
    if include := [name for name in request.include or () if name in _INCLUDES]:
        body["include"] = include
    if prompt.functions:
        body["tools"] = [
            {
                "type": "function",
                "name": function.name,
                "description": function.description,
                "parameters": function.parameters,
                "strict": function.strict,
            }
            for function in prompt.functions
        ]
        body["tool_choice"] = (
            {"type": "function", "name": prompt.choice.name} if isinstance(prompt.choice, Forced) else prompt.choice
        )
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _input_item(item: PromptItem) -> dict[str, Any] | None:
    match item:
        case Message(role="assistant"):
            # A string is the one form of old answers that all servers take without the id of an output message.
            wire: dict[str, Any] = {"type": "message", "role": "assistant", "content": _said(item)}
            return wire | ({"phase": item.phase} if item.phase else {})
        case Message():
            content = item.content if isinstance(item.content, str) else [part.wire() for part in item.content]
            return {"type": "message", "role": item.role, "content": content}
        case FunctionCall():
            return {
                "type": "function_call",
                "call_id": item.call_id,
                "name": item.name,
                "arguments": item.arguments,
            }
        case FunctionCallOutput():
            output = item.output if isinstance(item.output, str) else [part.wire() for part in item.output]
            return {"type": "function_call_output", "call_id": item.call_id, "output": output}
        case Reasoning():
            return _reasoning(item)


def _said(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(
        part.refusal if isinstance(part, Refusal) else getattr(part, "text", "") for part in message.content
    )


def _reasoning(item: Reasoning) -> dict[str, Any] | None:
    """Reasoning that holds neither blob nor text cannot be given back: no server knows its id."""
    wire: dict[str, Any] = {"type": "reasoning", "summary": [part.wire() for part in item.summary]}
    if item.encrypted_content:
        return wire | {"encrypted_content": item.encrypted_content}
    if item.content:
        return wire | {"id": item.id or ids.new("rs"), "content": [part.wire() for part in item.content]}
    return None


# --- the reply -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    id: str
    sent: str = ""


class EventReader:
    """Folds the events of one reply into deltas. Events that say nothing new to us are passed over."""

    def __init__(self) -> None:
        self.finished = False
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
        handler = self._handlers.get(event["type"])
        return handler(event) if handler else iter(())

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
            yield CallStarted(call.id, _string(item["name"]))

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
