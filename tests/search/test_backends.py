from __future__ import annotations

import pytest

from tools_runtime.search.backends import configured
from tools_runtime.search.chain import SearchChain
from tools_runtime.settings import Settings

PUBLIC = ["ddgs:duckduckgo", "ddgs:brave", "ddgs:mojeek", "ddgs:startpage"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, PUBLIC),
        ({"searxng_url": "http://127.0.0.1:1"}, ["searxng", *PUBLIC]),
        (
            {
                "kiwix_url": "http://127.0.0.1:1",
                "tavily_key": "t",
                "brave_key": "b",
                "search_json_url": "http://127.0.0.1:1/?q={query}",
            },
            ["brave", "tavily", "json", "kiwix", *PUBLIC],
        ),
        (
            {"search_backends": "ddgs:wikipedia, searxng", "searxng_url": "http://127.0.0.1:1"},
            ["ddgs:wikipedia", "searxng"],
        ),
    ],
)
async def test_the_settings_give_the_order(settings: dict[str, str], names: list[str]) -> None:
    chain = SearchChain(configured(Settings.model_validate(settings)), seconds=1)
    assert [backend.name for backend in chain.backends] == names
    await chain.aclose()


@pytest.mark.parametrize(
    "name", ["google", "ddgs", "ddgs:", "ddgs:auto", "searxng:x", "searxng", "brave", "tavily", "json", "kiwix"]
)
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"backend|engine"):
        configured(Settings(search_backends=(name,)))
