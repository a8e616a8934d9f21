"""Searching the web and fetching pages: the ports. One backend a file beside this one.

What can go wrong with a search is part of its outcome, for a search that fails must never fail a response. What can
go wrong with a fetch is an exception, for a page that was asked for and is not there leaves nothing to go on with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

Status = Literal["ok", "empty", "rate_limited", "blocked", "timeout", "unreachable", "bad_response"]
"""``empty`` is the honest answer of a healthy engine. All others but ``ok`` mean that the engine did not answer."""

FetchCode = Literal[
    "invalid_url",
    "blocked_address",
    "http_error",
    "timeout",
    "too_large",
    "too_many_redirects",
    "unsupported_encoding",
    "unsupported_content_type",
    "network_error",
    "not_allowed_domain",
    "robots_disallowed",
    "not_in_prior_context",
    "not_cached",
]


@dataclass(frozen=True)
class Query:
    """One search. Domains are as ``domains.normalise`` leaves them; an empty list means no limit.

    ``country`` is an ISO 3166 code in capitals, ``language`` an ISO 639 code in small letters. ``max_results`` is a
    wish: a backend may give more or fewer.
    """

    text: str
    max_results: int = 10
    country: str | None = None
    language: str | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One hit: text as the engine gave it, not yet cleaned."""

    url: str
    title: str
    snippet: str


@dataclass(frozen=True)
class SearchOutcome:
    """What came of a search, best hit first. ``detail`` says to the operator, not to the model, what went wrong.

    ``retry_after`` is in how many seconds the engine wants to be asked again, if it says so.
    """

    status: Status
    results: tuple[Result, ...] = ()
    detail: str = ""
    retry_after: float | None = None


class SearchBackend(Protocol):
    """A search engine."""

    @property
    def name(self) -> str: ...

    async def search(self, query: Query) -> SearchOutcome:
        """Asks the engine once. Never raises for what an engine or a network may do."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class Page:
    """A fetched document. ``body`` is decompressed; ``charset`` is the one that the header names, if any."""

    url: str
    final_url: str
    content_type: str
    charset: str | None
    body: bytes


class FetchError(Exception):
    """A page that could not be fetched. The message is fit for clients and models: it tells no address."""

    def __init__(self, code: FetchCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


CheckHop = Callable[[str], Awaitable[None]]
"""Raises ``FetchError`` for a URL that may not be fetched."""


class PageFetcher(Protocol):
    """Gets documents whose URLs nobody on this side has vouched for."""

    async def get(self, url: str, check: CheckHop | None = None) -> Page:
        """The document at ``url``. ``check`` is asked before each hop, redirects included. Raises ``FetchError``."""
        ...

    async def aclose(self) -> None: ...
