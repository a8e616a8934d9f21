"""Tavily's Search API."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.api import SearchApi, result

_URL = "https://api.tavily.com/search"
_MAX_RESULTS = 20


class TavilyBackend:
    name = "tavily"

    def __init__(self, key: str, *, seconds: float, url: str = _URL) -> None:
        self._url = url
        self._api = SearchApi(seconds=seconds, headers={"Authorization": f"Bearer {key}"})

    async def search(self, query: Query) -> SearchOutcome:
        body = {
            "query": query.text,
            "max_results": min(query.max_results, _MAX_RESULTS),
            "include_domains": query.allowed_domains,
            "exclude_domains": query.blocked_domains,
        }
        return await self._api.ask("POST", self._url, _read, json=body)

    async def aclose(self) -> None:
        await self._api.aclose()


def _read(body: bytes) -> Iterator[Result]:
    for hit in orjson.loads(body)["results"]:
        yield from result(hit.get("url"), hit.get("title"), hit.get("content"))
