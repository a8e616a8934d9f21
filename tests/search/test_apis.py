"""Brave, Tavily, Kiwix and the generic backend, each against a loopback fake of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from stack.faults import Faults, patience

from tools_runtime.search import Query, Result, SearchBackend, SearchOutcome
from tools_runtime.search.brave import BraveBackend
from tools_runtime.search.json_api import JsonBackend
from tools_runtime.search.kiwix import KiwixBackend
from tools_runtime.search.tavily import TavilyBackend

QUERY = Query("ducks & geese", max_results=30, country="CH", language="de", allowed_domains=("a.test",))
RESULTS = (Result("https://a.test/1", "One", "first"), Result("https://a.test/2", "", ""))
BRAVE = {
    "web": {
        "results": [
            {"url": "https://a.test/1", "title": "One", "description": "fir", "extra_snippets": ["st"]},
            {"title": "no URL"},
        ]
    }
}
TAVILY = {"results": [{"url": "https://a.test/1", "title": "One", "content": "first"}, {"url": "https://a.test/2"}]}
KIWIX = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
<rss version="2.0"><channel><title>Search</title>
<item><title>Duck</title><link>/content/wiki/A/Duck</link>
<description>A <b>duck</b> &amp;secret; &secret;</description></item>
</channel></rss>"""

Make = Callable[[str, float], SearchBackend]
MAKES: dict[str, Make] = {
    "brave": lambda url, seconds: BraveBackend("k", seconds=seconds, url=url),
    "tavily": lambda url, seconds: TavilyBackend("k", seconds=seconds, url=url),
    "json": lambda url, seconds: JsonBackend(url + "?q={query}", "results[].{url: url}", seconds=seconds),
    "kiwix": lambda url, seconds: KiwixBackend(url, seconds=seconds),
}


class Api:
    """Answers every request with ``body``, and keeps the last one."""

    def __init__(self, body: object, status: int = 200, **headers: str) -> None:
        self._body = body
        self._status = status
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.query: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.json: Any = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.query, self.headers = dict(request.query), dict(request.headers)
        self.json = await request.json() if request.method == "POST" else None
        if isinstance(self._body, str):
            return web.Response(text=self._body, status=self._status, headers=self._headers)
        return web.json_response(self._body, status=self._status, headers=self._headers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        async with TestServer(app, host="127.0.0.1") as server:
            yield f"http://127.0.0.1:{server.port}/api"

    async def ask(self, make: Make, query: Query = QUERY) -> SearchOutcome:
        async with self.serving() as url:
            return await _ask(make(url, 60), query)


async def _ask(backend: SearchBackend, query: Query = QUERY) -> SearchOutcome:
    try:
        return await backend.search(query)
    finally:
        await backend.aclose()


async def test_brave() -> None:
    api = Api(BRAVE)
    outcome = await api.ask(MAKES["brave"])
    assert outcome.results == (Result("https://a.test/1", "One", "fir st"),)
    assert api.headers["X-Subscription-Token"] == "k"
    assert api.query == {
        "q": "ducks & geese site:a.test",
        "count": "20",
        "country": "CH",
        "text_decorations": "false",
    }
    await api.ask(MAKES["brave"], Query("x", country="LI"))
    assert "country" not in api.query
    assert (await Api({"type": "search"}).ask(MAKES["brave"])).status == "empty"


async def test_tavily() -> None:
    api = Api(TAVILY)
    outcome = await api.ask(MAKES["tavily"])
    assert outcome.results == RESULTS
    assert api.headers["Authorization"] == "Bearer k"
    assert api.json == {
        "query": "ducks & geese",
        "max_results": 20,
        "include_domains": ["a.test"],
        "exclude_domains": [],
    }
    assert (await Api({"results": []}).ask(MAKES["tavily"])).status == "empty"


async def test_kiwix() -> None:
    api = Api(KIWIX)
    async with api.serving() as url:
        outcome = await _ask(KiwixBackend(url, seconds=60))
        (hit,) = outcome.results
        assert (hit.url, hit.title) == (url.removesuffix("/api") + "/content/wiki/A/Duck", "Duck")
    assert hit.snippet.startswith("A duck &secret;") and len(hit.snippet) < 30
    assert api.query == {"pattern": "ducks & geese", "format": "xml", "start": "0", "pageLength": "30"}
    assert (await Api("<rss><channel/></rss>").ask(MAKES["kiwix"])).status == "empty"


async def test_any_json() -> None:
    api = Api({"data": {"hits": [{"link": "https://a.test/1", "name": "One", "text": "first"}, {"link": 7}, None]}})
    path = "data.hits[].{url: link, title: name, snippet: text}"
    template = "/search?q={query}&n={count}&lang={language}-{country}"
    outcome = await api.ask(
        lambda url, seconds: JsonBackend(url + template, path, header="X-Key: a:b", seconds=seconds)
    )
    assert outcome.results == RESULTS[:1]
    assert api.query == {"q": "ducks & geese site:a.test", "n": "30", "lang": "de-CH"}
    assert api.headers["X-Key"] == "a:b"
    assert (
        await api.ask(lambda url, seconds: JsonBackend(url + template, "data.nothing", seconds=seconds))
    ).status == "bad_response"
    assert (
        await api.ask(lambda url, seconds: JsonBackend(url + template, "length(data.x)", seconds=seconds))
    ).status == "bad_response"


@pytest.mark.parametrize(
    ("url", "path", "header"),
    [("http://x/", "a", None), ("http://x/{query}", "a[", None), ("http://x/{query}", "a", "nothing")],
)
async def test_a_generic_backend_that_cannot_work_is_refused(url: str, path: str, header: str | None) -> None:
    with pytest.raises(ValueError, match="search_json"):
        JsonBackend(url, path, header=header, seconds=1)


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("status-429", "rate_limited"),
        ("status-403", "blocked"),
        ("status-500", "bad_response"),
        ("garbage", "bad_response"),
        ("captcha", "bad_response"),
        ("nothing", "bad_response"),
        ("shapeless", "bad_response"),
        ("bomb", "bad_response"),
        ("loop", "bad_response"),
        ("slow", "timeout"),
        ("drip", "timeout"),
        ("close", "unreachable"),
        ("cut", "unreachable"),
    ],
)
async def test_each_failure_has_its_name(faults: Faults, make: Make, name: str, status: str) -> None:
    assert (await _ask(make(faults.url(name), patience(name)))).status == status


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
async def test_retry_after_is_told(make: Make) -> None:
    assert (await Api({}, 429, Retry_After="17").ask(make)).retry_after == 17
