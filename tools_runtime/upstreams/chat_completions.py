"""Model servers that speak Chat Completions: Ollama, vLLM, llama.cpp, SGLang, OpenAI and most others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from tools_runtime import ids
from tools_runtime.protocol.items import FunctionCall
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.protocol.response import InputTokensDetails, OutputTokensDetails, Usage
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from tools_runtime.upstreams.chat_request import chat_body
from tools_runtime.upstreams.forced_tools import SchemaCall, forced_functions
from tools_runtime.upstreams.http import ModelServer
from tools_runtime.upstreams.replies import Reply

FinishReason = Literal["stop", "length", "content_filter"]

_REASONS: dict[str, FinishReason] = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""Everything else (``stop``, ``tool_calls``, ``function_call``, ``eos`` …) means that the model came to its end."""


class ChatCompletions:
    """An ``Upstream`` over ``POST /chat/completions``."""

    def __init__(self, server: UpstreamSettings, settings: Settings) -> None:
        self.name = server.name
        self._options = server
        self._server = ModelServer(server, settings)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta]:
        body = chat_body(prompt, self._options.max_tokens_field)
        forced = forced_functions(prompt) if self._options.forced_tools == "json_schema" else ()
        call = SchemaCall(forced) if forced else None
        if call:
            call.rewrite(body)
        reader = ChunkReader({item.call_id for item in prompt.items if isinstance(item, FunctionCall)}, call)
        async with aclosing(self._server.events("/chat/completions", body)) as chunks:
            async for chunk in chunks:
                if chunk.get("error"):
                    raise self._server.error(chunk)
                try:
                    for delta in reader.read(chunk):
                        yield delta
                except MalformedChunk as error:
                    raise self._server.invalid(f"{error}.") from error
        if reader.finish is None:
            raise self._server.failure("ended its stream without a finish reason.", "upstream_disconnected")
        if reader.finish == "error":
            raise self._server.failure("failed while it was answering.", "upstream_error")
        try:
            for delta in reader.end():
                yield delta
        except MalformedChunk as error:
            raise self._server.invalid(f"{error}.") from error

    async def relay(self, path: str, body: bytes) -> Reply:
        return await self._server.relay(path, body)

    def takes(self, type: str) -> bool:
        return False

    async def models(self) -> list[str]:
        return await self._server.models()

    async def aclose(self) -> None:
        await self._server.aclose()


class MalformedChunk(ValueError):
    """A chunk whose fields have other types than the protocol's. The message says which."""


@dataclass(slots=True)
class _Call:
    id: str
    server_id: str | None
    name: str = ""
    held: str = ""


class ChunkReader:
    """Folds the chunks of one reply into deltas. One object a reply."""

    def __init__(self, used_call_ids: set[str], schema_call: SchemaCall | None = None) -> None:
        self.finish: str | None = None
        self._usage: dict[str, Any] = {}
        self._calls: dict[int | None, _Call] = {}
        self._used_ids = used_call_ids
        self._schema_call = schema_call

    def read(self, chunk: dict[str, Any]) -> Iterator[Delta]:
        """The deltas of a chunk. Raises ``MalformedChunk``."""
        try:
            if usage := chunk.get("usage"):
                self._usage = usage
            choices = chunk.get("choices")
            if not choices:
                return
            choice = choices[0]
            # A server that does not stream sends the whole message in the form of one delta.
            yield from self._read_choice(choice, choice.get("delta") or choice.get("message") or {})
            if reason := choice.get("finish_reason"):
                self.finish = _string(reason)
        except (AttributeError, TypeError, KeyError, IndexError) as error:
            raise MalformedChunk("a chunk of an unexpected shape") from error

    def end(self) -> Iterator[Delta]:
        """What is left when the stream has ended well; ``Finished`` is the last. Raises ``MalformedChunk``."""
        if not all(call.name for call in self._calls.values()):
            raise MalformedChunk("a call without a name")
        if self._schema_call:
            yield from self._schema_call.end()
        try:
            usage = _usage(self._usage)
        except (AttributeError, TypeError, ValueError) as error:
            raise MalformedChunk("a usage of an unexpected shape") from error
        yield Finished(_REASONS.get(self.finish or "", "stop"), usage)

    def _read_choice(self, choice: dict[str, Any], delta: dict[str, Any]) -> Iterator[Delta]:
        # vLLM and OpenRouter say "reasoning"; DeepSeek, llama.cpp and SGLang "reasoning_content"; some send both.
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningDelta(_string(reasoning))
        if content := delta.get("content"):
            if self._schema_call:
                yield from self._schema_call.read(_string(content))
            else:
                yield TextDelta(_string(content), _logprobs(choice.get("logprobs")))
        if refusal := delta.get("refusal"):
            yield RefusalDelta(_string(refusal))
        for entry in delta.get("tool_calls") or ():
            yield from self._read_call(entry)
        if function := delta.get("function_call"):
            yield from self._read_call({"index": 0, "function": function})

    def _read_call(self, entry: dict[str, Any]) -> Iterator[Delta]:
        function = entry.get("function") or {}
        name, call = function.get("name"), self._call(entry, function.get("name"))
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        if call.name:
            if arguments:
                yield CallArguments(call.id, arguments)
            return
        call.held += arguments
        if name:
            call.name = _string(name)
            yield CallStarted(call.id, call.name)
            if call.held:
                yield CallArguments(call.id, call.held)

    def _call(self, entry: dict[str, Any], name: str | None) -> _Call:
        """The call that an entry of ``tool_calls`` belongs to.

        Entries of one call share an ``index``. Ollama and Gemini give every call the index 0 and send each whole, so a
        new id beside a name means a new call; so does a name where the server counts nothing at all.
        """
        index, server_id = entry.get("index"), entry.get("id") or None
        call = self._calls.get(index)
        if call is None and index is None and not name and self._calls:
            return next(reversed(self._calls.values()))
        another = bool(name) and (server_id != call.server_id if server_id and call else index is None)
        if call is None or another:
            call = self._calls[index] = _Call(self._fresh_id(server_id), server_id)
        return call

    def _fresh_id(self, server_id: str | None) -> str:
        """The server's id, unless it sent none or numbers its calls anew in every reply."""
        id = ids.new("call") if server_id is None or server_id in self._used_ids else _string(server_id)
        self._used_ids.add(id)
        return id


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedChunk(f"{type(value).__name__} where text is expected")
    return value


def _logprobs(logprobs: dict[str, Any] | None) -> tuple[dict[str, Any], ...]:
    if not logprobs:
        return ()
    return tuple(
        {**_logprob(token), "top_logprobs": [_logprob(other) for other in token.get("top_logprobs") or ()]}
        for token in logprobs.get("content") or ()
    )


def _logprob(token: dict[str, Any]) -> dict[str, Any]:
    text = token["token"]
    return {"token": text, "bytes": token.get("bytes") or list(text.encode()), "logprob": token["logprob"]}


def _usage(usage: dict[str, Any]) -> Usage:
    """OpenAI's counts; DeepSeek's name for cached tokens. What a server does not count is 0."""
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    details, output_details = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=read,
        input_tokens_details=InputTokensDetails(
            cached_tokens=details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0
        ),
        output_tokens=written,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=output_details.get("reasoning_tokens") or 0),
        total_tokens=usage.get("total_tokens") or read + written,
    )
