"""A fake model server, and upstreams that speak with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tools_runtime.settings import Settings, UpstreamSettings
from tools_runtime.upstreams.chat_completions import ChatCompletions
from tools_runtime.upstreams.responses import Responses
from upstreams import fake_server
from upstreams.fake_server import FakeServer

Make = Callable[..., Any]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server.running() as running:
        yield running


@pytest.fixture
async def chat(server: FakeServer) -> AsyncIterator[Make]:
    """Makes Chat Completions upstreams of the fake server; keywords are fields of either settings object."""
    async with AsyncExitStack() as stack:

        def make(**fields: Any) -> ChatCompletions:
            return _made(stack, ChatCompletions, server, fields)

        yield make


@pytest.fixture
async def responses(server: FakeServer) -> AsyncIterator[Make]:
    """The same for Responses upstreams."""
    async with AsyncExitStack() as stack:

        def make(**fields: Any) -> Responses:
            return _made(stack, Responses, server, fields)

        yield make


def _made(stack: AsyncExitStack, kind: Any, server: FakeServer, fields: dict[str, Any]) -> Any:
    own = {name: value for name, value in fields.items() if name in UpstreamSettings.model_fields}
    general = {name: value for name, value in fields.items() if name not in own}
    upstream = kind(UpstreamSettings(**{"name": "fake", "url": server.url, **own}), Settings(**general))
    stack.push_async_callback(upstream.aclose)
    return upstream
