"""Several queries over several backends: asked in order until one answers, filtered, fused into one ranking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tools_runtime.search import Query, Result, SearchBackend, SearchOutcome
from tools_runtime.search.domains import permits
from tools_runtime.search.urls import canonical, presentable

_log = logging.getLogger(__name__)

_RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""


class SearchChain:
    """Asks ``backends`` in their order. All queries of one ``search`` together take at most ``seconds``.

    A backend that does not answer is followed by the next. One that answers that there is nothing is followed by one
    more: engines' indexes differ. A backend that others follow gets at most half of the time that is left.
    """

    def __init__(self, backends: Sequence[SearchBackend], *, seconds: float) -> None:
        self.backends = tuple(backends)
        self._seconds = seconds

    async def search(self, queries: Sequence[Query]) -> SearchOutcome:
        """Searches for all ``queries`` at once. URLs are unique, presentable and within each query's filters.

        ``ok`` if anything was found, ``empty`` if an engine said that there is nothing, else the first failure.
        ``detail`` is set when some query could not be searched.
        """
        deadline = asyncio.get_running_loop().time() + self._seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._search_one(query, deadline)) for query in queries]
        outcomes = [task.result() for task in tasks]
        results = _fuse(outcome.results for outcome in outcomes)
        failures = [outcome for outcome in outcomes if outcome.status not in ("ok", "empty")]
        detail = "; ".join(dict.fromkeys(failure.detail for failure in failures))
        if results:
            return SearchOutcome("ok", results, detail)
        if len(failures) < len(outcomes):
            return SearchOutcome("empty", detail=detail)
        return SearchOutcome(failures[0].status, detail=detail)

    async def aclose(self) -> None:
        for backend in self.backends:
            await backend.aclose()

    async def _search_one(self, query: Query, deadline: float) -> SearchOutcome:
        failures: list[tuple[SearchBackend, SearchOutcome]] = []
        empties = 0
        for backend in self.backends:
            seconds = deadline - asyncio.get_running_loop().time()
            if empties == 2 or seconds <= 0:
                break
            outcome = await _ask(backend, query, seconds if backend is self.backends[-1] else seconds / 2)
            if outcome.status == "ok":
                return outcome
            if outcome.status == "empty":
                empties += 1
            else:
                failures.append((backend, outcome))
                _log.warning("%s did not answer: %s %s", backend.name, outcome.status, outcome.detail)
        if empties:
            return SearchOutcome("empty")
        if not failures:
            return SearchOutcome("unreachable", detail="no search backend is configured")
        detail = ", ".join(f"{backend.name}: {outcome.status}" for backend, outcome in failures)
        return SearchOutcome(failures[0][1].status, detail=detail)


async def _ask(backend: SearchBackend, query: Query, seconds: float) -> SearchOutcome:
    """One backend's answer, with only what may be shown. ``empty`` when nothing of it is left."""
    try:
        async with asyncio.timeout(seconds):
            outcome = await backend.search(query)
    except TimeoutError:
        return SearchOutcome("timeout")
    if outcome.status != "ok":
        return outcome
    urls = ((presentable(result.url), result) for result in outcome.results)
    results = tuple(replace(result, url=url) for url, result in urls if url and permits(query, url))
    return SearchOutcome("ok" if results else "empty", results[: query.max_results])


def _fuse(rankings: Iterable[Sequence[Result]]) -> tuple[Result, ...]:
    """One ranking of all pages by reciprocal rank fusion; of one page the first wording stays."""
    scores: dict[str, float] = {}
    pages: dict[str, Result] = {}
    for ranking in rankings:
        keys = dict.fromkeys(canonical(result.url) for result in ranking)
        for rank, key in enumerate(keys, start=1):
            scores[key] = scores.get(key, 0) + 1 / (_RRF_K + rank)
        for result in ranking:
            pages.setdefault(canonical(result.url), result)
    return tuple(pages[key] for key in sorted(scores, key=lambda key: -scores[key]))
