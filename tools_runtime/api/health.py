"""``/health`` and ``/health/ready``, for whoever watches the server."""

from __future__ import annotations

from fastapi import APIRouter


def router() -> APIRouter:
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("")
    async def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @routes.get("/ready")
    async def ready() -> dict[str, str]:
        """Requests are served: the server listens only once all its services have started."""
        return {"status": "ready"}

    return routes
