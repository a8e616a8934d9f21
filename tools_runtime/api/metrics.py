"""``/metrics``, and the count of HTTP requests."""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools_runtime import metrics
from tools_runtime.api.auth import owner_of

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


def install(app: FastAPI) -> None:
    """Makes ``app`` count its requests and show all counts to whoever has a key; where there are none, to all."""
    app.add_middleware(_Counting)
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", dependencies=[Depends(owner_of)], response_class=Response)
    async def show() -> Response:
        """Counts of this server, in Prometheus' text format."""
        return Response(metrics.text(), media_type=metrics.CONTENT_TYPE)

    app.include_router(routes)


class _Counting:
    """Times requests by route template; plain ASGI, so that streams are not held up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            metrics.http_requests.labels(method, route, status).observe(time.perf_counter() - began)
