"""Several queries over several backends: asked in order until one answers, filtered, fused into one ranking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tools_runtime.search import Query, Result, SearchBackend, SearchOutcome
from tools_runtime.search.cache import Cache
from tools_runtime.search.circuit import Circuit, CircuitState
from tools_runtime.search.domains import permits
from tools_runtime.search.relaxing import relaxed
from tools_runtime.search.urls import canonical, presentable

_CACHED = 1000
"""Answers kept."""
LOCAL = ("kiwix",)
"""Backends that search copies kept at hand: they are asked where nothing of the web may be fetched, too."""
_RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

_Pair = tuple[SearchBackend, Circuit]


class SearchChain:
    """Asks ``backends`` in their order. All queries of one ``search`` together take at most ``seconds``.

    A backend that does not answer is followed by the next; so is one that has not answered after ``hedge_seconds`` or
    half of the time that is left, and the first answer counts. One that answers that there is nothing is followed by
    one more: engines' indexes differ. Where fewer pages are found than were asked for, the query is asked once more
    with less to hold it back (``relaxed``). Answers are kept for ``cache_seconds``.
    """

    def __init__(
        self,
        backends: Sequence[SearchBackend],
        *,
        seconds: float,
        hedge_seconds: float = 2,
        cache_seconds: float = 0,
    ) -> None:
        self.backends = tuple(backends)
        self._circuits = tuple(Circuit(backend.name) for backend in self.backends)
        self._seconds = seconds
        self._hedge_seconds = hedge_seconds
        self._cache: Cache[SearchOutcome] = Cache(seconds=cache_seconds, capacity=_CACHED, keep=_answered)

    async def search(self, queries: Sequence[Query], *, live: bool = True) -> SearchOutcome:
        """Searches for all ``queries`` at once. URLs are unique, presentable and within each query's filters.

        ``ok`` if anything was found, ``empty`` if an engine said that there is nothing, else the first failure.
        ``detail`` is set when some query could not be searched. Without ``live`` there are only kept answers and those
        of ``LOCAL`` backends.
        """
        deadline = asyncio.get_running_loop().time() + self._seconds
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._search_cached(query, deadline, live=live)) for query in queries]
        outcomes = [task.result() for task in tasks]
        results = _fuse(outcome.results for outcome in outcomes)
        failures = [outcome for outcome in outcomes if not _answered(outcome)]
        detail = "; ".join(dict.fromkeys(failure.detail for failure in failures))
        if results:
            return SearchOutcome("ok", results, detail)
        if len(failures) < len(outcomes):
            return SearchOutcome("empty", detail=detail)
        return replace(failures[0], detail=detail)

    def states(self) -> list[CircuitState]:
        """How each backend fares."""
        return [circuit.state() for circuit in self._circuits]

    async def aclose(self) -> None:
        for backend in self.backends:
            await backend.aclose()

    async def _search_cached(self, query: Query, deadline: float, *, live: bool) -> SearchOutcome:
        pairs = list(zip(self.backends, self._circuits, strict=True))
        key = repr(query)
        if not live:
            pairs = [(backend, circuit) for backend, circuit in pairs if backend.name in LOCAL]
            kept = self._cache.get(key)
            if kept or not pairs:
                return kept or SearchOutcome("empty")
            key = f"local {key}"
        return await self._cache.get_or_make(key, lambda: self._search_relaxed(pairs, query, deadline))

    async def _search_relaxed(self, pairs: Sequence[_Pair], query: Query, deadline: float) -> SearchOutcome:
        """What the query finds and, where that is little, what it finds when it is relaxed, as one ranking."""
        strict = await self._search_one(pairs, query, deadline)
        text = relaxed(query.text)
        if not _answered(strict) or len(strict.results) >= query.max_results or text == query.text:
            return strict
        loose = await self._search_one(pairs, replace(query, text=text), deadline)
        results = _fuse((strict.results, loose.results))[: query.max_results]
        return replace(strict, status="ok" if results else strict.status, results=results)

    async def _search_one(self, pairs: Sequence[_Pair], query: Query, deadline: float) -> SearchOutcome:
        waiting = list(reversed(pairs))
        running: dict[asyncio.Task[SearchOutcome], SearchBackend] = {}
        failures: list[tuple[SearchBackend, SearchOutcome]] = []
        empties = 0
        try:
            while empties < 2:
                left = deadline - asyncio.get_running_loop().time()
                if waiting and left > 0:
                    backend, circuit = waiting.pop()
                    running[asyncio.create_task(_ask_unless_open(backend, circuit, query, left))] = backend
                elif not running:
                    break
                patience = min(self._hedge_seconds, left / 2) if waiting and left > 0 else None
                done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    backend, outcome = running.pop(task), task.result()
                    if outcome.status == "ok":
                        return outcome
                    if outcome.status == "empty":
                        empties += 1
                    else:
                        failures.append((backend, outcome))
        finally:
            for task in running:
                task.cancel()
        if empties:
            return SearchOutcome("empty")
        if not failures:
            return SearchOutcome("unreachable", detail="no search backend is configured")
        detail = ", ".join(f"{backend.name}: {outcome.status}" for backend, outcome in failures)
        waits = [outcome.retry_after for _, outcome in failures if outcome.retry_after]
        return SearchOutcome(failures[0][1].status, detail=detail, retry_after=min(waits, default=None))


async def _ask_unless_open(backend: SearchBackend, circuit: Circuit, query: Query, seconds: float) -> SearchOutcome:
    """Asks a backend unless it is to be left alone, and takes note of how it fares."""
    refusal = circuit.refusal()
    if refusal is not None:
        return refusal
    try:
        outcome = await _ask(backend, query, seconds)
    except BaseException:
        circuit.release()
        raise
    circuit.record(outcome)
    return outcome


def _answered(outcome: SearchOutcome) -> bool:
    return outcome.status in ("ok", "empty")


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
