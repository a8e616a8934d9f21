from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest
from stack import WebStack
from stack.faults import Faults

from tools_runtime.search import Query, Result, SearchOutcome, Status
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.searxng import SearxngBackend


class Scripted:
    """A backend that answers each query with what stands under its text, or under an empty text."""

    def __init__(self, name: str, answers: Mapping[str, SearchOutcome]) -> None:
        self.name = name
        self._answers = answers
        self.asked: list[str] = []
        self.closed = False

    async def search(self, query: Query) -> SearchOutcome:
        self.asked.append(query.text)
        return self._answers[query.text] if query.text in self._answers else self._answers[""]

    async def aclose(self) -> None:
        self.closed = True


class Hanging(Scripted):
    async def search(self, query: Query) -> SearchOutcome:
        await super().search(query)
        await asyncio.Event().wait()
        raise AssertionError


class Late(Scripted):
    async def search(self, query: Query) -> SearchOutcome:
        await asyncio.sleep(0.05)
        return await super().search(query)


def found(*urls: str) -> SearchOutcome:
    return SearchOutcome("ok", tuple(Result(url, f"title of {url}", "") for url in urls))


def fails(status: Status) -> SearchOutcome:
    return SearchOutcome(status, detail="because")


def urls(outcome: SearchOutcome) -> list[str]:
    return [result.url for result in outcome.results]


def backends(*answers: SearchOutcome) -> list[Scripted]:
    return [Scripted(f"backend {number}", {"": answer}) for number, answer in enumerate(answers)]


async def search(backends: Iterable[Scripted], *queries: Query, seconds: float = 5) -> SearchOutcome:
    return await SearchChain(list(backends), seconds=seconds).search(queries or [Query("anything")])


async def test_the_first_that_answers_is_the_last_that_is_asked() -> None:
    chain = backends(fails("blocked"), fails("timeout"), found("https://a.test/"), found("https://b.test/"))
    outcome = await search(chain)
    assert (outcome.status, urls(outcome)) == ("ok", ["https://a.test/"])
    assert [len(backend.asked) for backend in chain] == [1, 1, 1, 0]


async def test_an_empty_answer_is_checked_with_one_more_backend() -> None:
    empty = SearchOutcome("empty")
    chain = backends(empty, fails("timeout"), empty, found("https://a.test/"))
    assert (await search(chain)).status == "empty"
    assert len(chain[3].asked) == 0
    assert (await search(backends(empty, found("https://a.test/")))).status == "ok"


async def test_when_nobody_answers_the_first_failure_is_reported() -> None:
    outcome = await search(backends(fails("rate_limited"), fails("timeout")))
    assert outcome.status == "rate_limited"
    assert outcome.detail == "backend 0: rate_limited, backend 1: timeout"


async def test_no_backends_are_no_answer() -> None:
    assert (await search([])).status == "unreachable"


async def test_a_hanging_backend_leaves_time_for_the_next() -> None:
    hanging = Hanging("hanging", {"": found()})
    outcome = await search([hanging, *backends(found("https://a.test/"))], seconds=0.2)
    assert urls(outcome) == ["https://a.test/"]


async def test_the_time_of_all_together_is_capped() -> None:
    chain = [Hanging(str(number), {"": found()}) for number in range(3)]
    assert (await search(chain, seconds=0.2)).status == "timeout"


async def test_rankings_are_fused_and_pages_are_the_same_whatever_leads_to_them() -> None:
    backend = Scripted(
        "one",
        {
            "first": found("https://a.test/", "https://b.test/x?utm_source=mail&y=1", "https://c.test/"),
            "second": found("https://B.test:443/x?y=1#part", "https://d.test/"),
        },
    )
    outcome = await search([backend], Query("first"), Query("second"))
    assert urls(outcome) == [
        "https://b.test/x?utm_source=mail&y=1",
        "https://a.test/",
        "https://d.test/",
        "https://c.test/",
    ]


async def test_one_failing_query_does_not_hide_the_others() -> None:
    backend = Scripted("one", {"good": found("https://a.test/"), "bad": fails("timeout")})
    outcome = await search([backend], Query("good"), Query("bad"))
    assert (outcome.status, urls(outcome), outcome.detail) == ("ok", ["https://a.test/"], "one: timeout")


@pytest.mark.parametrize(
    ("allowed", "blocked", "kept"),
    [
        ((), (), ["good.test", "sub.good.test", "notgood.test", "good.test.evil.test"]),
        (("good.test",), (), ["good.test", "sub.good.test"]),
        ((), ("good.test",), ["notgood.test", "good.test.evil.test"]),
        (("good.test",), ("sub.good.test",), ["good.test"]),
    ],
)
async def test_domain_filters_hold_whatever_the_engine_gives(
    allowed: tuple[str, ...], blocked: tuple[str, ...], kept: list[str]
) -> None:
    hits = found(
        "https://good.test/", "https://Sub.Good.test./", "https://notgood.test/", "https://good.test.evil.test/"
    )
    query = Query("x", allowed_domains=allowed, blocked_domains=blocked)
    outcome = await search(backends(hits), query)
    assert [url.split("/")[2].rstrip(".") for url in urls(outcome)] == kept


async def test_hits_that_cannot_be_shown_are_none() -> None:
    hits = found("javascript:alert(1)", "https://user:pass@a.test/", "file:///etc/passwd", "https://", "not a url")
    assert (await search(backends(hits))).status == "empty"


async def test_no_more_hits_than_asked_for() -> None:
    hits = found(*(f"https://a.test/{number}" for number in range(20)))
    assert len((await search(backends(hits), Query("x", max_results=5))).results) == 5


async def test_closing_closes_every_backend() -> None:
    chain = backends(found(), found())
    await SearchChain(chain, seconds=1).aclose()
    assert all(backend.closed for backend in chain)


async def test_a_slow_backend_is_joined_by_the_next_and_may_still_win() -> None:
    slow = Hanging("slow", {"": found()})
    chain = SearchChain([slow, *backends(found("https://a.test/"))], seconds=60, hedge_seconds=0.01)
    assert urls(await chain.search([Query("x")])) == ["https://a.test/"]
    late = Late("late", {"": found("https://late.test/")})
    chain = SearchChain([late, slow], seconds=60, hedge_seconds=0.01)
    assert urls(await chain.search([Query("x")])) == ["https://late.test/"]


async def test_a_backend_that_refuses_is_left_alone() -> None:
    refusing, good = backends(SearchOutcome("rate_limited", retry_after=70), found("https://a.test/"))
    chain = SearchChain([refusing, good], seconds=5)
    for text in ("a", "b", "c"):
        assert (await chain.search([Query(text)])).status == "ok"
    assert (refusing.asked, good.asked) == (["a"], ["a", "b", "c"])
    assert [(state.name, state.state, state.status) for state in chain.states()] == [
        ("backend 0", "open", "rate_limited"),
        ("backend 1", "closed", "ok"),
    ]


async def test_when_all_are_left_alone_the_shortest_wait_is_told() -> None:
    chain = SearchChain(
        backends(SearchOutcome("blocked", retry_after=500), SearchOutcome("rate_limited", retry_after=70)), seconds=5
    )
    for text in "ab":
        outcome = await chain.search([Query(text)])
        assert outcome.status == "blocked" and 60 < (outcome.retry_after or 0) <= 70


async def test_a_backend_that_hangs_counts_as_failing() -> None:
    chain = SearchChain([Hanging("hanging", {"": found()})], seconds=0.02)
    for text in "abc":
        await chain.search([Query(text)])
    assert [state.state for state in chain.states()] == ["open"]


async def test_answers_are_kept_and_failures_are_not() -> None:
    backend = Scripted("one", {"good": found("https://a.test/"), "bad": fails("bad_response")})
    chain = SearchChain([backend], seconds=5, cache_seconds=60)
    assert (await chain.search([Query("good")], live=False)).status == "empty"
    for _ in range(2):
        await chain.search([Query("good")])
        await chain.search([Query("bad")])
    assert backend.asked == ["good", "bad", "bad"]
    assert (await chain.search([Query("good")], live=False)).status == "ok"
    assert (await chain.search([Query("good", country="CH")], live=False)).status == "empty"


@pytest.mark.live_stack
async def test_several_queries_over_a_broken_and_a_real_backend(web_stack: WebStack, faults: Faults) -> None:
    broken = SearxngBackend(faults.url("status-429"), seconds=60)
    real = SearxngBackend(web_stack.searxng_url, seconds=60)
    chain = SearchChain([broken, real], seconds=60)
    try:
        outcome = await chain.search([Query("asyncio task group"), Query("mod_rewrite flags", max_results=3)])
    finally:
        await chain.aclose()
    assert outcome.status == "ok"
    hosts = {url.split("/")[2].partition(":")[0] for url in urls(outcome)[:2]}
    assert hosts == {"python.test", "apache.test"}


QUESTION, LOOSE = Query("how do ducks swim", max_results=3), "ducks OR swim"


@pytest.mark.parametrize(
    ("strict", "loose", "status", "expected"),
    [
        (["a"], ["b", "a"], "ok", ["a", "b"]),
        ([], ["b"], "ok", ["b"]),
        ([], [], "empty", []),
        (["a", "b"], ["c", "d", "e"], "ok", ["a", "c", "b"]),
    ],
)
async def test_a_query_that_finds_little_is_asked_again_with_less_to_hold_it_back(
    strict: list[str], loose: list[str], status: Status, expected: list[str]
) -> None:
    def answer(names: list[str]) -> SearchOutcome:
        return found(*(f"https://{name}.test/" for name in names)) if names else SearchOutcome("empty")

    backend = Scripted("one", {QUESTION.text: answer(strict), LOOSE: answer(loose)})
    outcome = await search([backend], QUESTION)
    assert (outcome.status, urls(outcome)) == (status, [f"https://{name}.test/" for name in expected])
    assert backend.asked == [QUESTION.text, LOOSE]


async def test_a_query_that_finds_enough_or_cannot_be_asked_is_not_asked_again() -> None:
    enough = Scripted("one", {"": found("https://a.test/", "https://b.test/", "https://c.test/")})
    failing = Scripted("one", {"": fails("timeout")})
    for backend in (enough, failing):
        await search([backend], QUESTION)
        assert backend.asked == [QUESTION.text]


async def test_what_was_found_stays_if_the_second_question_fails() -> None:
    backend = Scripted("one", {QUESTION.text: found("https://a.test/"), LOOSE: fails("rate_limited")})
    outcome = await search([backend], QUESTION)
    assert (outcome.status, urls(outcome)) == ("ok", ["https://a.test/"])
