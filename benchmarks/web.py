"""How good web search is at bringing an answer before a model: hand-written questions over real documentation.

The sites, the engine over them and the SearXNG are those of the tests (``tests/stack``), all on loopback. Each question
is searched as it stands; then the first hit is opened. Beside it stands what the engine's excerpts alone hold.

    PYTHONPATH=tests python benchmarks/web.py
"""

from __future__ import annotations

import asyncio
import csv
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stack
from websites import LoopbackNames, no_pdf

from tools_runtime.engine.citations import CitationRewriter
from tools_runtime.protocol.items import UrlCitation
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import WebSearchTool
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.search.pages import PageReader
from tools_runtime.search.searxng import SearxngBackend
from tools_runtime.settings import Settings
from tools_runtime.tools import BoundTool, Scope
from tools_runtime.tools.sources import Sources
from tools_runtime.tools.web_search import WebSearch

QUESTIONS = Path(__file__).with_name("web_questions.tsv")
TOP = 5
PATIENCE = 60
"""Seconds. What is found must not depend on what else the machine does; how long it takes is printed."""


@dataclass(frozen=True)
class Outcome:
    """What one question brought. Times in seconds."""

    hit: bool
    in_excerpts: bool
    in_search: bool
    in_page: bool
    cited: bool
    search_seconds: float
    open_seconds: float
    chars: int


async def _call(bound: BoundTool, function: str, **arguments: Any) -> tuple[str, Any, float]:
    """What the model reads, the finished item, and how long it took."""
    call = bound.call(function, lambda event: None)
    start = time.perf_counter()
    text = await call.run(json.dumps(arguments))
    return text, call.item, time.perf_counter() - start


def _holds(text: str, gold: str) -> bool:
    return " ".join(gold.split()).lower() in " ".join(text.split()).lower()


def _citations_hold(sources: Sources) -> bool:
    """Whether a citation of each source is a link that stands where its annotation says, and leads to the source."""
    marked = "".join(f"Statement {number} 【{number}】. " for number in range(1, len(sources) + 1))
    rewriter = CitationRewriter(sources)
    pieces = [*rewriter.feed(marked), *rewriter.end()]
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    annotations = [piece for piece in pieces if isinstance(piece, UrlCitation)]
    links = [text[each.start_index : each.end_index] for each in annotations]
    expected = [source.link() for number in range(1, len(sources) + 1) if (source := sources.get(number))]
    return links == expected


async def _ask(tool: WebSearch, question: str, gold_url: str, gold: str) -> Outcome:
    sources = Sources()
    scope = Scope("benchmark", "resp_0", CreateResponse(), (), sources)
    bound = await tool.bind(WebSearchTool(type="web_search"), scope, "tools[0]")
    found, item, search_seconds = await _call(bound, "web_search", queries=[question])
    results = item.results or []
    page, _, open_seconds = await _call(bound, "open_page", target=1)
    return Outcome(
        hit=any(result["url"].partition("#")[0] == gold_url for result in results[:TOP]),
        in_excerpts=any(_holds(result["text"].partition("\n")[0], gold) for result in results),
        in_search=_holds(found, gold),
        in_page=_holds(found + page, gold),
        cited=_citations_hold(sources),
        search_seconds=search_seconds,
        open_seconds=open_seconds,
        chars=len(found) + len(page),
    )


async def _run(web: stack.WebStack) -> list[Outcome]:
    hosts = [f"{name}:{web.corpus_port}" for name in stack.SITES]
    settings = Settings.model_validate(
        {"fetch_allow": hosts, "page_cache_seconds": 0, "search_cache_seconds": 0, "page_seconds": PATIENCE}
    )
    fetcher = GuardedFetcher(settings, LoopbackNames())
    chain = SearchChain([SearxngBackend(web.searxng_url, seconds=PATIENCE)], seconds=PATIENCE)
    browser = Browser(settings, fetcher, PageReader(settings, no_pdf))
    tool = WebSearch(chain, browser, open_seconds=PATIENCE)
    outcomes = []
    try:
        with QUESTIONS.open(newline="") as file:
            for place, question, gold in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                host, _, path = place.partition("/")
                outcomes.append(await _ask(tool, question, f"http://{host}:{web.corpus_port}/{path}", gold))
    finally:
        await chain.aclose()
        await fetcher.aclose()
    return outcomes


def _report(outcomes: Sequence[Outcome]) -> None:
    def share(name: str) -> str:
        return f"{sum(getattr(outcome, name) for outcome in outcomes) / len(outcomes):6.1%}"

    def milliseconds(name: str) -> str:
        return f"{statistics.median(getattr(outcome, name) for outcome in outcomes) * 1000:6.0f} ms"

    print(f"{len(outcomes)} questions")
    print(f"gold page among the first {TOP} hits      {share('hit')}")
    print(f"gold string in the excerpts alone    {share('in_excerpts')}  (baseline)")
    print(f"gold string after search             {share('in_search')}")
    print(f"gold string after one open_page      {share('in_page')}")
    print(f"citations valid                      {share('cited')}")
    print(f"search, median                       {milliseconds('search_seconds')}")
    print(f"open_page, median                    {milliseconds('open_seconds')}")
    print(f"characters that the model reads      {statistics.median(outcome.chars for outcome in outcomes):6.0f}")


if __name__ == "__main__":
    with stack.running() as web:
        _report(asyncio.run(_run(web)))
