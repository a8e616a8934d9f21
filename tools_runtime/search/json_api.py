"""Any search engine that answers a GET with JSON: a URL with places to fill in, and a JMESPath that finds the hits."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from tools_runtime.search import Query, Result, SearchOutcome
from tools_runtime.search.api import SearchApi, result
from tools_runtime.search.domains import with_operators


class JsonBackend:
    """``url`` may hold ``{query}``, ``{count}``, ``{country}`` and ``{language}``. ``results`` is a JMESPath to a list
    of objects with ``url``, ``title`` and ``snippet``. ``header`` is ``Name: value``. Raises ``ValueError``."""

    name = "json"

    def __init__(self, url: str, results: str, *, header: str | None = None, seconds: float) -> None:
        if "{query}" not in url:
            raise ValueError("search_json_url must hold {query}.")
        name, colon, value = (header or "").partition(":")
        if header and not (colon and name.strip() and value.strip()):
            raise ValueError("search_json_header is written 'Name: value'.")
        try:
            self._results = jmespath.compile(results)
        except JMESPathError as error:
            raise ValueError(f"search_json_results is no JMESPath: {error}") from None
        self._url = url
        self._api = SearchApi(seconds=seconds, headers={name.strip(): value.strip()} if header else None)

    async def search(self, query: Query) -> SearchOutcome:
        url = self._url
        for place, value in (
            ("{query}", with_operators(query)),
            ("{count}", str(query.max_results)),
            ("{country}", query.country or ""),
            ("{language}", query.language or ""),
        ):
            url = url.replace(place, quote(value, safe=""))
        return await self._api.ask("GET", url, self._read)

    async def aclose(self) -> None:
        await self._api.aclose()

    def _read(self, body: bytes) -> Iterator[Result]:
        """Raises ``ValueError`` for an answer that the path does not fit; an empty list is an honest one."""
        try:
            hits = self._results.search(orjson.loads(body))
        except JMESPathError as error:
            raise ValueError(str(error)) from None
        if not isinstance(hits, list):
            raise ValueError("no list")
        for hit in hits:
            if isinstance(hit, dict):
                yield from result(hit.get("url"), hit.get("title"), hit.get("snippet"))
