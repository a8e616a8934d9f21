"""Brave's Web Search API."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.api import SearchApi, result
from tools_runtime.search.domains import with_operators

_URL = "https://api.search.brave.com/res/v1/web/search"
_MAX_COUNT = 20
_KNOWN_COUNTRIES = (
    "AR AT AU BE BR CA CH CL CN DE DK ES FI FR GB GR HK ID IN IT JP KR MX MY NL NO NZ PH PL PT RU SA SE TR TW US ZA"
)
_COUNTRIES = frozenset(_KNOWN_COUNTRIES.split())
"""Those that it knows; for any other it answers with an error."""


class BraveBackend:
    name = "brave"

    def __init__(self, key: str, *, seconds: float, url: str = _URL) -> None:
        self._url = url
        self._api = SearchApi(seconds=seconds, headers={"X-Subscription-Token": key})

    async def search(self, query: Query) -> SearchOutcome:
        params = {
            "q": with_operators(query),
            "count": str(min(query.max_results, _MAX_COUNT)),
            "text_decorations": "false",
        }
        if query.country in _COUNTRIES:
            params["country"] = query.country
        return await self._api.ask("GET", self._url, _read, params=params)

    async def aclose(self) -> None:
        await self._api.aclose()


def _read(body: bytes) -> Iterator[Result]:
    """Without hits, the answer has no ``web``."""
    for hit in (orjson.loads(body).get("web") or {}).get("results", ()):
        extra = hit.get("extra_snippets") or ()
        yield from result(hit.get("url"), hit.get("title"), " ".join([hit.get("description") or "", *extra]))
