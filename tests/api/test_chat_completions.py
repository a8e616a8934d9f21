"""Chat Completions are handed on: OpenAI's client, our server, and a fake model server behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from harness.server import listening
from openai import APIError, AsyncOpenAI, BadRequestError, InternalServerError
from upstreams import fake_server
from upstreams.fake_server import FakeServer, chunk

from tools_runtime.api import chat_completions, errors
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams.chat_completions import ChatCompletions
from tools_runtime.upstreams.router import Router

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
}


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server.running() as running:
        yield running


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[AsyncOpenAI]:
    """A client of our server, whose only model server is the fake one and knows the models ``m*``."""
    async with AsyncExitStack() as stack:
        upstream = ChatCompletions(
            UpstreamSettings(name="fake", url=server.url, key="upstream-key"), Settings(upstream_idle_seconds=5)
        )
        stack.push_async_callback(upstream.aclose)
        app = FastAPI()
        errors.install(app)
        app.include_router(chat_completions.router(Router([(upstream, ["m*"])], "m-default"), 10_000))
        port = await stack.enter_async_context(listening(app))
        yield await stack.enter_async_context(
            AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="client-key", max_retries=0)
        )


async def test_the_body_goes_as_it_stands_with_the_servers_own_key(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.status(200, REPLY | {"provider": "fake"}))
    answer = await client.chat.completions.create(model="m", messages=MESSAGES, extra_body={"top_k": 7})
    assert answer.choices[0].message.content == "Hello"
    assert answer.model_extra == {"provider": "fake"}
    assert server.bodies == [{"model": "m", "messages": MESSAGES, "top_k": 7}]
    assert server.requests[0].headers["Authorization"] == "Bearer upstream-key"
    assert not any("client-key" in value for value in server.requests[0].headers.values())


async def test_a_body_without_a_model_gets_the_default_one(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.status(200, REPLY))
    async with aiohttp.ClientSession() as session:
        reply = await session.post(f"{client.base_url}chat/completions", json={"messages": MESSAGES})
        assert reply.status == 200
    assert server.bodies[0]["model"] == "m-default"


async def test_streams_are_handed_on_piece_by_piece(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.events(chunk(content="Hel"), chunk(content="lo"), chunk("stop")))
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    assert [piece.choices[0].delta.content async for piece in stream] == ["Hel", "lo", None]


async def test_a_stream_that_breaks_off_ends_with_an_error(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.raw(fake_server.sse(chunk(content="Hel"), done=False), then="die"))
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    with pytest.raises(APIError, match="closed the connection"):
        [piece async for piece in stream]


async def test_a_client_that_hangs_up_ends_the_call(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.raw(fake_server.sse(chunk(content="Hel"), done=False), then="hang"))
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    await stream.close()
    await asyncio.wait_for(server.aborted.wait(), 10)


async def test_a_client_that_hangs_up_before_the_answer_ends_the_call(server: FakeServer, client: AsyncOpenAI) -> None:
    asked = asyncio.Event()

    async def silent(request: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    server.answer(silent)
    call = asyncio.create_task(client.chat.completions.create(model="m", messages=MESSAGES))
    await asked.wait()
    call.cancel()
    await asyncio.wait_for(server.aborted.wait(), 10)


async def test_refusals_keep_their_words_and_never_show_the_key(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.status(400, {"error": {"message": "no upstream-key here", "param": "messages"}}))
    with pytest.raises(BadRequestError) as refused:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    assert (refused.value.param, refused.value.body["message"]) == ("messages", "no *** here")  # type: ignore[index]


async def test_a_server_that_dies_is_a_502(server: FakeServer, client: AsyncOpenAI) -> None:
    server.answer(fake_server.die)
    with pytest.raises(InternalServerError) as failed:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    assert failed.value.status_code == 502


@pytest.mark.parametrize(
    ("body", "param"), [({"model": "unknown"}, "model"), ({"model": 3}, "model"), ([], None), ("x" * 20_000, None)]
)
async def test_bad_bodies_are_refused(server: FakeServer, client: AsyncOpenAI, body: Any, param: str | None) -> None:
    async with aiohttp.ClientSession() as session:
        reply = await session.post(f"{client.base_url}chat/completions", json=body)
        assert (reply.status, (await reply.json())["error"]["param"]) == (413 if isinstance(body, str) else 400, param)
    assert server.requests == []
