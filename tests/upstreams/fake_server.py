"""A model server on loopback that answers as the test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeServer:
    """Answers the n-th request with the n-th of ``replies``; the last answers all that follow."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.aborted = asyncio.Event()
        self.url = ""

    def answer(self, *replies: Reply) -> None:
        self.replies = list(replies)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.json() if request.can_read_body else None)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        try:
            return await reply(request)
        except asyncio.CancelledError:
            self.aborted.set()
            raise

    @property
    def connections(self) -> int:
        """How many connections the requests came by."""
        return len({id(request.protocol) for request in self.requests})


@asynccontextmanager
async def running() -> AsyncIterator[FakeServer]:
    server = FakeServer()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


# --- replies ---------------------------------------------------------------------------------------------------------


def sse(*events: Any, done: bool = True) -> bytes:
    """The bytes of a well-formed stream."""
    text = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    return text + (b"data: [DONE]\n\n" if done else b"")


def raw(*chunks: bytes, then: str = "end") -> Reply:
    """A stream of exactly these chunks, after which the server ends it, dies or hangs."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)
        if then == "die":
            assert request.transport
            request.transport.abort()
        if then == "hang":
            await asyncio.Event().wait()
        return response

    return reply


def events(*payloads: Any, done: bool = True) -> Reply:
    return raw(sse(*payloads, done=done))


def status(code: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=code, text=body, headers=headers, content_type="text/html")
        return web.json_response(body, status=code, headers=headers)

    return reply


async def die(request: web.Request) -> web.StreamResponse:
    """No reply at all."""
    assert request.transport
    request.transport.abort()
    await asyncio.Event().wait()
    raise AssertionError


# --- Chat Completions ------------------------------------------------------------------------------------------------


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A ``chat.completion.chunk``."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def tool_chunk(*entries: Iterable[Any]) -> dict[str, Any]:
    """A chunk with (index, id, name, arguments) entries; None leaves a field out."""
    calls = []
    for index, id, name, arguments in entries:
        function = {"name": name, "arguments": arguments}
        call = {"index": index, "id": id, "function": {k: v for k, v in function.items() if v is not None}}
        calls.append({k: v for k, v in call.items() if v is not None})
    return chunk(tool_calls=calls)
