"""HTTP for MCP's client, to allowed addresses only.

Every address is checked after its name was resolved, and the connection goes to the very address that was checked, so
that a name cannot be pointed elsewhere in between. Redirects are requests like any other. Nothing is unpacked, so what
is counted is what is held in memory.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address

import aiohttp
import httpx2
from aiohttp.abc import AbstractResolver

from tools_runtime.search.addresses import AddressPolicy

_HEADERS = {"Accept-Encoding": "identity"}


class Blocked(httpx2.TransportError):
    """An address that may not be connected to."""


class BrokenOff(httpx2.StreamError):
    """A body that did not come to its end. The client takes it for the failure of one request: what else goes wrong in
    a body ends its whole session, and with it the other calls."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Made inside a running event loop, for one server. No proxy of the environment is used.

    ``max_bytes`` bounds each answer. ``resolver`` is the system's unless another is given. ``error_status`` is that of
    the last answer, if it was an error.
    """

    def __init__(
        self, policy: AddressPolicy, max_bytes: int, context: ssl.SSLContext, resolver: AbstractResolver | None = None
    ) -> None:
        self._policy = policy
        self._max_bytes = max_bytes
        self._resolver = resolver or aiohttp.ThreadedResolver()
        self._inner = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
        self.error_status: int | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises ``httpx2.TransportError``."""
        self.error_status = None
        error: httpx2.TransportError = httpx2.ConnectError("The host name could not be resolved.")
        for address in await self._addresses(request.url):
            try:
                response = await self._inner.handle_async_request(_at(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as failure:
                error = failure
                continue
            self.error_status = response.status_code if response.status_code >= 400 else None
            return await self._checked(response)
        raise error

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        """Those of the URL's host; none where it has none. Raises ``Blocked`` unless all of them are allowed."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            results = await self._resolver.resolve(url.host, port, socket.AF_UNSPEC)
        except OSError:
            return []
        addresses = [ip_address(result["host"].partition("%")[0]) for result in results]
        if not all(self._policy.permits(url.host.lower(), port, address) for address in addresses):
            raise Blocked("This address may not be connected to.")
        return [str(address) for address in addresses]

    async def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.RemoteProtocolError("The answer is compressed, which was not asked for.")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, self._max_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._inner.aclose()
        await self._resolver.close()


class _Bounded(httpx2.AsyncByteStream):
    """A body that breaks off where it gets too large."""

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for piece in self._inner:
                size += len(piece)
                if size > self._limit:
                    raise BrokenOff(f"The server sent more than {self._limit} bytes.")
                yield piece
        except httpx2.TransportError as error:
            raise BrokenOff("The server broke off.") from error

    async def aclose(self) -> None:
        await self._inner.aclose()


def _at(request: httpx2.Request, address: str) -> httpx2.Request:
    """The request, sent to this address. The host's name stays in its headers and in the TLS handshake."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": request.url.host},
    )


def http_client(transport: GuardedTransport, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """Times are up to whoever asks: a server may say nothing for long, and then answer."""
    return httpx2.AsyncClient(
        transport=transport, headers={**headers, **_HEADERS}, timeout=None, trust_env=False, cookies=None
    )
