"""The real kiwix-serve: searched, opened, and all there is where nothing of the web may be fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import TypeAdapter
from stack import WebStack
from websites import no_pdf

from tools_runtime.protocol.events import Event
from tools_runtime.protocol.items import WebSearchCall
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import HostedToolParam
from tools_runtime.search import Query
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.search.kiwix import KiwixBackend
from tools_runtime.search.pages import PageReader
from tools_runtime.search.searxng import SearxngBackend
from tools_runtime.settings import Settings
from tools_runtime.tools import BoundTool, Scope
from tools_runtime.tools.sources import Sources
from tools_runtime.tools.web_search import WebSearch

pytestmark = pytest.mark.live_stack


@pytest.fixture
async def kiwix(web_stack: WebStack) -> AsyncIterator[KiwixBackend]:
    backend = KiwixBackend(web_stack.kiwix_url, seconds=20)
    yield backend
    await backend.aclose()


async def test_a_book_is_searched_by_its_text(web_stack: WebStack, kiwix: KiwixBackend) -> None:
    outcome = await kiwix.search(Query("aptitude package management", max_results=3))
    assert outcome.status == "ok" and len(outcome.results) == 3
    best = outcome.results[0]
    assert best.url == f"{web_stack.kiwix_url}/debian/ch02.en.html"
    assert best.title.endswith("Debian package management") and "aptitude" in best.snippet
    assert "<b>" not in best.snippet


async def test_nothing_found_and_nobody_there_are_told_apart(kiwix: KiwixBackend) -> None:
    assert (await kiwix.search(Query("zzzqqqxxx"))).status == "empty"
    assert (await kiwix.search(Query("a b +(\"'*:&<>"))).status in ("ok", "empty")
    gone = KiwixBackend("http://127.0.0.1:9", seconds=5)
    assert (await gone.search(Query("apt"))).status == "unreachable"
    await gone.aclose()


async def test_a_question_that_no_page_answers_word_by_word_finds_some(kiwix: KiwixBackend) -> None:
    question = "how are files archived and synchronised with which tools today"
    chain = SearchChain([kiwix], seconds=60, hedge_seconds=60)
    assert (await chain.search([Query(question)])).status == "ok"


class Tool:
    """The tool over a SearXNG and a Kiwix."""

    def __init__(self, web_stack: WebStack) -> None:
        address = web_stack.kiwix_url.removeprefix("http://")
        settings = Settings.model_validate({"fetch_allow": [address], "kiwix_url": web_stack.kiwix_url})
        self.fetcher = GuardedFetcher(settings)
        backends = [SearxngBackend(web_stack.searxng_url, seconds=20), KiwixBackend(web_stack.kiwix_url, seconds=20)]
        self.chain = SearchChain(backends, seconds=60, hedge_seconds=60, cache_seconds=60)
        browser = Browser(settings, self.fetcher, PageReader(settings, no_pdf))
        self._tool = WebSearch(self.chain, browser, open_seconds=60)
        self.text = ""

    async def bind(self, **options: Any) -> BoundTool:
        tool = TypeAdapter[HostedToolParam](HostedToolParam).validate_python({"type": "web_search"} | options)
        return await self._tool.bind(tool, Scope("owner", "resp_1", CreateResponse(), (), Sources()), "tools[0]")

    async def call(self, bound: BoundTool, function: str, **arguments: Any) -> WebSearchCall:
        events: list[Event] = []
        self.text = await bound.call(function, events.append).run(json.dumps(arguments))
        return WebSearchCall.model_validate(events[-1].wire()["item"])


async def test_without_external_access_the_book_is_searched_and_opened_and_nothing_else(web_stack: WebStack) -> None:
    tool = Tool(web_stack)
    try:
        bound = await tool.bind(external_web_access=False)
        found = await tool.call(bound, "web_search", queries=["network configuration"])
        assert found.status == "completed" and found.results
        assert all(result["url"].startswith(f"{web_stack.kiwix_url}/debian/") for result in found.results)
        assert "\nL" in found.results[0]["text"], "the first page was read"
        opened = await tool.call(bound, "open_page", target=1)
        assert opened.status == "completed" and "Lines 1 to" in tool.text
        assert [state.status for state in tool.chain.states()] == [None, "ok"], "SearXNG was never asked"
        # A page of the web stays closed, wherever its address comes from.
        outside = next(word for word in tool.text.split("(") if word.startswith("https://")).split(")")[0]
        assert (await tool.call(bound, "open_page", target=outside)).status == "failed"
        assert "Only pages in the cache" in tool.text
    finally:
        await tool.chain.aclose()
        await tool.fetcher.aclose()
