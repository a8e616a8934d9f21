from __future__ import annotations

import pytest
from ddgs.engines.brave import Brave
from ddgs.engines.duckduckgo import Duckduckgo
from stack.faults import Faults, patience

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.ddgs import DdgsBackend, Engine, engine


def at(url: str, base: Engine = Duckduckgo) -> Engine:
    """ddgs's own engine, its requests and its parser, asking another host."""
    return type("Loopback", (base,), {"search_url": url})


async def ask(url: str, query: Query | None = None, base: Engine = Duckduckgo, seconds: float = 10) -> SearchOutcome:
    backend = DdgsBackend(at(url, base), seconds=seconds)
    try:
        return await backend.search(query or Query("anything"))
    finally:
        await backend.aclose()


async def test_urls_are_unwrapped_and_verbatim_and_advertisements_are_dropped(faults: Faults) -> None:
    outcome = await ask(faults.url("duckduckgo"))
    assert outcome.status == "ok"
    assert outcome.results == (
        Result("https://wiki.test/wiki/C%2B%2B?x=a%26b", "C++", "A language"),
        Result("https://direct.test/a%2Fb", "Direct", "No redirect"),
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("no-results", "empty"),
        ("status-202", "rate_limited"),
        ("status-429", "rate_limited"),
        ("status-403", "blocked"),
        ("captcha", "blocked"),
        ("status-500", "bad_response"),
        ("nothing", "bad_response"),
        ("garbage", "bad_response"),
        ("slow", "timeout"),
        ("close", "unreachable"),
    ],
)
async def test_a_refusal_is_told_from_an_empty_answer(faults: Faults, name: str, status: str) -> None:
    assert (await ask(faults.url(name), seconds=patience(name))).status == status


async def test_nobody_listening_is_unreachable() -> None:
    assert (await ask("http://127.0.0.1:9/")).status == "unreachable"


async def test_the_query_carries_domains(faults: Faults) -> None:
    query = Query("a b", country="GB", language="en", allowed_domains=("one.test",))
    await ask(faults.url("no-results"), query, base=Brave)
    assert faults.requests == ["/faults/no-results?q=a+b+site%3Aone.test&source=web"]


@pytest.mark.parametrize("name", ["duckduckgo", "brave", "mojeek", "startpage"])
def test_the_default_engines_exist(name: str) -> None:
    assert DdgsBackend(engine(name), seconds=1).name == f"ddgs:{name}"


@pytest.mark.parametrize("name", ["auto", "bing", "", "DuckDuckGo"])
def test_an_engine_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no text engine"):
        engine(name)
