"""``x-request-id``: each answer has a name, which clients show (``response._request_id`` of OpenAI's)."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools_runtime import ids

HEADER = "x-request-id"


def install(app: FastAPI) -> None:
    """Makes ``app`` name its answers. What the log says of a request that failed has the same name."""
    app.add_middleware(_Naming)


def of(request: Request) -> str:
    """The name of the answer to this request."""
    return str(getattr(request.state, "request_id", "")) or ids.new("req")


class _Naming:
    """Plain ASGI, so that streams are not held up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = ids.new("req")
        scope.setdefault("state", {})["request_id"] = name

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(HEADER, name)
            await send(message)

        await self._app(scope, receive, naming)
