"""Searches whose first hits are read, and what a response may show in all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from websites import Site, browser

from tools_runtime.protocol.events import Event
from tools_runtime.protocol.items import FunctionCallOutput, Item, WebSearchCall
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import HostedToolParam
from tools_runtime.search import CheckHop, Page, Query, Result, SearchOutcome
from tools_runtime.search.chain import SearchChain
from tools_runtime.tools import BoundTool, Scope
from tools_runtime.tools.sources import Sources
from tools_runtime.tools.web_search import WebSearch

URLS = [f"https://{name}.test/" for name in ("one", "two", "three", "four", "five")]
PAGE = "<title>Ducks</title><main><h1>Ducks</h1><p>They eat bread 【1】.</p></main>"
LONG = "<title>Long</title><main>" + "".join(f"<p>ducks {n} {'word ' * 60}</p>" for n in range(400)) + "</main>"


class Engine:
    name = "engine"

    async def search(self, query: Query) -> SearchOutcome:
        return SearchOutcome("ok", tuple(Result(url, "Ducks", "about ducks") for url in URLS))

    async def aclose(self) -> None:
        pass


class SlowSite(Site):
    """Its first page never comes."""

    async def get(self, url: str, check: CheckHop | None = None) -> Page:
        if url == URLS[0]:
            await asyncio.Event().wait()
        return await super().get(url, check)


class Run:
    def __init__(self, site: Site | None = None, seconds: float = 60) -> None:
        self.site = site or Site(**dict.fromkeys(URLS, PAGE))
        self.tool = WebSearch(SearchChain([Engine()], seconds=5), browser(self.site), open_seconds=seconds)
        self.sources = Sources()
        self.text = ""

    async def bind(self, *history: Item, **options: Any) -> BoundTool:
        tool = TypeAdapter[HostedToolParam](HostedToolParam).validate_python({"type": "web_search"} | options)
        return await self.tool.bind(tool, Scope("owner", "resp_1", CreateResponse(), history, self.sources), "tools[0]")

    async def call(self, bound: BoundTool, function: str = "web_search", **arguments: Any) -> dict[str, Any]:
        events: list[Event] = []
        self.text = await bound.call(function, events.append).run(json.dumps(arguments or {"queries": ["ducks bread"]}))
        item: dict[str, Any] = events[-1].wire()["item"]
        return item


@pytest.mark.parametrize(("size", "read"), [("low", 0), ("medium", 4), ("high", 5)])
async def test_the_first_hits_are_read_and_their_lines_stand_below_the_excerpts(size: str, read: int) -> None:
    run = Run()
    done = await run.call(await run.bind(search_context_size=size))
    texts = [result["text"] for result in done["results"]]
    assert texts == ["about ducks\nL1: # Ducks\nL2: They eat bread (1)."] * read + ["about ducks"] * (5 - read)
    assert {url for url in run.site.asked if not url.endswith("robots.txt")} == set(URLS[:read])
    assert run.text.count("about ducks\nL1: # Ducks\nL2: They eat bread") == read


async def test_a_replay_shows_what_the_model_saw() -> None:
    run = Run()
    item = WebSearchCall.model_validate(await run.call(await run.bind()))
    output = run.tool.render(item, Sources())[1]
    assert isinstance(output, FunctionCallOutput) and output.output == run.text


async def test_pages_that_are_slow_or_missing_stay_as_the_engine_described_them() -> None:
    slow = Run(SlowSite(**dict.fromkeys(URLS, PAGE)), seconds=0.01)
    done = await slow.call(await slow.bind(search_context_size="medium"))
    assert done["status"] == "completed" and done["results"][0]["text"] == "about ducks"
    missing = Run(Site(**{URLS[1]: PAGE}))
    texts = [result["text"] for result in (await missing.call(await missing.bind()))["results"]]
    assert texts[0] == "about ducks" and texts[1].endswith("L2: They eat bread (1).")


async def test_nothing_is_opened_where_the_setting_or_the_request_says_so() -> None:
    off = Run(seconds=0)
    await off.call(await off.bind())
    dead = Run()
    await dead.call(await dead.bind(external_web_access=False))
    assert off.site.asked == dead.site.asked == []


@pytest.mark.parametrize(("budget", "status"), [("default", "failed"), ("unlimited", "completed")])
async def test_a_response_shows_pages_until_its_budget_is_spent(budget: str, status: str) -> None:
    run = Run(Site(**dict.fromkeys(URLS, LONG)))
    bound = await run.bind(search_context_size="medium", return_token_budget=budget)
    done = await run.call(bound)
    assert 7000 < sum(len(result["text"]) - len("about ducks") for result in done["results"]) <= 8000
    for _ in range(20):
        await run.call(bound, "open_page", target=1)
    assert (await run.call(bound, "open_page", target=1))["status"] == status
    done = await run.call(bound)
    assert done["status"] == "completed" and ("\n" in done["results"][0]["text"]) is (budget == "unlimited")


async def test_what_an_earlier_response_found_outside_the_filters_is_neither_cited_nor_opened() -> None:
    run = Run()
    item = WebSearchCall.model_validate(await run.call(await run.bind()))
    run.sources = Sources()
    run.tool.render(item, run.sources)
    bound = await run.bind(item, filters={"blocked_domains": ["one.test"]})
    assert run.sources.get(1) is None and run.sources.web_page(URLS[0]) is None
    assert (await run.call(bound, "open_page", target=1))["status"] == "failed"
    assert (await run.call(bound, "open_page", target=2))["status"] == "completed"
