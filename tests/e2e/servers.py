"""The whole server on a loopback port, in a thread of its own, so that OpenAI's plain client can be its client."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import sandboxes
import stack
import uvicorn
from openai import OpenAI

from tools_runtime.app import create_app
from tools_runtime.protocol.items import FunctionCallOutput
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.settings import Settings
from tools_runtime.upstreams import CallArguments, CallStarted, Delta, TextDelta
from tools_runtime.upstreams.router import Router
from tools_runtime.upstreams.scripted import ScriptedUpstream, Step

_START_SECONDS = 60
Turn = Iterable[Step] | Callable[[Prompt], Iterable[Step]]


@dataclass
class Model:
    """A model whose next turns a test writes. A turn may be a function of what the model is shown."""

    turns: deque[Turn] = field(default_factory=deque)
    prompts: list[Prompt] = field(default_factory=list)

    def plays(self, *turns: Turn) -> None:
        self.turns.clear()
        self.turns.extend(turns)

    async def answer(self, prompt: Prompt) -> AsyncIterator[Step]:
        self.prompts.append(prompt)
        turn = self.turns.popleft()
        for step in turn(prompt) if callable(turn) else turn:
            yield step


def call(name: str, call_id: str = "call_1", /, **arguments: Any) -> list[Delta]:
    """A call whose arguments come in pieces."""
    text = orjson.dumps(arguments).decode()
    pieces = [text[position : position + 5] for position in range(0, len(text), 5)]
    return [CallStarted(call_id, name), *(CallArguments(call_id, piece) for piece in pieces)]


def say(text: str) -> list[Delta]:
    """A text in pieces of three characters, so that markers are cut."""
    return [TextDelta(text[position : position + 3]) for position in range(0, len(text), 3)]


def shown(prompt: Prompt) -> str:
    """The last output that the model was given."""
    outputs = [item.output for item in prompt.items if isinstance(item, FunctionCallOutput)]
    assert isinstance(outputs[-1], str)
    return outputs[-1]


@dataclass(frozen=True)
class Server:
    """``url`` is the base URL without ``/v1``."""

    url: str
    client: OpenAI


@contextlib.contextmanager
def serving(settings: Settings, model: Model | None = None) -> Iterator[Server]:
    """A server on a free port; with ``model`` in place of the model servers of the settings."""
    router = Router([(ScriptedUpstream(model.answer), ("*",))]) if model else None
    server = uvicorn.Server(uvicorn.Config(create_app(settings, router), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _wait_for(server, thread)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=240) as client:
                yield Server(url, client)
        finally:
            server.should_exit = True
            thread.join()


def _wait_for(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + _START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < until, "the server did not start in time"
        time.sleep(0.02)


def settings(folder: Path, **values: Any) -> Settings:
    """Settings of a test's own: nothing of the environment's."""
    return Settings(data=folder, log_level="warning", **values)


def with_all_tools(folder: Path, web: stack.WebStack, **values: Any) -> Settings:
    """As ``settings``, with a real search engine over real pages, and a real sandbox."""
    return settings(
        folder,
        sandbox="docker",
        sandbox_image=sandboxes.image(),
        searxng_url=web.searxng_url,
        search_backends=("searxng",),
        fetch_allow=(f"127.0.0.1:{web.corpus_port}",),
        **values,
    )
