"""A server that misbehaves, as search engines and as hosts of pages do. ``GET /faults/<name>/…`` picks the fault."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from aiohttp.test_utils import TestServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NEVER = ("slow", "drip")
"""Faults that only a time-out ends."""


def patience(name: str) -> float:
    """Seconds for a test of a fault: few where nothing else ends it, and for others more than they need."""
    return 0.2 if name in NEVER else 60


PAGE = "<html><body>A page. " + "words " * 2000 + "</body></html>"
BOMB_BYTES = 64 * 2**20
ZEROS = 2**16 + 1
"""So many zeros, packed, are read to the end before the last of them can be unpacked in steps of 64 KiB."""

CAPTCHA = "<html><body><form id='challenge-form'><img src='captcha.png'>Prove it</form></body></html>"
NOTHING = "<html><body><div class='no-results'>No results.</div></body></html>"
DUCKDUCKGO = """
<html><body>
<div class="result result--ad"><div class="links_main result__body"><h2><a href="AD">Buy!</a></h2>
  <a href="AD">Cheap</a></div></div>
<div class="result"><div class="links_main result__body"><h2><a href="WIKI">C++</a></h2>
  <a href="WIKI">A language</a></div></div>
<div class="result"><div class="links_main result__body"><h2><a href="https://direct.test/a%2Fb">Direct</a></h2>
  <a href="https://direct.test/a%2Fb">No redirect</a></div></div>
</body></html>
""".replace(
    "AD", "//duckduckgo.com/l/?uddg=https%3A%2F%2Fduckduckgo.com%2Fy.js%3Fad_domain%3Dads.test&amp;rut=0"
).replace("WIKI", "//duckduckgo.com/l/?uddg=https%3A%2F%2Fwiki.test%2Fwiki%2FC%252B%252B%3Fx%3Da%2526b&amp;rut=1")
"""DuckDuckGo's markup: an advertisement, a redirect to ``https://wiki.test/wiki/C%2B%2B?x=a%26b``, a plain link."""


class Faults:
    """A running fault server. ``requests`` are the URLs that it was asked for, with their queries."""

    def __init__(self, server: TestServer) -> None:
        self._server = server
        self.requests: list[str] = []

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, name: str) -> str:
        """The base URL of a fault; any path may follow."""
        return f"http://127.0.0.1:{self.port}/faults/{name}"


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Faults]:
    over = asyncio.Event()
    handlers = _handlers(over)

    async def handle(request: web.Request) -> web.StreamResponse:
        faults.requests.append(str(request.rel_url))
        return await handlers[request.match_info["name"]](request)

    app = web.Application()
    app.router.add_route("*", "/faults/{name}{rest:.*}", handle)
    server = TestServer(app, host="127.0.0.1")
    faults = Faults(server)
    await server.start_server()
    try:
        yield faults
    finally:
        over.set()
        await server.close()


def _handlers(over: asyncio.Event) -> dict[str, Handler]:
    hits = [
        {"url": "https://one.test/a", "title": "One", "content": "first"},
        {"url": None, "title": "broken"},
        "not a hit",
        {"url": "https://two.test/b", "title": None, "content": 7},
    ]

    async def slow(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response(text="late")

    async def close(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not over.is_set():
                await response.write(b"x")
                await asyncio.sleep(0.02)
        return response

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def loop(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": request.path})

    async def headers(request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(request.headers))

    packed = PAGE.encode()
    return {
        **{f"status-{code}": _text("no", status=code) for code in (202, 403, 404, 429, 500)},
        "hits": _json({"results": hits, "unresponsive_engines": [["slow engine", "timeout"]]}),
        "none": _json({"results": [], "unresponsive_engines": []}),
        **{
            f"silent-{number}": _json({"results": [], "unresponsive_engines": [["engine", reason]]})
            for number, reason in enumerate(("too many requests", "access denied", "timeout", "HTTP connection error"))
        },
        "shapeless": _json([1, 2]),
        "garbage": _text("\x00\xff<<<{not json"),
        "nothing": _text(""),
        "captcha": _text(CAPTCHA),
        "no-results": _text(NOTHING),
        "duckduckgo": _text(DUCKDUCKGO),
        "page": _text(PAGE),
        "gzip": _packed(gzip.compress(packed), "gzip"),
        "members": _packed(gzip.compress(packed[:100]) + gzip.compress(packed[100:]) + b"\0\0", "gzip"),
        "zlib": _packed(zlib.compress(packed), "deflate"),
        "deflate": _packed(_bare_deflate(packed), "deflate"),
        "zeros": _packed(_bare_deflate(bytes(ZEROS)), "deflate"),
        "truncated": _packed(gzip.compress(packed[:200])[:-20], "gzip"),
        "not-gzip": _packed(b"\x1f\x8bnot gzip at all", "gzip"),
        "brotli": _packed(b"\x0b\x02\x80", "br"),
        "bomb": _packed(_bomb(), "gzip"),
        "slow": slow,
        "close": close,
        "drip": drip,
        "cut": cut,
        "redirect": redirect,
        "loop": loop,
        "headers": headers,
    }


def _bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_BYTES))


def _text(text: str, status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type="text/html")

    return handler


def _json(data: object) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(data)

    return handler


def _packed(body: bytes, encoding: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": encoding}, content_type="text/html")

    return handler
