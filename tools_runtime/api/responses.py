"""``/v1/responses``: create, retrieve, stream again, delete, list the input items."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tools_runtime.api import sse
from tools_runtime.api.auth import Owner
from tools_runtime.api.background import Replay
from tools_runtime.api.document import json_body
from tools_runtime.api.hangup import unless_hung_up
from tools_runtime.api.listing import Listing, includes, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.engine.archive import load_response
from tools_runtime.engine.background import Background
from tools_runtime.engine.service import Engine, Running
from tools_runtime.engine.view import View
from tools_runtime.errors import not_found
from tools_runtime.protocol.codec import load_item
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.response import Response as ResponseObject
from tools_runtime.stores.responses import ResponseStore


def router(engine: Engine, background: Background, responses: ResponseStore, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/responses", tags=["responses"])

    @routes.post("", openapi_extra=json_body(CreateResponse))
    async def create(request: Request, owner: Owner) -> Response:
        body = parse(CreateResponse, await read_body(request, max_request_bytes))
        if body.background:
            queued = await background.submit(body, owner)
            replay = Replay(stream=True, include_obfuscation=_obfuscate(body))
            view = View(body.include)
            return replay.of(background, owner, queued.id, view) if body.stream else _json(view.response(queued))
        return await _answer(await engine.start(body, owner), body, request)

    @routes.get("/{response_id}")
    async def retrieve(
        response_id: str, request: Request, owner: Owner, replay: Annotated[Replay, Depends()]
    ) -> Response:
        view = View(includes(request))
        if replay.stream:
            await background.check_readable(owner, response_id)
            return replay.of(background, owner, response_id, view)
        stored = await responses.get(owner, response_id)
        if stored is None:
            raise not_found("response", response_id, param="response_id")
        return _json(view.response(load_response(stored)))

    @routes.delete("/{response_id}")
    async def delete(response_id: str, owner: Owner) -> Response:
        if not await responses.delete(owner, response_id):
            raise not_found("response", response_id, param="response_id")
        return _dumps({"id": response_id, "object": "response", "deleted": True})

    @routes.get("/{response_id}/input_items")
    async def input_items(
        response_id: str, request: Request, listing: Annotated[Listing, Depends()], owner: Owner
    ) -> Response:
        page = await responses.input_items(owner, response_id, listing.cursor)
        if page is None:
            raise not_found("response", response_id, param="response_id")
        view = View(includes(request))
        items = [view.input_item(load_item(item.data)).wire() for item in page.data]
        return _dumps(page_body(page, items))

    return routes


class EventStream(StreamingResponse):
    """A run's events. A client that hangs up, be it before the first byte, cancels the run."""

    def __init__(self, running: Running, view: View, *, obfuscate: bool) -> None:
        batches = running.log.follow(idle_seconds=sse.IDLE_SECONDS)
        super().__init__(sse.stream(batches, view, obfuscate=obfuscate), headers=sse.HEADERS)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._running.cancel()


async def _answer(running: Running, body: CreateResponse, request: Request) -> Response:
    view = View(body.include)
    if body.stream:
        return EventStream(running, view, obfuscate=_obfuscate(body))
    return _json(view.response(await _finished(running, request)))


def _obfuscate(body: CreateResponse) -> bool:
    return body.stream_options is None or body.stream_options.include_obfuscation


async def _finished(running: Running, request: Request) -> ResponseObject:
    """The final response. A client that hangs up cancels the run."""
    try:
        return await unless_hung_up(request, running.log.finished())
    finally:
        running.cancel()


def _json(response: ResponseObject) -> Response:
    return Response(response.model_dump_json(), media_type="application/json")


def _dumps(body: object) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
