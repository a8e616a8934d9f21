"""A run answers one request: turn after turn, until the model only talks or calls a client's function."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from tools_runtime import metrics
from tools_runtime.engine.prepare import Prepared
from tools_runtime.engine.prompt import drop_oldest
from tools_runtime.engine.turn import Call, Outcome, Turn
from tools_runtime.errors import ApiError, server_error
from tools_runtime.protocol.events import (
    Compacting,
    Completed,
    Created,
    ErrorEvent,
    Failed,
    Incomplete,
    InProgress,
    OutputItemAdded,
    OutputItemDone,
)
from tools_runtime.protocol.items import FunctionCallOutput
from tools_runtime.protocol.prompt import Choice, Prompt, PromptItem
from tools_runtime.protocol.request import TextFormat
from tools_runtime.protocol.response import ResponseError, Usage
from tools_runtime.upstreams import CONTEXT_OVERFLOW, UpstreamError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """``tool_seconds`` bounds one hosted call; ``tool_output_chars`` what a model is given of its result. The model is
    held up while its client has ``unread_bytes`` of events to read."""

    max_turns: int
    max_parallel_calls: int
    tool_seconds: float
    tool_output_chars: int
    unread_bytes: int


class Archive(Protocol):
    """Keeps finished responses."""

    async def save(self, prepared: Prepared) -> None:
        """Keeps the response, if it is to be kept, and gives up its lease. Raises ``ApiError``."""
        ...


class Run:
    """Runs one prepared request to its terminal event. Without an ``archive``, somebody else keeps what its log tells:
    it has begun with ``response.created`` already."""

    def __init__(self, prepared: Prepared, archive: Archive | None, limits: Limits) -> None:
        self._prepared = prepared
        self._archive = archive
        self._limits = limits
        self._log = prepared.log
        self._usage = Usage()
        self._last_turn = Usage()
        self._slots = asyncio.Semaphore(limits.max_parallel_calls if prepared.request.parallel_tool_calls else 1)

    async def execute(self) -> None:
        """Never raises but when it is cancelled: whatever fails is an event."""
        began = time.perf_counter()
        try:
            await self._execute()
        finally:
            status = self._log.response.status
            ended = "cancelled" if status == "in_progress" else status
            metrics.responses.labels(ended).observe(time.perf_counter() - began)

    async def _execute(self) -> None:
        if len(self._log) == 0:
            self._log.append(Created(response=self._log.response))
        self._log.append(InProgress(response=self._log.response))
        try:
            await self._finish(await self._turns())
        except asyncio.CancelledError:
            self._log.abandon()
            raise
        except ApiError as error:
            await self._fail(error)
        except Exception:
            logger.exception("run %s failed", self._log.response.id)
            await self._fail(server_error("The server had an error while processing the request."))
        finally:
            await self._prepared.toolbox.aclose()

    # --- turns ---

    async def _turns(self) -> Literal["stop", "length", "content_filter"]:
        """Runs turns until the answer is there; returns why the last one ended."""
        if not self._prepared.generate:
            return "stop"
        items = list(self._prepared.items)
        if self._prepared.compacts:
            await self._compact(self._prepared.prompt(items, "auto"))
            return "stop"
        self._prepared = await self._opened()
        items += await self._approved()
        choice = self._prepared.toolbox.choice
        calls_left = self._prepared.request.max_tool_calls or self._limits.max_turns * 64
        for number in range(1, self._limits.max_turns + 1):
            exhausted = calls_left <= 0 or number == self._limits.max_turns
            prompt = await self._prompt(items, choice, exhausted=exhausted)
            outcome = await self._turn(prompt, calls_left)
            self._usage += outcome.usage
            self._last_turn = outcome.usage
            calls_left -= sum(call.hosted is not None for call in outcome.calls)
            if outcome.reason != "stop":
                return outcome.reason
            outputs = await self._answer([call for call in outcome.calls if call.writer is None])
            if not outputs or outcome.client_is_next or any(call.asks_client for call in outcome.calls):
                return "stop"
            if self._tokens_left() == 0:
                return "length"
            items += [*outcome.said, *outputs]
            # A forced call has been made; forced again, the model could never answer.
            choice = "auto"
        return "stop"

    async def _prompt(self, items: list[PromptItem], choice: Choice, *, exhausted: bool) -> Prompt:
        """The next turn's prompt. ``exhausted``: no hosted call is allowed any more, so the model must answer. Where
        the request wants it, ``items`` are compacted before."""
        prepared = self._prepared
        functions = prepared.toolbox.without_hosted() if exhausted else prepared.toolbox.choosable(choice)
        prompt = prepared.prompt(items, choice, functions=functions, max_output_tokens=self._tokens_left())
        if not await prepared.compactor.due(prompt, self._last_turn):
            return prompt
        items[:] = await self._compact(prompt)
        return dataclasses.replace(prompt, items=tuple(items))

    async def _compact(self, prompt: Prompt) -> list[PromptItem]:
        """The items that stand for the prompt's from now on. The item that holds them is one of the output."""
        compacted = await self._prepared.compactor.compact(self._prepared.owner, self._prepared.upstream, prompt)
        self._usage += compacted.usage
        # The model has written the summary by now: an item that was opened before might have to be closed without one.
        item = compacted.item
        assert item.id is not None
        self._log.append(OutputItemAdded(item=item))
        self._log.append(Compacting(item_id=item.id))
        self._log.append(OutputItemDone(item=item))
        return compacted.items

    def _tokens_left(self) -> int | None:
        allowed = self._prepared.request.max_output_tokens
        return None if allowed is None else max(allowed - self._usage.output_tokens, 0)

    async def _turn(self, prompt: Prompt, calls_left: int) -> Outcome:
        """One turn; with ``truncation: auto``, again with fewer old items while the model's context overflows."""
        prepared = self._prepared
        room = partial(self._log.room, self._limits.unread_bytes)
        json = not isinstance(prepared.request.text.format, TextFormat)
        while True:
            before = len(self._log)
            turn = Turn(prepared.toolbox, prepared.sources, self._log.append, json=json, hosted_left=calls_left)
            try:
                return await turn.run(prepared.upstream, prompt, room)
            except UpstreamError as error:
                shorter = drop_oldest(prompt.items) if prepared.request.truncation == "auto" else None
                if shorter is None or error.code != CONTEXT_OVERFLOW or len(self._log) != before:
                    raise
                prompt = dataclasses.replace(prompt, items=tuple(shorter))

    # --- before the first turn ---

    async def _opened(self) -> Prepared:
        """The request with the functions of all servers that its tools name."""
        return dataclasses.replace(self._prepared, toolbox=await self._prepared.toolbox.opened(self._log.append))

    async def _approved(self) -> list[PromptItem]:
        """Makes the calls that the user has allowed."""
        calls = []
        for request in self._prepared.approved:
            server = self._prepared.toolbox.servers[request.server_label]
            hosted = server.approved(request, self._log.append)
            name = server.name_of(request.name)
            calls.append(Call(hosted.item_id, name, hosted=hosted, arguments=[request.arguments]))
        return [*(call.prompt_item() for call in calls), *await self._answer(calls)]

    # --- hosted calls ---

    async def _answer(self, calls: Sequence[Call]) -> list[FunctionCallOutput]:
        """Runs a turn's hosted calls side by side and returns their outputs in the order of the calls."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer_one(call)) for call in calls]
        return [
            FunctionCallOutput(call_id=call.call_id, output=task.result()[: self._limits.tool_output_chars])
            for call, task in zip(calls, tasks, strict=True)
        ]

    async def _answer_one(self, call: Call) -> str:
        hosted = call.hosted
        if hosted is None:
            return call.answer
        began = time.perf_counter()
        clock = asyncio.timeout(self._limits.tool_seconds)
        try:
            async with self._slots, clock:
                text = await hosted.run("".join(call.arguments))
            hosted.close("completed")
            return text
        except Exception:
            # A call that failed before it had opened its item leaves one too, so that the client sees it.
            hosted.open()
            hosted.close("failed")
            if clock.expired():
                return f"The tool was stopped because it took longer than {self._limits.tool_seconds:g} seconds."
            logger.exception("hosted call %s failed", hosted.item_id)
            return "The tool failed because of an internal error."
        finally:
            hosted.close("incomplete")
            spent = time.perf_counter() - began
            metrics.hosted_calls.labels(hosted.item.type, hosted.status).observe(spent)

    # --- the end ---

    async def _finish(self, reason: Literal["stop", "length", "content_filter"]) -> None:
        accumulator = self._log.accumulator
        if reason == "stop":
            response = accumulator.finish("completed", self._usage)
            terminal: Completed | Incomplete = Completed(response=response)
        else:
            why: Literal["max_output_tokens", "content_filter"] = (
                "max_output_tokens" if reason == "length" else "content_filter"
            )
            response = accumulator.finish("incomplete", self._usage, reason=why)
            terminal = Incomplete(response=response)
        await self._save()
        self._log.append(terminal)

    async def _fail(self, error: ApiError) -> None:
        self._log.error = error
        details = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
        self._log.append(ErrorEvent(error=details))
        failure = ResponseError(code=error.code or "server_error", message=error.message)
        response = self._log.accumulator.finish("failed", self._usage, error=failure)
        try:
            await self._save()
        except Exception:
            logger.exception("run %s could not be stored", response.id)
        self._log.append(Failed(response=response))

    async def _save(self) -> None:
        if self._archive is not None:
            await self._archive.save(self._prepared)
