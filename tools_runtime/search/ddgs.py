"""Public search engines scraped by ``ddgs``. The only file that imports it.

The engines' parsers are ddgs's. ``ddgs.DDGS`` itself is passed by, because it mistakes every failure for an empty
answer, waits for the slowest of its engines and silently replaces an engine that it does not know (measured with 9.16).
Two habits of the parsers are put right here: they undo the percent-encoding of URLs, which changes them, and they keep
DuckDuckGo's redirect links and advertisements.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from ddgs.base import BaseSearchEngine
from ddgs.engines import ENGINES
from ddgs.exceptions import DDGSException, TimeoutException
from ddgs.results import TextResult
from lxml.etree import LxmlError

from tools_runtime.search import Query, Result, SearchOutcome, Status
from tools_runtime.search.domains import with_operators

Engine = type[BaseSearchEngine[TextResult]]

_REFUSALS: dict[int, Status] = {202: "rate_limited", 429: "rate_limited", 403: "blocked"}
"""DuckDuckGo answers 202 to a client that asks too often."""
_CHALLENGE = re.compile(r"captcha|challenge|anomaly|unusual traffic|not a robot|are (you )?human", re.IGNORECASE)
_DEFAULT_REGION = "us-en"
_MAX_THREADS = 4


def engine(name: str) -> Engine:
    """ddgs's text engine of this name. Raises ``ValueError`` for one that it does not have."""
    engines: dict[str, Engine] = ENGINES["text"]
    if name not in engines:
        raise ValueError(f"ddgs has no text engine {name!r}; it has {', '.join(sorted(engines))}.")
    return engines[name]


class DdgsBackend:
    """One engine. ``seconds`` caps one request.

    It is asked in threads of its own: an engine that hangs must not hold up what else the server does in threads.
    """

    def __init__(self, engine: Engine, *, seconds: float) -> None:
        self.name = f"ddgs:{engine.name}"
        self._engine = type("Checked", (_Checked, engine), {})
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix=self.name)

    async def search(self, query: Query) -> SearchOutcome:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._search, query)

    async def aclose(self) -> None:
        """Does not wait for searches that are under way; they end by their time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _search(self, query: Query) -> SearchOutcome:
        client = self._engine(timeout=self._seconds)
        try:
            hits = client.search(with_operators(query), region=_region(query)) or []
        except _Refused as refusal:
            return SearchOutcome(_REFUSALS.get(refusal.status, "bad_response"), detail=str(refusal))
        except TimeoutException:
            return SearchOutcome("timeout")
        except DDGSException as error:
            return SearchOutcome("unreachable", detail=str(error))
        except (LxmlError, LookupError, ValueError) as error:
            return SearchOutcome("bad_response", detail=f"the page could not be read: {error}")
        results = tuple(
            Result(url, hit.title, hit.body) for hit in hits if (url := _target(hit.href)) and not _is_ad(url)
        )
        if results:
            return SearchOutcome("ok", results)
        if _CHALLENGE.search(client.page):
            return SearchOutcome("blocked", detail="the engine asks whether we are human")
        if not client.page.lstrip().startswith(("<", "{", "[")):
            return SearchOutcome("bad_response", detail="neither HTML nor JSON")
        return SearchOutcome("empty")


class _Refused(Exception):
    """The engine answered, but not with a page of results."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _Hit(TextResult):
    """A result whose URL stays as the page has it."""

    _normalizers: ClassVar[Any] = {key: value for key, value in TextResult._normalizers.items() if key != "href"}


class _Checked(BaseSearchEngine[TextResult]):
    """Put before an engine's class: keeps the page, refuses what is none, and leaves URLs alone."""

    page = ""

    @property
    def result_type(self) -> type[TextResult]:
        return _Hit

    def request(self, *args: Any, **kwargs: Any) -> str:
        response = self.http_client.request(*args, **kwargs)
        if response.status_code != 200:
            raise _Refused(response.status_code)
        self.page = response.text
        return self.page


def _region(query: Query) -> str:
    """ddgs's ``country-language``; it writes ``uk`` for the United Kingdom."""
    if not (query.country and query.language):
        return _DEFAULT_REGION
    country = {"GB": "uk"}.get(query.country, query.country.lower())
    return f"{country}-{query.language}"


def _target(href: str) -> str:
    """Where ``href`` leads: DuckDuckGo's ``/l/?uddg=<url>`` unwrapped, any other as it is."""
    parts = urlsplit(href)
    if parts.path == "/l/" and (parts.hostname or "").endswith("duckduckgo.com"):
        return parse_qs(parts.query).get("uddg", [""])[0]
    return href


def _is_ad(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.hostname or "").endswith("duckduckgo.com") and parts.path == "/y.js"
