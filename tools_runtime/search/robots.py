"""robots.txt (RFC 9309): whether a site lets us fetch a page.

The matcher is our own because the known ones make regular expressions of a site's patterns, and a hostile pattern makes
those run for ever; this one takes time in proportion to the lengths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from tools_runtime.search import FetchError, PageFetcher
from tools_runtime.search.cache import Cache

TOKEN = "tools-runtime"
"""What we are called in a robots.txt."""

_KEEP_SECONDS = 24 * 3600
_MAX_SITES = 1000
_MAX_BYTES = 512_000
_FETCH_SECONDS = 5


@dataclass(frozen=True)
class Rules:
    """The rules for us: allowed or not, and the pattern of the paths concerned."""

    rules: Sequence[tuple[bool, str]] = ()

    def allow(self, path: str) -> bool:
        """Whether ``path`` (with its query) may be fetched. The longest pattern decides; between equals, allowing."""
        path = _normal(path)
        matching = [(len(pattern), allowed) for allowed, pattern in self.rules if _matches(pattern, path)]
        return not matching or max(matching)[1]


def parse(text: str) -> Rules:
    """The rules of the groups that name us, or else of those for everybody."""
    ours: list[tuple[bool, str]] = []
    everybodys: list[tuple[bool, str]] = []
    named = False
    agents: list[str] = []
    in_rules = True
    for line in text.splitlines():
        field, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        match field.lower():
            case "user-agent":
                agents = [] if in_rules else agents
                agents.append(value.lower())
                in_rules = False
                named = named or agents[-1] == TOKEN
            case "allow" | "disallow":
                in_rules = True
                rule = (field.lower() == "allow", _normal(value))
                ours += [rule] if value and TOKEN in agents else []
                everybodys += [rule] if value and "*" in agents else []
    return Rules(ours if named else everybodys)


class Robots:
    """The robots.txt of sites, fetched when first needed and kept for a day. A site that gives none allows all."""

    def __init__(self, fetcher: PageFetcher) -> None:
        self._fetcher = fetcher
        self._sites: Cache[Rules] = Cache(seconds=_KEEP_SECONDS, capacity=_MAX_SITES)

    async def allow(self, url: str) -> bool:
        """Whether ``url`` may be fetched. Never raises."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        rules = await self._sites.get_or_make(site, lambda: self._fetch(site))
        return rules.allow((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    async def _fetch(self, site: str) -> Rules:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                page = await self._fetcher.get(f"{site}/robots.txt")
        except (FetchError, TimeoutError):
            return Rules()
        return parse(page.body[:_MAX_BYTES].decode("utf-8-sig", errors="replace"))


def _normal(path: str) -> str:
    """One spelling of what percent-encoding allows to be spelt in several ways."""
    return quote(unquote(path, errors="surrogateescape"), safe="/*$?&=;:@!+,~()'", errors="surrogateescape")


def _matches(pattern: str, path: str) -> bool:
    """``*`` stands for anything, ``$`` at the end for the end. The first place where a piece fits is as good as any."""
    anchored = pattern.endswith("$")
    first, *pieces = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(first):
        return False
    if not pieces:
        return not anchored or path == first
    last = pieces.pop() if anchored else ""
    position = len(first)
    for piece in pieces:
        position = path.find(piece, position)
        if position < 0:
            return False
        position += len(piece)
    return path.endswith(last) and len(path) - len(last) >= position
