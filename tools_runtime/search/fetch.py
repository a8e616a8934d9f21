"""The guarded fetcher: gets a document from the public web and nothing from anywhere else.

Every address is checked after its name was resolved and before anything connects, and the connection goes to the very
addresses that were checked, so that a name cannot be pointed elsewhere in between. Each redirect is a new hop with new
checks. Time, size and the number of hops are capped; bodies are unpacked in small steps: a bomb ends at the cap.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Iterator
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tools_runtime import __version__
from tools_runtime.search import CheckHop, FetchError, Page
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.settings import Settings

USER_AGENT = f"tools-runtime/{__version__}"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STEP = 64 * 2**10


class GuardedFetcher:
    """A ``PageFetcher`` over aiohttp. Made inside a running event loop. Proxies of the environment are not used.

    ``resolver`` is aiohttp's own unless another is given. Raises ``ValueError`` for a malformed ``fetch_allow``.
    """

    def __init__(self, settings: Settings, resolver: AbstractResolver | None = None) -> None:
        self._seconds = settings.fetch_seconds
        self._max_bytes = settings.fetch_max_bytes
        self._max_redirects = settings.fetch_max_redirects
        self._policy = AddressPolicy(settings.fetch_allow)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._policy, resolver or aiohttp.ThreadedResolver()),
                use_dns_cache=False,
            ),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )

    async def get(self, url: str, check: CheckHop | None = None) -> Page:
        """The document at ``url``. ``check`` is asked before each hop, redirects included. Raises ``FetchError``."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._follow(url, check)
        except TimeoutError:
            raise FetchError("timeout", f"The page did not arrive within {self._seconds:g} seconds.") from None
        except aiohttp.InvalidURL:
            raise _invalid() from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError("network_error", "The server could not be reached or broke off.") from error

    async def aclose(self) -> None:
        await self._session.close()

    async def _follow(self, url: str, check: CheckHop | None) -> Page:
        target = _parse(url)
        for _ in range(self._max_redirects + 1):
            self._check_literal(target)
            if check is not None:
                await check(str(target))
            async with self._session.get(target, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location:
                    target = _parse(location, base=target)
                    continue
                if not 200 <= response.status < 300:
                    raise FetchError("http_error", f"The server answered with HTTP status {response.status}.")
                body = await self._body(response)
                return Page(url, str(target), response.content_type, response.charset, body)
        raise FetchError("too_many_redirects", f"More than {self._max_redirects} redirects.")

    def _check_literal(self, target: URL) -> None:
        """Checks a host that is an address: aiohttp asks the resolver for names only."""
        host, port = target.raw_host, target.port
        assert host is not None and port is not None
        if ":" not in host and not host.replace(".", "").isdigit():
            return
        try:
            address = ip_address(host)
        except ValueError:  # 127.1, 2130706433: the C library would make an address of it
            raise _invalid() from None
        if not self._policy.permits(host, port, address):
            raise _blocked()

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        unpack = _unpacker(response.headers.get("Content-Encoding", ""))
        body = bytearray()
        async for chunk in response.content.iter_chunked(_STEP):
            for piece in unpack.pieces(chunk):
                body += piece
                if len(body) > self._max_bytes:
                    raise FetchError("too_large", f"The document has more than {self._max_bytes} bytes.")
        unpack.finish()
        return bytes(body)


class _CheckedResolver(AbstractResolver):
    """Resolves a name once and hands on its addresses only if every one of them may be connected to."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        if not all(self._policy.permits(host.lower(), port, ip_address(result["host"])) for result in results):
            raise _blocked()
        return results

    async def close(self) -> None:
        await self._inner.close()


def _parse(url: str, base: URL | None = None) -> URL:
    try:
        target = URL(url) if base is None else base.join(URL(url))
        valid = target.scheme in ("http", "https") and bool(target.raw_host) and bool(target.port)
    except ValueError:
        raise _invalid() from None
    if not valid or target.raw_user is not None or target.raw_password is not None:
        raise _invalid()
    return target


def _invalid() -> FetchError:
    return FetchError("invalid_url", "Only plain http and https URLs without credentials can be fetched.")


def _blocked() -> FetchError:
    return FetchError("blocked_address", "This address may not be fetched.")


# --- unpacking -------------------------------------------------------------------------------------------------------


class _Plain:
    """A body that is not packed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Inflate:
    """Gzip (of several members, too), zlib and bare deflate, in pieces of at most ``_STEP`` bytes."""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._members = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream is None:
                    if self._members and data[0] != 0x1F:
                        return  # padding after the last member
                    self._stream = zlib.decompressobj(_window(data[0]))
                piece = self._stream.decompress(data, _STEP)
                yield piece
                data = self._stream.unconsumed_tail
                while len(piece) == _STEP and not data:
                    piece = self._stream.decompress(b"", _STEP)
                    yield piece
                if self._stream.eof:
                    data, self._stream, self._members = self._stream.unused_data, None, self._members + 1
        except zlib.error:
            raise FetchError("network_error", "The document's compression is broken.") from None

    def finish(self) -> None:
        if self._stream is not None:
            raise FetchError("network_error", "The document broke off.")


def _window(first: int) -> int:
    """zlib's ``wbits``: detect gzip and zlib by their headers; what has neither is bare deflate."""
    return zlib.MAX_WBITS | 32 if first == 0x1F or first & 0x0F == 8 else -zlib.MAX_WBITS


def _unpacker(encoding: str) -> _Plain | _Inflate:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Inflate()
        case _:
            raise FetchError("unsupported_encoding", "The document is packed in a way that is not supported.")
