"""``/v1/models``: what the model servers offer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from tools_runtime.api.auth import Owner
from tools_runtime.errors import ApiError
from tools_runtime.upstreams.router import Router


def router(upstreams: Router) -> APIRouter:
    routes = APIRouter(prefix="/v1/models", tags=["models"])

    @routes.get("")
    async def list_models(owner: Owner) -> dict[str, Any]:
        models = (await upstreams.catalogue()).models
        return {"object": "list", "data": [_model(name, server) for name, server in models.items()]}

    # Names of models hold slashes.
    @routes.get("/{model:path}")
    async def retrieve(model: str, owner: Owner) -> dict[str, Any]:
        server = (await upstreams.catalogue()).models.get(model)
        if server is None:
            raise ApiError(f"The model '{model}' does not exist.", status=404, param="model", code="model_not_found")
        return _model(model, server)

    return routes


def _model(name: str, server: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": server}
