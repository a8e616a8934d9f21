"""``/v1/chat/completions``: handed on to the model server as it stands, and its answer back. No tools run here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol, runtime_checkable

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tools_runtime.api import sse
from tools_runtime.api.auth import Owner
from tools_runtime.api.hangup import unless_hung_up
from tools_runtime.api.validation import parse_object, read_body
from tools_runtime.errors import ApiError
from tools_runtime.upstreams.replies import Reply
from tools_runtime.upstreams.router import Router

_PATH = "/chat/completions"
_MAX_REPLY_BYTES = 16 * 2**20


@runtime_checkable
class Relaying(Protocol):
    """An upstream that hands requests on as they stand."""

    async def relay(self, path: str, body: bytes) -> Reply: ...


def router(upstreams: Router, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/chat/completions", tags=["chat completions"])

    @routes.post("", openapi_extra=_BODY)
    async def create(request: Request, owner: Owner) -> Response:
        raw = await read_body(request, max_request_bytes)
        body = parse_object(raw)
        upstream, model = await upstreams.pick(_model(body))
        if not isinstance(upstream, Relaying):
            raise ApiError(f"The model '{model}' cannot be asked by Chat Completions.", param="model")
        if body.get("model") != model:
            raw = orjson.dumps(body | {"model": model})
        reply = await unless_hung_up(request, upstream.relay(_PATH, raw))
        if reply.streams:
            return _Relayed(reply)
        return Response(await unless_hung_up(request, _whole(reply)), media_type="application/json")

    return routes


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "required": ["messages"]}}},
    }
}


def _model(body: dict[str, Any]) -> str | None:
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError("Invalid type for 'model': expected a string.", param="model", code="invalid_type")
    return model


async def _whole(reply: Reply) -> bytes:
    """A body that is no stream. Raises ``UpstreamError``, and ``ApiError`` for one that does not end."""
    body = bytearray()
    try:
        async for chunk in reply.chunks():
            body += chunk
            if len(body) > _MAX_REPLY_BYTES:
                raise ApiError("The model server's reply is too large.", status=502, type="server_error")
        return bytes(body)
    finally:
        reply.close()


class _Relayed(StreamingResponse):
    """The model server's stream. A client that hangs up, be it before the first byte, ends the call."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(_frames(reply), headers=sse.HEADERS)
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._reply.close()


async def _frames(reply: Reply) -> AsyncGenerator[bytes]:
    """The stream; what goes wrong in it is its last event, as the status has been sent."""
    try:
        async for chunk in reply.chunks():
            yield chunk
    except ApiError as error:
        # The blank line ends the event that may have been cut.
        yield b"\n\ndata: " + orjson.dumps(error.envelope()) + b"\n\n"
