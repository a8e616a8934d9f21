"""A model that runs the code that it is sent, once, and then says what it was told of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import sandboxes
from aiohttp import web
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseCodeInterpreterToolCall
from upstreams import fake_server as fake
from upstreams.fake_server import chunk, tool_chunk

AUTO: Any = {"type": "auto"}
WARM = 1


async def reply(request: web.Request) -> web.StreamResponse:
    """Chat Completions, as a stream; and the one model that there is."""
    if request.method == "GET":
        return web.json_response({"object": "list", "data": [{"id": "fake", "object": "model"}]})
    last = (await request.json())["messages"][-1]
    if last["role"] == "tool":
        return await fake.events(chunk(content=last["content"]), chunk("stop"))(request)
    text = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    call = tool_chunk((0, "call_1", "code_interpreter", orjson.dumps({"code": text}).decode()))
    return await fake.events(call, chunk("tool_calls"))(request)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[str]:
    """The address of such a model's server."""
    async with fake.running() as server:
        server.answer(reply)
        yield server.url


@contextlib.asynccontextmanager
async def settings(data: Path, **others: Any) -> AsyncIterator[dict[str, Any]]:
    """Of a server on this folder whose model is such a one."""
    async with running() as url:
        yield {"data": data, "upstream_url": url, "upstream_retries": 0, **others}


def in_docker() -> dict[str, Any]:
    """Settings of a server whose containers are ready before they are needed, and may be busy for long."""
    return {"sandbox": "docker", "sandbox_image": sandboxes.image(), "sandbox_warm": WARM, "sandbox_cell_seconds": 250}


def client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)


async def run(
    client: AsyncOpenAI,
    code: str,
    container: Any = AUTO,
    *,
    previous: str | None = None,
    began: Callable[[], None] = lambda: None,
    **options: Any,
) -> Response:
    """The response to ``code``, made by a stream; ``began`` is called when the code begins to run.
    ``options`` are those of the request."""
    tools: Any = [{"type": "code_interpreter", "container": container}]
    options |= {"previous_response_id": previous} if previous else {}
    async with client.responses.stream(model="fake", input=code, tools=tools, **options) as stream:
        async for event in stream:
            if event.type == "response.code_interpreter_call.interpreting":
                began()
        return await stream.get_final_response()


def call_of(response: Response) -> ResponseCodeInterpreterToolCall:
    """The response's one call."""
    (call,) = [item for item in response.output if item.type == "code_interpreter_call"]
    return call
