"""How one server is reached in one response."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import mcp_types as types
from aiohttp.abc import AbstractResolver
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tools_runtime import __version__
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.tools.mcp.session import Session
from tools_runtime.tools.mcp.transport import GuardedTransport, http_client


@dataclass(frozen=True)
class Limits:
    """``list_seconds`` for a list of tools, ``call_seconds`` for a call, the connection included; ``answer_bytes`` of
    one HTTP answer; ``tools`` and ``list_bytes`` of the tools that a model is shown of one server; ``output_chars`` of
    one result."""

    list_seconds: float
    call_seconds: float
    answer_bytes: int
    tools: int
    list_bytes: int
    output_chars: int


class Network:
    """Makes connections. One for all servers: reading the certificates of authorities takes a while."""

    def __init__(self, policy: AddressPolicy, limits: Limits, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver
        self._context: ssl.SSLContext | None = None
        self.limits = limits

    async def transport(self) -> GuardedTransport:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        return GuardedTransport(self._policy, self.limits.answer_bytes, self._context, self._resolver)


class Connection:
    """One server, with one request's credentials. Connects when it is first used."""

    def __init__(self, network: Network, label: str, url: str, headers: Mapping[str, str]) -> None:
        self._network = network
        self._url = url
        self._headers = headers
        self._transport: GuardedTransport | None = None
        self.label = label
        self.limits = network.limits
        self.session = Session(self._connected)

    @property
    def error_status(self) -> int | None:
        """HTTP status of the last answer, if it was an error."""
        return self._transport.error_status if self._transport else None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        self._transport = await self._network.transport()
        async with http_client(self._transport, self._headers) as http:
            stream = streamable_http_client(self._url, http_client=http, max_sse_event_size=self.limits.answer_bytes)
            info = types.Implementation(name="tools-runtime", version=__version__)
            async with Client(stream, cache=None, client_info=info) as client:
                yield client
