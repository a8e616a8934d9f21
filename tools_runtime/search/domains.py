"""Domain filters: checking what a client writes, asking engines to obey, and making sure of it on results."""

from __future__ import annotations

from urllib.parse import urlsplit

import idna

from tools_runtime.errors import ApiError
from tools_runtime.search import Query

_MAX_OPERATORS = 5
"""More ``site:`` operators than this and engines begin to ignore or refuse a query; the results are filtered anyway."""


def normalise(domain: str, param: str) -> str:
    """``domain`` in small letters and ASCII (IDNA), without a trailing dot.

    Raises ``ApiError`` naming ``param`` for what is not a bare domain: a scheme, port, path, wildcard or space in it.
    """
    try:
        if not domain.strip():
            raise idna.IDNAError("Empty domain")
        return idna.encode(domain, uts46=True).decode().rstrip(".")
    except (idna.IDNAError, UnicodeError):
        raise ApiError(
            f"Invalid domain: {domain[:100]!r}. Write a bare domain without scheme, port or path, e.g. 'example.com'.",
            param=param,
            code="invalid_value",
        ) from None


def host_of(url: str) -> str | None:
    """The host of ``url`` in small letters and ASCII, or None where there is none."""
    try:
        host = urlsplit(url).hostname
        return idna.encode(host, uts46=True).decode().rstrip(".") if host and not host.isascii() else host
    except ValueError:  # idna.IDNAError is one, too
        return None


def permits(query: Query, url: str) -> bool:
    """Whether the filters of ``query`` let ``url`` through. Subdomains are included; what is blocked stays blocked."""
    host = (host_of(url) or "").rstrip(".")
    allowed = not query.allowed_domains or _within(host, query.allowed_domains)
    return allowed and not _within(host, query.blocked_domains)


def _within(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith("." + domain) for domain in domains)


def with_operators(query: Query) -> str:
    """The query's text with its filters as the ``site:`` operators that most engines know."""
    parts = [query.text]
    if len(query.allowed_domains) <= _MAX_OPERATORS:
        parts.append(" OR ".join(f"site:{domain}" for domain in query.allowed_domains))
    if len(query.blocked_domains) <= _MAX_OPERATORS:
        parts.extend(f"-site:{domain}" for domain in query.blocked_domains)
    return " ".join(filter(None, parts))
