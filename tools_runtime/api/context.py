"""``/v1/responses/input_tokens`` and ``/v1/responses/compact``: what a context weighs, and a shorter one."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request

from tools_runtime import ids
from tools_runtime.api.auth import Owner
from tools_runtime.api.document import json_body
from tools_runtime.api.hangup import unless_hung_up
from tools_runtime.api.validation import parse_object, read_body, validate
from tools_runtime.engine.context import Contexts
from tools_runtime.protocol.request import CreateResponse


def router(contexts: Contexts, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/responses", tags=["responses"])

    async def parsed(request: Request) -> CreateResponse:
        body = parse_object(await read_body(request, max_request_bytes))
        # OpenAI's counter takes this one too; it names a style that its own models have.
        body.pop("personality", None)
        # Here, and only here, null says of every field that it is left out.
        return validate(CreateResponse, {name: value for name, value in body.items() if value is not None})

    @routes.post("/input_tokens", openapi_extra=json_body(CreateResponse))
    async def input_tokens(request: Request, owner: Owner) -> dict[str, Any]:
        body = await parsed(request)
        count = await unless_hung_up(request, contexts.count(body, owner))
        return {"object": "response.input_tokens", "input_tokens": count}

    @routes.post("/compact", openapi_extra=json_body(CreateResponse))
    async def compact(request: Request, owner: Owner) -> dict[str, Any]:
        body = await parsed(request)
        output, usage = await unless_hung_up(request, contexts.compact(body, owner))
        return {
            "id": ids.new("resp"),
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [item.wire() for item in output],
            "usage": usage.wire(),
        }

    return routes
