"""The body of a model server's reply: byte for byte, as payloads of events, or its beginning."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager

import aiohttp

from tools_runtime.upstreams.sse import EventParser

MAX_BODY_BYTES = 16 * 2**20
"""Of one event or one JSON body. The last event of a Responses stream repeats the whole response."""
_DRAIN_SECONDS = 0.25
"""How long a finished stream may take to end, so that its connection can serve the next request."""


class Reply:
    """The body of a reply, byte for byte. ``close`` it in the end."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        idle_seconds: float,
        explained: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._response = response
        self._idle_seconds = idle_seconds
        self._explained = explained
        self.streams = response.content_type == "text/event-stream"
        """Whether it is a stream of server-sent events."""

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises ``UpstreamError``."""
        while True:
            with self._explained():
                async with asyncio.timeout(self._idle_seconds):
                    chunk = await self._response.content.readany()
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, and cuts it if not."""
        self._response.release()


class EventStream:
    """The body of a reply, as payloads of events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._parser = EventParser(MAX_BODY_BYTES)

    async def read(self) -> list[bytes]:
        """The next payloads, at least one; none at the end."""
        content = self._response.content
        while chunk := await content.readany():
            if payloads := self._parser.feed(chunk):
                return payloads
        return self._parser.end()

    async def drain(self) -> None:
        """Reads the little that may follow the last event, so that the connection can be used again."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, ConnectionError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._response.content.readany():
                    pass

    def close(self) -> None:
        """Gives the connection back if the stream was read to its end, and cuts it if not."""
        self._response.release()


async def read_up_to(response: aiohttp.ClientResponse, size: int) -> bytes:
    """The first ``size`` bytes of the body."""
    body = bytearray()
    while len(body) < size and (chunk := await response.content.readany()):
        body += chunk
    return bytes(body[:size])
