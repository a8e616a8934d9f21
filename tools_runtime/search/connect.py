"""Connections to public addresses, for whoever may not choose addresses itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver

from tools_runtime.search.addresses import AddressPolicy

PORT = 443
ADDRESS_SECONDS = 5
"""For one of a domain's addresses; then the next is tried."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PublicConnector:
    """Resolves a domain once and connects to one of the very addresses that were checked.

    ``resolver`` and ``dial`` (from an address and a port to a connection) are the system's unless others are given.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        resolver: AbstractResolver | None = None,
        dial: Callable[[str, int], Awaitable[Streams]] = asyncio.open_connection,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._dial = dial

    async def __call__(self, domain: str) -> Streams:
        """Raises ``OSError``, also when not every address of ``domain`` may be reached."""
        resolver = self._resolver or aiohttp.ThreadedResolver()
        results = await resolver.resolve(domain, PORT, socket.AF_UNSPEC)
        addresses = [ip_address(result["host"].partition("%")[0]) for result in results]
        if not all(self._policy.permits(domain, PORT, address) for address in addresses):
            raise PermissionError("not a public address")
        error = OSError("no address")
        for address in addresses:
            try:
                async with asyncio.timeout(ADDRESS_SECONDS):
                    return await self._dial(str(address), PORT)
            except OSError as failure:
                error = failure
        raise error
