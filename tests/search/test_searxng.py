from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from stack import WebStack
from stack.faults import Faults, patience

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.searxng import SearxngBackend


@asynccontextmanager
async def backend(url: str, seconds: float = 10) -> AsyncIterator[SearxngBackend]:
    searxng = SearxngBackend(url, seconds=seconds)
    try:
        yield searxng
    finally:
        await searxng.aclose()


async def ask(url: str, query: Query | None = None, seconds: float = 10) -> SearchOutcome:
    async with backend(url, seconds) as searxng:
        return await searxng.search(query or Query("anything"))


async def test_hits_are_read_and_silent_engines_are_told_of(faults: Faults) -> None:
    outcome = await ask(faults.url("hits"))
    assert outcome.status == "ok"
    assert outcome.results == (
        Result("https://one.test/a", "One", "first"),
        Result("https://two.test/b", "", ""),
    )
    assert outcome.detail == "slow engine: timeout"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("none", "empty"),
        ("silent-0", "rate_limited"),
        ("silent-1", "blocked"),
        ("silent-2", "timeout"),
        ("silent-3", "unreachable"),
        ("status-429", "rate_limited"),
        ("status-403", "blocked"),
        ("status-202", "bad_response"),
        ("status-500", "bad_response"),
        ("captcha", "bad_response"),
        ("garbage", "bad_response"),
        ("nothing", "bad_response"),
        ("shapeless", "bad_response"),
        ("slow", "timeout"),
        ("drip", "timeout"),
        ("close", "unreachable"),
        ("cut", "unreachable"),
    ],
)
async def test_each_failure_has_its_name(faults: Faults, name: str, status: str) -> None:
    assert (await ask(faults.url(name), seconds=patience(name))).status == status


async def test_a_forbidden_json_format_is_explained(faults: Faults) -> None:
    assert "search.formats: [html, json]" in (await ask(faults.url("status-403"))).detail


async def test_nobody_listening_is_unreachable() -> None:
    assert (await ask("http://127.0.0.1:9")).status == "unreachable"


async def test_the_query_carries_locale_and_domains(faults: Faults) -> None:
    query = Query(
        "a & b",
        country="CH",
        language="de",
        allowed_domains=("one.test", "two.test"),
        blocked_domains=("three.test",),
    )
    await ask(faults.url("none") + "/base/", query)
    (request,) = faults.requests
    path, _, parameters = request.partition("?")
    assert path == "/faults/none/base/search"
    assert parameters.split("&") == [
        "q=a+%26+b+site:one.test+OR+site:two.test+-site:three.test",
        "format=json",
        "language=de-CH",
    ]


@pytest.mark.live_stack
async def test_a_real_searxng_finds_real_pages(web_stack: WebStack) -> None:
    outcome = await ask(web_stack.searxng_url, Query("asyncio task group cancellation", language="en", country="US"))
    assert outcome.status == "ok"
    assert outcome.results[0].url == f"http://python.test:{web_stack.corpus_port}/library/asyncio-task.html"
    assert "ancel" in outcome.results[0].snippet


@pytest.mark.live_stack
async def test_a_real_searxng_says_when_there_is_nothing(web_stack: WebStack) -> None:
    assert (await ask(web_stack.searxng_url, Query("qwxzzyqq"))).status == "empty"


@pytest.mark.live_stack
@pytest.mark.parametrize(
    ("allowed", "blocked", "hosts"),
    [
        (("apache.test",), (), {"apache.test"}),
        (("apache.test", "debian.test"), (), {"apache.test", "debian.test"}),
        ((), ("apache.test", "python.test"), {"debian.test"}),
    ],
)
async def test_a_real_engine_obeys_the_domains(
    web_stack: WebStack, allowed: tuple[str, ...], blocked: tuple[str, ...], hosts: set[str]
) -> None:
    query = Query("configuration", allowed_domains=allowed, blocked_domains=blocked)
    outcome = await ask(web_stack.searxng_url, query)
    assert outcome.results
    assert {result.url.split("/")[2].partition(":")[0] for result in outcome.results} <= hosts
