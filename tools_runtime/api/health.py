"""``/health`` and ``/health/ready``, for whoever watches the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from tools_runtime.search.circuit import CircuitState


def router(search: Callable[[], Sequence[CircuitState]]) -> APIRouter:
    """``search`` tells how the search backends fare."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("")
    async def alive() -> dict[str, Any]:
        """The process answers. Search engines that do not are no reason to restart it."""
        return {"status": "ok", "search": [asdict(state) for state in search()]}

    @routes.get("/ready")
    async def ready() -> dict[str, str]:
        """Requests are served: the server listens only once all its services have started."""
        return {"status": "ready"}

    return routes
