"""The lanes of one WebSocket connection: requests of one lane are answered one after another, lanes side by side."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Protocol

from tools_runtime.api import sse
from tools_runtime.api.validation import validate
from tools_runtime.engine.recent import Recent, Remembered
from tools_runtime.engine.service import Engine, Running
from tools_runtime.engine.view import View
from tools_runtime.errors import ApiError, server_error
from tools_runtime.protocol.events import TERMINAL, ErrorEvent
from tools_runtime.protocol.frames import Envelope
from tools_runtime.protocol.request import CreateResponse

logger = logging.getLogger(__name__)

Frame = dict[str, Any]


class Outbox(Protocol):
    """Where a lane's frames go. Both raise when the client is gone or does not read."""

    async def event(self, body: str, lane: str | None, status: int | None = None) -> None: ...

    async def error(self, error: ApiError, lane: str | None = None) -> None: ...


class Room:
    """For the requests of one connection that wait: how many, and how many bytes they have together."""

    def __init__(self, requests: int, size: int) -> None:
        self._requests = requests
        self._size = size

    def take(self, size: int) -> None:
        """Raises a 429 ``ApiError`` when there is none left."""
        if self._requests < 1 or self._size < size:
            raise ApiError(
                "Too many requests wait on this connection. Wait until some have been answered.",
                status=429,
                code="websocket_queue_limit_reached",
            )
        self._requests -= 1
        self._size -= size

    def give_back(self, size: int) -> None:
        self._requests += 1
        self._size += size


@dataclass(frozen=True)
class Shared:
    """What the lanes of one connection have in common. ``slots``: the responses that may run at a time."""

    owner: str
    engine: Engine
    outbox: Outbox
    room: Room
    slots: asyncio.Semaphore
    recent: Recent = field(default_factory=Recent)


class Lane:
    """One lane."""

    def __init__(self, name: str | None, shared: Shared) -> None:
        self._name = name
        self._shared = shared
        self._recent = shared.recent
        self._waiting: asyncio.Queue[tuple[Frame, int]] = asyncio.Queue()

    def put(self, frame: Frame, size: int) -> None:
        """Lets a request of ``size`` bytes wait for its turn. Raises ``ApiError`` when too many wait."""
        self._shared.room.take(size)
        self._waiting.put_nowait((frame, size))

    async def work(self) -> None:
        """Answers requests until it is cancelled. Raises what ``outbox`` raises."""
        while True:
            frame, size = await self._waiting.get()
            async with self._shared.slots:
                self._shared.room.give_back(size)
                await self._answer(frame)

    async def _answer(self, frame: Frame) -> None:
        parent = frame.get("previous_response_id")
        try:
            request, running = await self._start(frame)
        except ApiError as error:
            self._recent.evict(self._name, parent)
            await self._shared.outbox.error(error, self._name)
            return
        try:
            await self._stream(request, running)
        finally:
            running.cancel()

    async def _start(self, frame: Frame) -> tuple[CreateResponse, Running]:
        """Raises ``ApiError``, whatever the frame holds."""
        try:
            fields = {name: frame.pop(name) for name in Envelope.model_fields if name in frame}
            envelope = validate(Envelope, fields)
            request = validate(CreateResponse, frame)
            if request.background:
                raise ApiError(
                    "Parameter 'background' is not supported over WebSocket.",
                    param="background",
                    code="unsupported_parameter",
                )
            start, owner = self._shared.engine.start, self._shared.owner
            return request, await start(request, owner, self._recent, generate=envelope.generate is not False)
        except ApiError:
            raise
        except Exception:
            logger.exception("a WebSocket frame could not be answered")
            raise server_error("The server had an error while processing your request.") from None

    async def _stream(self, request: CreateResponse, running: Running) -> None:
        view = View(request.include)
        obfuscate = request.stream_options is None or request.stream_options.include_obfuscation
        async for batch in running.log.follow():
            for event in batch:
                if isinstance(event, TERMINAL):
                    self._remember(request, running)
                error = running.log.error if isinstance(event, ErrorEvent) else None
                body = sse.body(view.event(event), obfuscate=obfuscate)
                await self._shared.outbox.event(body, self._name, error.status if error else None)

    def _remember(self, request: CreateResponse, running: Running) -> None:
        """Before the client reads of the end: its next frame may be there at once, and on another lane."""
        response = running.log.response
        if response.status == "failed":
            self._recent.evict(self._name, request.previous_response_id)
        else:
            self._recent.keep(self._name, Remembered(response.id, running.items, request.stored))
