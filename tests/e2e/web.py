"""``tools-runtime serve`` as a process of its own over the local web, and a model server whose turns a test writes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import command
import orjson
import stack
from aiohttp import web
from upstreams import fake_server as fake
from upstreams.fake_server import FakeServer, Reply, chunk, sse, tool_chunk

Turn = bytes | Callable[[list[str]], bytes]
"""What the model answers, or what makes that of the outputs of all calls so far."""

PATIENCE = 250
"""Seconds: what is found must not depend on what else the machine does."""


class Model:
    """A model server of Chat Completions. ``bodies`` are the requests since ``plays``."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.bodies = server.bodies
        self.plays(says("Hello."))

    def plays(self, *turns: Turn) -> None:
        self._server.requests.clear()
        self._server.bodies.clear()
        self._server.answer(*map(self._reply, turns))

    def outputs(self, turn: int = -1) -> list[str]:
        """What the model was shown of calls in a turn."""
        return [message["content"] for message in self.bodies[turn]["messages"] if message["role"] == "tool"]

    def _reply(self, turn: Turn) -> Reply:
        async def reply(request: web.Request) -> web.StreamResponse:
            return await fake.raw(turn(self.outputs()) if callable(turn) else turn)(request)

        return reply


def calls(*wanted: tuple[str, dict[str, Any]]) -> bytes:
    """These calls in one turn: names and arguments."""
    entries = [(n, f"call_{n}", name, orjson.dumps(arguments).decode()) for n, (name, arguments) in enumerate(wanted)]
    return sse(tool_chunk(*entries), chunk("tool_calls"))


def says(text: str) -> bytes:
    """A text in pieces of three characters, so that markers are cut."""
    pieces = [text[position : position + 3] for position in range(0, len(text), 3)]
    return sse(*(chunk(content=piece) for piece in pieces), chunk("stop"))


@contextlib.contextmanager
def serving(folder: Path, upstream: FakeServer, **settings: object) -> Iterator[str]:
    """The server's base URL, ending in ``/v1``. In its mount namespace, the sites' names are this machine's."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(stack.SITES)}\n")
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    within = ["unshare", "--mount", "sh", "-c", script, str(hosts), *command.COMMAND, "serve"]
    defaults = {"data": folder / "data", "sandbox": "none", "upstream_url": upstream.url, "upstream_retries": 0}
    defaults |= {"default_model": "fake", "log_level": "warning"}
    with command.serving(folder / "log", within, **(defaults | settings)) as url:
        yield f"{url}/v1"


def over(web_stack: stack.WebStack) -> dict[str, object]:
    """Settings: SearXNG, then Kiwix, and the pages that both find."""
    sites = [f"{host}:{web_stack.corpus_port}" for host in stack.SITES]
    return {
        "search_backends": "searxng,kiwix",
        "searxng_url": web_stack.searxng_url,
        "kiwix_url": web_stack.kiwix_url,
        "fetch_allow": ",".join([*sites, web_stack.kiwix_url.removeprefix("http://")]),
        **dict.fromkeys(("search_seconds", "search_hedge_seconds", "search_open_seconds"), PATIENCE),
        **dict.fromkeys(("fetch_seconds", "page_seconds"), PATIENCE),
    }
