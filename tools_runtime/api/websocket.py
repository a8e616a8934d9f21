"""The WebSocket at ``/v1/responses``: requests and events as JSON frames, over one connection for many responses.

After OpenAI's guide on WebSocket mode. A frame that cannot be taken is answered by an error frame; nothing that a
client sends ends the connection but a frame that is too large.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketDisconnected

from tools_runtime.api.auth import Owner
from tools_runtime.api.lanes import Frame, Lane, Room, Shared
from tools_runtime.api.origins import check_origin
from tools_runtime.api.validation import parse_object
from tools_runtime.engine.service import Engine
from tools_runtime.errors import ApiError
from tools_runtime.protocol.frames import is_stream_id, steer_failed


@dataclass(frozen=True)
class SocketLimits:
    """Of one connection: its ``seconds``, the responses that run at a time, its named lanes, the requests that wait
    (and their ``waiting_bytes`` together), and the seconds for which a client that does not read is waited for.
    ``origins`` are the web pages that may connect."""

    seconds: float
    running: int
    lanes: int
    waiting: int
    waiting_bytes: int
    stall_seconds: float
    origins: tuple[str, ...] = ()


def router(engine: Engine, limits: SocketLimits) -> APIRouter:
    routes = APIRouter(tags=["responses"])

    @routes.websocket("/v1/responses")
    async def connect(socket: WebSocket, owner: Owner) -> None:
        check_origin(socket, limits.origins)
        await socket.accept()
        await _Connection(socket, owner, engine, limits).serve()

    return routes


class _Connection:
    """One connection, from its first frame to its last."""

    def __init__(self, socket: WebSocket, owner: str, engine: Engine, limits: SocketLimits) -> None:
        self._socket = socket
        self._limits = limits
        room = Room(limits.waiting, limits.waiting_bytes)
        self._shared = Shared(owner, engine, self, room, asyncio.Semaphore(limits.running))
        self._lanes: dict[str | None, Lane] = {}
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Returns when either side has closed the connection; its runs are cancelled then."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._read_for_its_time(group)
                raise WebSocketDisconnect
        except* WebSocketDisconnect:
            pass

    # --- frames of the client ---

    async def _read_for_its_time(self, group: asyncio.TaskGroup) -> None:
        clock = asyncio.timeout(self._limits.seconds)
        try:
            async with clock:
                await self._read(group)
        except TimeoutError:
            if not clock.expired():
                raise
            await self.error(_time_is_up(self._limits.seconds))
            await self._socket.close()

    async def _read(self, group: asyncio.TaskGroup) -> None:
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            data = message.get("bytes")
            data = (message.get("text") or "").encode() if data is None else data
            lane = None
            try:
                frame = parse_object(data)
                if frame.get("type") == "response.steer":
                    await self._send(orjson.dumps(steer_failed(frame)).decode())
                    continue
                _check_type(frame)
                lane = _lane_name(frame)
                self._take(frame, lane, len(data), group)
            except ApiError as error:
                await self.error(error, lane)

    def _take(self, frame: Frame, name: str | None, size: int, group: asyncio.TaskGroup) -> None:
        if name not in self._lanes:
            self._open_lane(name, group)
        self._lanes[name].put(frame, size)

    def _open_lane(self, name: str | None, group: asyncio.TaskGroup) -> None:
        if name is not None and len(self._lanes.keys() - {None}) >= self._limits.lanes:
            raise ApiError(
                "This WebSocket connection has reached its maximum number of distinct stream IDs "
                f"({self._limits.lanes}). Reuse an existing stream_id or open a new WebSocket connection.",
                param="stream_id",
                code="websocket_stream_limit_reached",
            )
        self._lanes[name] = Lane(name, self._shared)
        group.create_task(self._lanes[name].work())

    # --- frames to the client ---

    async def event(self, body: str, lane: str | None, status: int | None = None) -> None:
        """Sends an event, with the name of its lane. Raises ``WebSocketDisconnect``."""
        # A lane's name needs no escapes.
        more = (f',"status":{status}' if status else "") + (f',"stream_id":"{lane}"' if lane else "")
        await self._send(f"{body[:-1]}{more}}}")

    async def error(self, error: ApiError, lane: str | None = None) -> None:
        """Sends an error frame. Raises ``WebSocketDisconnect``."""
        named = {} if lane is None else {"stream_id": lane}
        frame = {"type": "error", "status": error.status} | named | error.envelope()
        await self._send(orjson.dumps(frame).decode())

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._limits.stall_seconds), self._sending:
                await self._socket.send_text(text)
        except (TimeoutError, WebSocketDisconnected):
            raise WebSocketDisconnect from None


def _lane_name(frame: Frame) -> str | None:
    if "stream_id" not in frame:
        return None
    name: Any = frame["stream_id"]
    if not is_stream_id(name):
        raise ApiError(
            "The 'stream_id' field must be a non-empty string with at most 256 characters and may only contain "
            "letters, numbers, underscores, hyphens, and periods.",
            param="stream_id",
            code="invalid_stream_id",
        )
    return str(name)


def _check_type(frame: Frame) -> None:
    kind = frame.get("type")
    if kind == "response.create":
        return
    if kind is None:
        raise ApiError("Missing required parameter: 'type'.", param="type", code="missing_required_parameter")
    raise ApiError(
        f"Invalid value: {str(kind)[:200]!r}. Supported values are: 'response.create'.",
        param="type",
        code="invalid_value",
    )


def _time_is_up(seconds: float) -> ApiError:
    return ApiError(
        f"Responses websocket connection limit reached ({seconds / 60:g} minutes). Create a new websocket connection "
        "to continue.",
        code="websocket_connection_limit_reached",
    )
