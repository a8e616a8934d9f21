"""What only background responses have: they are cancelled, and their events are read more than once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from tools_runtime.api import sse
from tools_runtime.api.auth import Owner
from tools_runtime.engine.background import Background
from tools_runtime.engine.view import View


def router(background: Background) -> APIRouter:
    routes = APIRouter(prefix="/v1/responses", tags=["responses"])

    @routes.post("/{response_id}/cancel")
    async def cancel(response_id: str, owner: Owner) -> Response:
        response = View().response(await background.cancel(owner, response_id))
        return Response(response.model_dump_json(), media_type="application/json")

    return routes


class Replay:
    """``?stream=true&starting_after=…&include_obfuscation=…``: the events of a response, for a client that may hang up
    and come back."""

    def __init__(
        self,
        stream: bool = False,
        starting_after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
        include_obfuscation: bool = True,
    ) -> None:
        self.stream = stream
        self._after = starting_after
        self._obfuscate = include_obfuscation

    def of(self, background: Background, owner: str, response_id: str, view: View) -> Response:
        events = background.feed.follow(owner, response_id, self._after, sse.IDLE_SECONDS)
        return StreamingResponse(sse.stream(events, view, obfuscate=self._obfuscate), headers=sse.HEADERS)
