"""A real server on a free loopback port, around an engine whose model plays a script."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI

from harness import Harness, harness
from tools_runtime.api import auth, background, context, conversations, errors, responses, websocket
from tools_runtime.api.auth import Keyring
from tools_runtime.api.websocket import SocketLimits
from tools_runtime.app import create_app
from tools_runtime.settings import Settings
from tools_runtime.tools import HostedTool
from tools_runtime.upstreams.router import Router
from tools_runtime.upstreams.scripted import Script, ScriptedUpstream

MAX_REQUEST_BYTES = 100_000
SOCKET = SocketLimits(seconds=60, running=16, lanes=32, waiting=64, waiting_bytes=MAX_REQUEST_BYTES, stall_seconds=30)


@dataclass(frozen=True)
class Served:
    """A server that answers requests. ``client`` is OpenAI's own; ``url`` ends in ``/v1``."""

    url: str
    client: AsyncOpenAI
    house: Harness


@asynccontextmanager
async def serving(
    folder: Path,
    script: Script | ScriptedUpstream,
    tools: Sequence[HostedTool] = (),
    *,
    socket: SocketLimits = SOCKET,
    keyring: Keyring | None = None,
    **options: Any,
) -> AsyncIterator[Served]:
    """Serves ``harness(folder, script, tools, **options)``, WebSockets within the limits of ``socket``, to those who
    have a key of ``keyring``."""
    async with harness(folder, script, tools, **options) as house:
        app = FastAPI()
        errors.install(app)
        auth.install(app, keyring or Keyring())
        app.include_router(context.router(house.contexts, MAX_REQUEST_BYTES))
        app.include_router(background.router(house.background))
        app.include_router(responses.router(house.engine, house.background, house.responses, MAX_REQUEST_BYTES))
        app.include_router(websocket.router(house.engine, socket))
        app.include_router(conversations.router(house.conversations, MAX_REQUEST_BYTES))
        async with listening(app) as port:
            url = f"http://127.0.0.1:{port}/v1"
            async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
                yield Served(url, client, house)


@asynccontextmanager
async def whole(settings: Settings, upstream: ScriptedUpstream) -> AsyncIterator[str]:
    """The server as it is run, whose only model is ``upstream``'s: its URL, without ``/v1``. No fixture: a lifespan
    must end in the task that began it."""
    app = create_app(settings, Router([(upstream, ["*"])], "m"))
    async with app.router.lifespan_context(app), listening(app) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    """Serves ``app`` on a free loopback port, which it yields."""
    config = uvicorn.Config(
        app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1, ws_max_size=MAX_REQUEST_BYTES
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Without the server's main loop, which looks every tenth of a second whether it is to stop.
        await server.startup([listener])
        try:
            yield listener.getsockname()[1]
        finally:
            await server.shutdown([listener])
