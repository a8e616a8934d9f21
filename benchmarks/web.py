"""How good web search is at bringing an answer before a model: hand-written questions over real documentation.

The sites, the engine over them and the SearXNG are those of the tests (``tests/stack``), all on loopback. Each question
is searched as it stands; then the first hit is opened. Beside it stands what the engine's excerpts alone hold, and what
would be found if queries that find little were not asked again. Questions that this changes are printed.

    PYTHONPATH=tests python benchmarks/web.py
"""

from __future__ import annotations

import asyncio
import csv
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import stack
from websites import LoopbackNames, no_pdf

from tools_runtime.engine.citations import CitationRewriter
from tools_runtime.protocol.items import UrlCitation
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import WebSearchTool
from tools_runtime.search import Query, SearchBackend, SearchOutcome
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.search.pages import PageReader
from tools_runtime.search.relaxing import relaxed
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


class _Strict:
    """Finds nothing for a query that is asked again, relaxed."""

    name = "strict"

    def __init__(self, backend: SearchBackend, questions: Sequence[str]) -> None:
        self._backend = backend
        self._again = {relaxed(question) for question in questions} - set(questions)

    async def search(self, query: Query) -> SearchOutcome:
        return SearchOutcome("empty") if query.text in self._again else await self._backend.search(query)

    async def aclose(self) -> None:
        await self._backend.aclose()


def _questions() -> list[tuple[str, str, str]]:
    """Page (host and path), question, gold string."""
    with QUESTIONS.open(newline="") as file:
        return [(row[0], row[1], row[2]) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


async def _run(web: stack.WebStack, *, strict: bool) -> list[Outcome]:
    hosts = [f"{name}:{web.corpus_port}" for name in stack.SITES]
    uncached = {"page_cache_seconds": 0, "search_cache_seconds": 0}
    settings = Settings.model_validate(
        {"fetch_allow": hosts, "fetch_seconds": PATIENCE, "page_seconds": PATIENCE} | uncached
    )
    fetcher = GuardedFetcher(settings, LoopbackNames())
    engine = SearxngBackend(web.searxng_url, seconds=PATIENCE)
    questions = _questions()
    backend = _Strict(engine, [question for _, question, _ in questions]) if strict else engine
    chain = SearchChain([backend], seconds=PATIENCE)
    tool = WebSearch(chain, Browser(settings, fetcher, PageReader(settings, no_pdf)), open_seconds=PATIENCE)
    outcomes = []
    try:
        for place, question, gold in questions:
            host, _, path = place.partition("/")
            outcomes.append(await _ask(tool, question, f"http://{host}:{web.corpus_port}/{path}", gold))
    finally:
        await chain.aclose()
        await fetcher.aclose()
    return outcomes


def _share(name: str) -> Callable[[Sequence[Outcome]], str]:
    return lambda outcomes: f"{sum(getattr(outcome, name) for outcome in outcomes) / len(outcomes):.1%}"


def _median(name: str, factor: float = 1, unit: str = "") -> Callable[[Sequence[Outcome]], str]:
    return lambda outcomes: f"{statistics.median(getattr(outcome, name) for outcome in outcomes) * factor:.0f}{unit}"


ROWS = {
    f"gold page among the first {TOP} hits": _share("hit"),
    "gold string in the excerpts alone (baseline)": _share("in_excerpts"),
    "gold string after search": _share("in_search"),
    "gold string after one open_page": _share("in_page"),
    "citations valid": _share("cited"),
    "search, median": _median("search_seconds", 1000, " ms"),
    "open_page, median": _median("open_seconds", 1000, " ms"),
    "characters that the model reads, median": _median("chars"),
}


def _report(strict: Sequence[Outcome], outcomes: Sequence[Outcome]) -> None:
    print(f"{f'{len(outcomes)} questions':46}{'asked once':>12}{'asked again':>12}")
    for label, row in ROWS.items():
        print(f"{label:46}{row(strict):>12}{row(outcomes):>12}")
    judged = [field.name for field in fields(Outcome) if field.type == "bool"]
    for (_, question, _), before, after in zip(_questions(), strict, outcomes, strict=True):
        changed = [name for name in judged if getattr(before, name) != getattr(after, name)]
        signs = [f"{'+' if getattr(after, name) else '-'}{name}" for name in changed]
        if signs:
            print(f"  {question}  {' '.join(signs)}")


if __name__ == "__main__":
    with stack.running() as web:
        _report(asyncio.run(_run(web, strict=True)), asyncio.run(_run(web, strict=False)))
