"""A model server of Chat Completions that does what the user's message tells it: the message is a ``Plan`` as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson
from aiohttp import web
from upstreams.fake_server import chunk, sse, tool_chunk

Fault = Literal["refuses", "dies", "writes garbage", "dies silently"]


@dataclass(frozen=True)
class Plan:
    """First these calls (name and arguments), then this text in ``pieces``, with ``pause`` seconds before each; or a
    fault in the middle of the text."""

    say: str = "Done."
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    pieces: int = 5
    pause: float = 0
    fault: Fault | None = None

    def text(self) -> str:
        return orjson.dumps(asdict(self)).decode()


@asynccontextmanager
async def running() -> AsyncIterator[str]:
    """The base URL."""
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", _answer)
    app.router.add_get("/v1/models", _models)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "soaked", "object": "model"}]})


async def _answer(request: web.Request) -> web.StreamResponse:
    messages = (await request.json())["messages"]
    plan = _plan(messages)
    if plan.fault == "refuses":
        return web.json_response({"error": {"message": "Overloaded.", "type": "server_error"}}, status=500)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if plan.calls and messages[-1]["role"] != "tool":
        for number, (name, arguments) in enumerate(plan.calls):
            text = orjson.dumps(arguments).decode()
            await response.write(sse(tool_chunk((number, f"call_{number}", name, text)), done=False))
        await response.write(sse(chunk("tool_calls")))
        return response
    size = max(1, len(plan.say) // plan.pieces)
    for position in range(0, len(plan.say), size):
        await asyncio.sleep(plan.pause)
        await response.write(sse(chunk(content=plan.say[position : position + size]), done=False))
        if plan.fault is not None:
            return await _fail(request, response, plan.fault)
    await response.write(sse(chunk("stop")))
    return response


async def _fail(request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    if fault == "writes garbage":
        await response.write(b"data: {{{ \xff\n\n" * 3)
    elif fault == "dies":
        assert request.transport
        request.transport.abort()
    return response


def _plan(messages: list[dict[str, Any]]) -> Plan:
    content = [message["content"] for message in messages if message["role"] == "user"][-1]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return Plan(**orjson.loads(text))
