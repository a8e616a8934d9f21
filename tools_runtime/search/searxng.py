"""SearXNG through its JSON API (``GET /search?format=json``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from tools_runtime.search import Query, Result, SearchOutcome, Status
from tools_runtime.search.domains import with_operators
from tools_runtime.search.retry import retry_after

_FORBIDDEN = (
    "HTTP 403: this SearXNG does not serve JSON, or refuses this client; enable search.formats: [html, json] in its "
    "settings.yml"
)
_REASONS: tuple[tuple[str, Status], ...] = (
    ("too many requests", "rate_limited"),
    ("suspended", "rate_limited"),
    ("captcha", "blocked"),
    ("access denied", "blocked"),
    ("timeout", "timeout"),
    ("connection error", "unreachable"),
)
"""What SearXNG says of an engine that did not answer (``unresponsive_engines``), and what that is called here."""


class SearxngBackend:
    """A SearXNG instance at ``url`` (a base URL, with or without a path). Made inside a running event loop.

    ``seconds`` caps one search.
    """

    name = "searxng"

    def __init__(self, url: str, *, seconds: float) -> None:
        self._url = url.rstrip("/") + "/search"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds))

    async def search(self, query: Query) -> SearchOutcome:
        try:
            async with self._session.get(self._url, params=_parameters(query)) as response:
                if response.status != 200:
                    return replace(_refusal(response.status), retry_after=retry_after(response.headers))
                return _outcome(orjson.loads(await response.read()))
        except TimeoutError:
            return SearchOutcome("timeout")
        except orjson.JSONDecodeError:
            return SearchOutcome("bad_response", detail="the answer is not JSON")
        except (aiohttp.ClientError, OSError) as error:
            return SearchOutcome("unreachable", detail=str(error) or type(error).__name__)

    async def aclose(self) -> None:
        await self._session.close()


def _parameters(query: Query) -> dict[str, str]:
    parameters = {"q": with_operators(query), "format": "json"}
    if query.language:
        parameters["language"] = f"{query.language}-{query.country}" if query.country else query.language
    return parameters


def _refusal(status: int) -> SearchOutcome:
    match status:
        case 403:
            return SearchOutcome("blocked", detail=_FORBIDDEN)
        case 429:
            return SearchOutcome("rate_limited", detail="HTTP 429")
        case _:
            return SearchOutcome("bad_response", detail=f"HTTP {status}")


def _outcome(data: Any) -> SearchOutcome:
    hits = data.get("results") if isinstance(data, dict) else None
    if not isinstance(hits, list):
        return SearchOutcome("bad_response", detail="the answer has no list of results")
    results = tuple(
        Result(hit["url"], _text(hit.get("title")), _text(hit.get("content")))
        for hit in hits
        if isinstance(hit, dict) and isinstance(hit.get("url"), str)
    )
    silent = _silent(data.get("unresponsive_engines"))
    if results:
        return SearchOutcome("ok", results, silent)
    # Nothing found is an honest answer only if every engine gave one.
    return SearchOutcome(_reason(silent) if silent else "empty", detail=silent)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _silent(engines: Any) -> str:
    """The engines that did not answer, as ``name: reason, …``."""
    pairs = [pair for pair in engines if isinstance(pair, list)] if isinstance(engines, list) else []
    return ", ".join(": ".join(map(str, pair)) for pair in pairs)


def _reason(silent: str) -> Status:
    lowered = silent.lower()
    return next((status for words, status in _REASONS if words in lowered), "bad_response")
