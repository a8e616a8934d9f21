"""One turn: one model call, its deltas turned into items and events, its calls collected."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from tools_runtime import metrics
from tools_runtime.engine.call_writers import CallWriter, FunctionCallWriter, writer
from tools_runtime.engine.citations import CitationRewriter
from tools_runtime.engine.native import NativeItems
from tools_runtime.engine.toolbox import Toolbox
from tools_runtime.engine.writers import Closing, MessageWriter, Phase, ReasoningWriter
from tools_runtime.protocol.items import FunctionCall, Message, OutputText
from tools_runtime.protocol.prompt import NativeItem, Prompt, PromptItem
from tools_runtime.protocol.response import Usage
from tools_runtime.tools import Emit, HostedCall
from tools_runtime.tools.sources import Sources
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
    Upstream,
)


@dataclass
class Call:
    """A call that the model made: of a client's tool (``writer``), of ours (``hosted``), or one that leaves no item
    and is only answered (``answer``)."""

    call_id: str
    name: str
    namespace: str | None = None
    writer: CallWriter | None = None
    hosted: HostedCall | None = None
    answer: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def asks_client(self) -> bool:
        """Whether the call waits for the client's leave."""
        return self.hosted is not None and self.hosted.client_is_next

    def prompt_item(self) -> FunctionCall:
        within = {"namespace": self.namespace} if self.namespace else {}
        return FunctionCall(call_id=self.call_id, name=self.name, arguments="".join(self.arguments), **within)


@dataclass
class Outcome:
    """What a turn left. ``said`` is what the model is shown of this turn in the next one, calls included.
    ``client_is_next``: the client has a call to answer."""

    said: list[PromptItem]
    calls: list[Call]
    client_is_next: bool
    reason: Literal["stop", "length", "content_filter"]
    usage: Usage


class Turn:
    """Runs one model call. ``hosted_left`` is how many hosted calls the request still allows."""

    def __init__(self, toolbox: Toolbox, sources: Sources, emit: Emit, *, json: bool, hosted_left: int) -> None:
        self._toolbox = toolbox
        self._sources = sources
        self._emit = emit
        self._json = json
        self._hosted_left = hosted_left
        self._message: MessageWriter | None = None
        self._reasoning: ReasoningWriter | None = None
        self._calls: dict[str, Call] = {}
        self._native = NativeItems(emit)
        self._said: list[PromptItem] = []
        self._finished = Finished()

    async def run(self, upstream: Upstream, prompt: Prompt, room: Callable[[], Awaitable[None]]) -> Outcome:
        """Streams the model's answer into events, and waits for ``room`` for more. On any error the open items are
        closed as incomplete first."""
        began = time.perf_counter()
        outcome = "failed"
        try:
            async with aclosing(upstream.stream(prompt)) as deltas:
                async for delta in deltas:
                    self._take(delta)
                    await room()
            outcome = str(self._finished.reason)
        except BaseException as error:
            if not isinstance(error, Exception):
                outcome = "cancelled"
            self.close("incomplete")
            raise
        finally:
            _count(upstream.name, outcome, time.perf_counter() - began, self._finished.usage)
        self.close("completed" if self._finished.reason == "stop" else "incomplete")
        calls = list(self._calls.values())
        client_is_next = self._native.client_is_next or any(call.writer for call in calls)
        return Outcome(self._said, calls, client_is_next, self._finished.reason, self._finished.usage)

    def close(self, status: Closing) -> None:
        """Closes what is open; hosted calls that were begun stay open only if they are going to run."""
        self._end_reasoning(status)
        self._end_message(status)
        self._native.close(status)
        for call in self._calls.values():
            self._said.append(call.prompt_item())
            if call.writer is not None and (answer := call.writer.close(status)):
                call.writer, call.answer = None, answer
            if call.hosted is not None and status == "incomplete":
                call.hosted.close("incomplete")

    def _take(self, delta: Delta) -> None:
        match delta:
            case TextDelta():
                self._end_reasoning()
                self._open_message().text(delta.text, delta.logprobs)
            case RefusalDelta():
                self._end_reasoning()
                self._open_message().refusal(delta.text)
            case ReasoningDelta() | ReasoningEnd():
                self._reason(delta)
            case CallArguments():
                self._arguments(delta)
            case MessageStarted() | CallStarted() | NativeEvent():
                self._item(delta)
            case Finished():
                self._finished = delta

    def _reason(self, delta: ReasoningDelta | ReasoningEnd) -> None:
        if isinstance(delta, ReasoningDelta):
            self._end_message()
        self._reasoning = self._reasoning or ReasoningWriter(self._emit)
        if isinstance(delta, ReasoningDelta):
            self._reasoning.delta(delta.text, delta.kind, delta.part)
        else:
            self._end_reasoning(encrypted_content=delta.encrypted_content)

    def _item(self, delta: MessageStarted | CallStarted | NativeEvent) -> None:
        if not isinstance(delta, NativeEvent) or delta.event.get("type") == "response.output_item.added":
            self._begin_item()
        if isinstance(delta, MessageStarted):
            self._open_message(delta.phase)
        elif isinstance(delta, CallStarted):
            self._calls[delta.call_id] = self._begin(delta)
        else:
            item = self._native.take(delta.key, delta.event)
            if isinstance(item, NativeItem):
                self._said.append(item)

    def _begin_item(self) -> None:
        """Closes or announces what must stand before an item that now begins."""
        self._end_reasoning()
        self._end_message()
        for call in self._calls.values():
            if call.hosted is not None:
                call.hosted.announce("".join(call.arguments))
            elif call.writer is not None:
                call.writer.announce()

    def _open_message(self, phase: Phase | None = None) -> MessageWriter:
        if self._message is None:
            rewriter = partial(CitationRewriter, self._sources, strip=self._json)
            self._message = MessageWriter(self._emit, rewriter, phase)
        return self._message

    def _begin(self, delta: CallStarted) -> Call:
        call = Call(delta.call_id, delta.name, delta.namespace)
        tool = self._toolbox.hosted.get(delta.name)
        client = self._toolbox.client.get(delta.name)
        if delta.namespace is not None:
            call.writer = FunctionCallWriter(self._emit, delta.call_id, delta.name, delta.namespace)
        elif tool is not None and self._hosted_left > 0:
            self._hosted_left -= 1
            call.hosted = tool.call(delta.name, self._emit)
        elif tool is not None:
            call.answer = "No further tool calls are allowed. Answer with what you know now."
        elif client is not None:
            call.writer = writer(self._emit, delta.call_id, client)
        else:
            call.answer = f"There is no function named {delta.name!r}."
        return call

    def _arguments(self, delta: CallArguments) -> None:
        call = self._calls[delta.call_id]
        call.arguments.append(delta.delta)
        if call.writer is not None:
            call.writer.delta(delta.delta)
        elif call.hosted is not None:
            call.hosted.argument_delta(delta.delta)

    def _end_message(self, status: Closing = "completed") -> None:
        if self._message is not None:
            message, self._message = self._message, None
            message.close(status)
            said = Message(role="assistant", content=[OutputText(text=message.raw)], phase=message.phase)
            self._said.append(said)

    def _end_reasoning(self, status: Closing = "completed", encrypted_content: str | None = None) -> None:
        if self._reasoning is not None:
            reasoning, self._reasoning = self._reasoning, None
            self._said.append(reasoning.close(status, encrypted_content))


def _count(upstream: str, outcome: str, seconds: float, usage: Usage) -> None:
    metrics.model_calls.labels(upstream, outcome).observe(seconds)
    metrics.tokens.labels(upstream, "input").inc(usage.input_tokens)
    metrics.tokens.labels(upstream, "output").inc(usage.output_tokens)
