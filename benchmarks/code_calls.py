"""``code_interpreter`` through a whole server, with a scripted model server: what a client waits for a call.

A call is a response: the model asks for the code, the code runs in a container that is there, the model is shown what
was printed and says so, and the response is stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from overhead import free_port, process


def _stream(*deltas: tuple[dict[str, Any], str | None]) -> bytes:
    lines = []
    for delta, finish in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        lines.append(b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}))
    return b"\n\n".join([*lines, b"data: [DONE]\n\n"])


async def _complete(request: web.Request) -> web.Response:
    last = orjson.loads(await request.read())["messages"][-1]
    if last["role"] == "tool":
        body = _stream(({"content": last["content"]}, None), ({}, "stop"))
    else:
        arguments = orjson.dumps({"code": last["content"]}).decode()
        call = {"index": 0, "id": "call_1", "type": "function"}
        call["function"] = {"name": "code_interpreter", "arguments": arguments}
        body = _stream(({"tool_calls": [call]}, None), ({}, "tool_calls"))
    return web.Response(body=body, content_type="text/event-stream")


class Calls:
    """A server with one container that is in use."""

    def __init__(self, url: str, model: str, http: aiohttp.ClientSession, container: str) -> None:
        self._url = url
        self._model = model
        self._http = http
        self._body = {"model": "m", "tools": [{"type": "code_interpreter", "container": container}]}

    async def run(self, code: str, told: str, **options: Any) -> None:
        """A response to ``code``, whose text must contain ``told``."""
        async with self._http.post(f"{self._url}/v1/responses", json={**self._body, "input": code, **options}) as reply:
            text = await reply.text()
            assert reply.status == 200 and told in text, text

    async def ask_model(self) -> None:
        """What the model server takes by itself for the two turns of such a response."""
        for _ in range(2):
            body = {"messages": [{"role": "tool", "content": "2"}]}
            async with self._http.post(f"{self._model}/chat/completions", json=body) as reply:
                await reply.read()


@asynccontextmanager
async def calls(data: Path) -> AsyncIterator[Calls]:
    """The server that ``tools-runtime serve`` starts, with its usual sandbox."""
    port, model = free_port(), free_port()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", model).start()
    url, model_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{model}/v1"
    environment = {
        "TOOLS_RUNTIME_PORT": str(port),
        "TOOLS_RUNTIME_DATA": str(data),
        "TOOLS_RUNTIME_UPSTREAM_URL": model_url,
        "TOOLS_RUNTIME_SANDBOX": "docker",
        "TOOLS_RUNTIME_SANDBOX_WARM": "0",
    }
    try:
        async with (
            process("-m", "tools_runtime", "serve", ready=f"{url}/health/ready", environment=environment),
            aiohttp.ClientSession() as http,
        ):
            async with http.post(f"{url}/v1/containers", json={"name": "benchmark"}) as reply:
                container = (await reply.json())["id"]
            running = Calls(url, model_url, http, container)
            await running.run("print(1 + 1)", "2")
            yield running
    finally:
        await runner.cleanup()
