"""One request's web: its limits, its sources, and which URLs may be opened.

A page can tell a model to put what it knows into a URL and open that. So only URLs may be opened that the model did not
make: those that the user's messages, results or opened pages hold. Earlier responses of the chain count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tools_runtime.protocol.items import InputText, Item, Message, WebSearchCall
from tools_runtime.search import FetchError, Query, SearchOutcome
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.pages import WebDocument
from tools_runtime.search.urls import canonical, presentable
from tools_runtime.tools.sources import Sources, WebSource

_URL = re.compile(r"https?://[^\s<>\"'`()\[\]{}，。、）】]{1,2048}", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w@/.:-])(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?:/[^\s<>\"'`()\[\]{}]{0,2000})?")
"""``example.com/page``, as people write it."""
_NUMBER = re.compile(r"[【\[]?([0-9]{1,4})[】\]]?")


@dataclass(frozen=True)
class ContextSize:
    """How much may be shown: hits of a query, characters of each excerpt, characters of an opened page; how many hits
    are opened unasked and the characters of their passages together; characters of a search and of a whole response."""

    results: int
    excerpt_chars: int
    page_chars: int
    pages: int
    passage_chars: int
    search_chars: int
    total_chars: int


CONTEXT_SIZES = {
    "low": ContextSize(5, 300, 4_000, 0, 0, 16_000, 80_000),
    "medium": ContextSize(8, 500, 8_000, 4, 8_000, 32_000, 160_000),
    "high": ContextSize(12, 800, 16_000, 6, 24_000, 64_000, 400_000),
}


@dataclass(frozen=True)
class Web:
    """What all requests share. ``any_url``: whether models may open what they made up. ``open_seconds``: how long a
    search waits for its first hits to be read; 0 reads none."""

    chain: SearchChain
    browser: Browser
    any_url: bool
    open_seconds: float


class WebSession:
    """``live``: whether anything may be fetched. ``room``: the characters that the response may still show. ``latest``:
    the URL of the page that was opened last."""

    def __init__(self, web: Web, template: Query, size: ContextSize, *, live: bool) -> None:
        self._chain = web.chain
        self._browser = web.browser
        self._template = template
        self._any_url = web.any_url
        self.open_seconds = web.open_seconds
        self.room = size.total_chars
        self._known: set[str] = set()
        self.latest: str | None = None
        self.size = size
        self.live = live

    async def search(self, queries: Sequence[str]) -> SearchOutcome:
        """Learns the URLs of what is found."""
        outcome = await self._chain.search([replace(self._template, text=text) for text in queries], live=self.live)
        self._learn(result.url for result in outcome.results)
        return outcome

    async def open(self, url: str) -> WebDocument:
        """The page that the model asked for. Learns its links. Raises ``FetchError``."""
        document = await self.read(url)
        self.learn("\n".join(document.lines))
        return document

    async def read(self, url: str) -> WebDocument:
        """A page that the model did not ask for; what of it is shown, is for the caller to ``learn``. Raises
        ``FetchError``."""
        if not self._any_url and canonical(url) not in self._known:
            raise FetchError("not_in_prior_context", "Nothing that was read names this URL.")
        return await self._browser.open(url, self._template, live=self.live)

    def learn(self, shown: str) -> None:
        """Learns the URLs in a text that the model is shown."""
        self._learn(_urls(shown))

    def recall(self, history: Iterable[Item]) -> None:
        """Learns what the user and earlier searches named."""
        for item in history:
            if isinstance(item, Message) and item.role != "assistant":
                self._learn(_named_by_people(_text(item)))
            elif isinstance(item, WebSearchCall):
                self.latest = (item.action and item.action.url) or self.latest
                for result in item.results or ():
                    self._learn([str(result.get("url")), *_urls(str(result.get("text")))])
                for source in (item.action and item.action.sources) or ():
                    self._learn([str(source.wire().get("url"))])

    def _learn(self, urls: Iterable[str]) -> None:
        self._known.update(canonical(shown) for url in urls if (shown := presentable(url)))


def resolve(target: object, sources: Sources) -> str | None:
    """The URL that a model means: the number of a web source, or a URL. None for neither."""
    text = str(target).strip() if isinstance(target, str | int) else ""
    if number := _NUMBER.fullmatch(text):
        source = sources.get(int(number[1]))
        return source.url if isinstance(source, WebSource) else None
    return presentable(text)


def _urls(text: str) -> list[str]:
    return [url.rstrip(".,;:!?") for url in _URL.findall(text)]


def _named_by_people(text: str) -> Iterable[str]:
    yield from _urls(text)
    for bare in _BARE.findall(text):
        yield from (f"{scheme}://{bare.rstrip('.,;:!?')}" for scheme in ("http", "https"))


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, InputText))
