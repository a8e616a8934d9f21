"""``/v1/models``: what several model servers offer, as OpenAI's client lists it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import openai
import pytest
from fastapi import FastAPI
from harness.server import listening
from openai import AsyncOpenAI
from upstreams import fake_server as fake

from tools_runtime.api import auth, errors, models
from tools_runtime.api.auth import Keyring
from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams.router import build


def offers(*names: str) -> fake.Reply:
    return fake.status(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[AsyncOpenAI]:
    """Of a server with three model servers, of which one is down."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(fake.running())
        two = await stack.enter_async_context(fake.running())
        one.answer(offers("gpt-x", "not-asked-here"))
        two.answer(offers("org/llama", "gpt-x"))
        upstreams = (
            UpstreamSettings(name="one", url=one.url, models=("gpt-*",)),
            UpstreamSettings(name="down", url="http://127.0.0.1:1/v1", models=("down-*",)),
            UpstreamSettings(name="two", url=two.url),
        )
        router = build(Settings(data=tmp_path, upstreams=upstreams, upstream_retries=0))
        stack.push_async_callback(router.aclose)
        app = FastAPI()
        errors.install(app)
        auth.install(app, Keyring())
        app.include_router(models.router(router))
        port = await stack.enter_async_context(listening(app))
        url = f"http://127.0.0.1:{port}/v1"
        yield await stack.enter_async_context(AsyncOpenAI(base_url=url, api_key="none", max_retries=0))


async def test_each_model_is_listed_once_with_the_server_that_answers_for_it(client: AsyncOpenAI) -> None:
    listed = [(model.id, model.owned_by) async for model in client.models.list()]
    assert listed == [("gpt-x", "one"), ("org/llama", "two")]


async def test_a_model_is_described_by_its_name(client: AsyncOpenAI) -> None:
    model = await client.models.retrieve("org/llama")
    assert (model.id, model.object, model.owned_by) == ("org/llama", "model", "two")
    with pytest.raises(openai.NotFoundError) as raised:
        await client.models.retrieve("not-asked-here")
    assert raised.value.code == "model_not_found"
