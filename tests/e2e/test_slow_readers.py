"""Clients that do not read what they are sent: the server's memory is bounded, and they are not waited for for ever."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from command import serving
from upstreams import fake_server as fake
from upstreams.fake_server import FakeServer, chunk, sse

from e2e.test_workers import children

PIECE = sse(chunk(content="x" * 2000), done=False)
UNREAD = 2**20
BUFFERS = 48 * 2**20
"""What sockets of a kernel may hold between a model that speaks and a client that does not read, generously."""
MEMORY = 64 * 2**20
"""By which the server may grow meanwhile."""


class Talker:
    """A model server that talks for as long as it is listened to, or ``most`` bytes. ``said``: bytes so far."""

    def __init__(self, most: int = 2**60) -> None:
        self.said = 0
        self._most = most

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": []})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while self.said < self._most:
            await response.write(PIECE)
            self.said += len(PIECE)
        await response.write(sse(chunk("stop")))
        return response

    async def held_up(self) -> None:
        """Returns when it waits; says when it was listened to for too long."""
        before = -1
        while before != self.said or not self.said:
            before = self.said
            assert before < BUFFERS, "nobody holds the model up"
            await asyncio.sleep(1)


class Server:
    """A server in a process of its own; ``port`` of its address, ``url`` with ``/v1``."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1"
        self.port = int(url.rpartition(":")[2])
        (self._pid,) = children(os.getpid(), b"tools_runtime")

    def memory(self) -> int:
        """Bytes that are resident."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async def is_calm(self) -> None:
        """Returns when its memory does not grow any more."""
        before = 0
        while (now := self.memory()) > before + 2**19:
            before = now
            await asyncio.sleep(1)

    def connections(self) -> int:
        """Clients that are connected, and sockets of its own."""
        names = (os.readlink(path) for path in Path(f"/proc/{self._pid}/fd").iterdir() if path.is_symlink())
        return sum(name.startswith("socket:") for name in names)

    async def only(self, connections: int) -> None:
        """Returns when there are no more than so many."""
        while self.connections() > connections:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def client(self, request: bytes) -> socket.socket:
        """One that has sent a request, and reads nothing."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await loop.sock_sendall(client, request)
        return client


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[FakeServer]:
    async with fake.running() as running:
        yield running


@asynccontextmanager
async def server(folder: Path, upstream: FakeServer, stall_seconds: int) -> AsyncIterator[Server]:
    settings: dict[str, Any] = {
        "data": folder / "data",
        "upstream_url": upstream.url,
        "default_model": "fake",
        "sandbox": "none",
        "unread_bytes": UNREAD,
        "stall_seconds": stall_seconds,
    }
    process = serving(folder / "log", **settings)
    url = await asyncio.to_thread(process.__enter__)
    try:
        yield Server(url)
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


def post(body: dict[str, Any]) -> bytes:
    data = orjson.dumps(body)
    head = f"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


async def by_stream(server: Server) -> socket.socket:
    return await server.client(post({"input": "hi", "stream": True}))


async def by_websocket(server: Server) -> socket.socket:
    frame = orjson.dumps({"type": "response.create", "input": "hi"})
    head = "GET /v1/responses HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    client = await server.client((head + key).encode())
    loop = asyncio.get_running_loop()
    assert b" 101 " in await loop.sock_recv(client, 1000)
    await loop.sock_sendall(client, bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
    return client


Opening = Callable[[Server], Awaitable[socket.socket]]


@pytest.mark.slow
@pytest.mark.parametrize("opening", [by_stream, by_websocket])
async def test_a_client_that_does_not_read_holds_the_model_up(
    tmp_path: Path, upstream: FakeServer, opening: Opening
) -> None:
    talker = Talker()
    upstream.answer(talker.answer)
    async with server(tmp_path, upstream, stall_seconds=600) as running:
        before = running.memory()
        with await opening(running) as client:
            await talker.held_up()
            assert running.memory() - before < MEMORY
            said = talker.said
            while talker.said < said + BUFFERS:
                assert await asyncio.get_running_loop().sock_recv(client, 2**20)
            assert running.memory() - before < MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("opening", [by_stream, by_websocket])
async def test_a_client_that_never_reads_is_not_waited_for_for_ever(
    tmp_path: Path, upstream: FakeServer, opening: Opening
) -> None:
    upstream.answer(Talker().answer)
    async with server(tmp_path, upstream, stall_seconds=1) as running:
        before = running.connections()
        with await opening(running):
            await asyncio.wait_for(upstream.aborted.wait(), 120)
            await running.only(before)


@pytest.mark.slow
async def test_readers_of_background_responses_hold_nothing_up(tmp_path: Path, upstream: FakeServer) -> None:
    """What they do not read stays in the database."""
    clients, size = 24, 4 * 2**20
    upstream.answer(Talker(size).answer)
    async with (
        server(tmp_path, upstream, stall_seconds=20) as running,
        httpx.AsyncClient(base_url=running.url, timeout=120, trust_env=False) as client,
    ):
        response = (await client.post("/responses", json={"input": "hi", "background": True})).json()
        path = f"/responses/{response['id']}"
        while response["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.5)
            response = (await client.get(path)).json()
        assert response["status"] == "completed"
        before, connected = running.memory(), running.connections()
        asks = f"GET /v1{path}?stream=true HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        with ExitStack() as stack:
            for _ in range(clients):
                stack.enter_context(await running.client(asks))
            await running.is_calm()
            assert running.memory() - before < MEMORY
            async with client.stream("GET", path, params={"stream": "true"}) as whole:
                read = sum([len(piece) async for piece in whole.aiter_bytes()])
            assert read > size
            await running.only(connected)
