"""The three calls: searching, opening a page, finding in it. Each is one item with one action."""

from __future__ import annotations

from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.protocol.events import HostedToolProgress
from tools_runtime.protocol.items import SearchSource, WebSearchAction, WebSearchCall
from tools_runtime.search import FetchError, SearchOutcome
from tools_runtime.search.pages import WebDocument
from tools_runtime.tools import Emit, HostedCall
from tools_runtime.tools.queries import read_queries
from tools_runtime.tools.sources import Sources
from tools_runtime.tools.web_search import view
from tools_runtime.tools.web_search.faces import FIND, MAX_QUERIES, OPEN, SEARCH, Face
from tools_runtime.tools.web_search.reading import add_passages
from tools_runtime.tools.web_search.session import WebSession, resolve

_MAX_QUERY_CHARS = 400
_MAX_PATTERN_CHARS = 400
_AROUND = 2
"""Lines shown on each side of a place that was found."""


class _WebCall(HostedCall):
    """What all calls have in common."""

    item: WebSearchCall

    def __init__(self, emit: Emit, sources: Sources, session: WebSession, face: Face) -> None:
        super().__init__(emit, WebSearchCall(id=ids.new("ws")))
        self._sources = sources
        self._session = session
        self._face = face

    def _begin(self, *, sensible: bool) -> None:
        self.emit(HostedToolProgress(type="response.web_search_call.in_progress", item_id=self.item_id))
        if sensible:
            self.emit(HostedToolProgress(type="response.web_search_call.searching", item_id=self.item_id))

    def _end(self, *, failed: bool) -> None:
        if not failed:
            self.emit(HostedToolProgress(type="response.web_search_call.completed", item_id=self.item_id))
        self.close("failed" if failed else "completed")


class SearchCall(_WebCall):
    """``web_search``."""

    def announce(self, arguments: str) -> None:
        """The action stands in the opened item already: strict clients need one there."""
        queries = read_queries(arguments, at_most=MAX_QUERIES, max_chars=_MAX_QUERY_CHARS)
        self.item.action = WebSearchAction(type="search", query=queries[0] if queries else "", queries=queries)
        self.open()

    async def run(self, arguments: str) -> str:
        self.announce(arguments)
        action = self.item.action
        assert action is not None
        queries = action.queries or []
        self._begin(sensible=bool(queries))
        outcome = await self._session.search(queries) if queries else SearchOutcome("empty")
        results = [view.shown(result, self._session.size.excerpt_chars) for result in outcome.results]
        await add_passages(self._session, results, queries)
        for result in results:
            self._session.learn(result["text"])
        self.item.results = results
        self.item.action = action.model_copy(update={"sources": [_source(result["url"]) for result in results]})
        unanswered = outcome.status not in ("ok", "empty")
        self._end(failed=not queries or unanswered)
        if not queries:
            return self._face.wrong[SEARCH]
        if not self._session.live and not results:
            return view.OFF
        if unanswered:
            return view.unavailable(outcome)
        answer = view.listing(self._face, queries, results, self._sources, self.item_id)
        self._session.room -= len(answer)
        return f"{answer}\n(Some of the queries could not be searched.)" if outcome.detail else answer


class _PageCall(_WebCall):
    """A call that shows a part of a page."""

    async def _show(self, url: str, arguments: dict[str, Any]) -> str:
        """Runs to the item's end. A page that cannot be opened fails the item and is explained."""
        if self._session.room <= 0:
            return self._refuse(view.SPENT)
        self._begin(sensible=True)
        try:
            document = await self._session.open(url)
        except FetchError as error:
            self._end(failed=True)
            return view.not_opened(error)
        self._session.latest = url
        page = view.page_shown(url, document.title, self._part(document, arguments))
        self.item.results = [page]
        self._end(failed=False)
        answer = view.excerpt(self._face, page, self._sources, self.item_id)
        self._session.room -= len(answer)
        return answer

    def _read(self, arguments: str) -> dict[str, Any]:
        """What the model asks for, in our own words; empty if that is no object."""
        try:
            data = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return {}
        return self._face.read(data, self._session.latest) if isinstance(data, dict) else {}

    def _refuse(self, answer: str) -> str:
        self._begin(sensible=False)
        self._end(failed=True)
        return answer

    def _part(self, document: WebDocument, arguments: dict[str, Any]) -> str:
        raise NotImplementedError


class OpenCall(_PageCall):
    """``open_page``."""

    def announce(self, arguments: str) -> None:
        url = resolve(self._read(arguments).get("target"), self._sources)
        self.item.action = WebSearchAction(type="open_page", url=url or "")
        self.open()

    async def run(self, arguments: str) -> str:
        self.announce(arguments)
        action = self.item.action
        assert action is not None
        if not action.url:
            return self._refuse(self._face.wrong[OPEN])
        return await self._show(action.url, self._read(arguments))

    def _part(self, document: WebDocument, arguments: dict[str, Any]) -> str:
        first, last = document.window(_count(arguments.get("line")), self._session.size.page_chars)
        if lines := _count(arguments.get("lines"), 0):
            last = min(last, first + lines - 1)
        return "\n".join([f"Lines {first} to {last} of {len(document.lines)}:", *document.numbered(first, last)])


class FindCall(_PageCall):
    """``find_in_page``."""

    def announce(self, arguments: str) -> None:
        data = self._read(arguments)
        url = resolve(data.get("target"), self._sources)
        self.item.action = WebSearchAction(type="find_in_page", url=url or "", pattern=_pattern(data))
        self.open()

    async def run(self, arguments: str) -> str:
        self.announce(arguments)
        action = self.item.action
        assert action is not None
        if not action.url or not action.pattern:
            return self._refuse(self._face.wrong[FIND])
        return await self._show(action.url, self._read(arguments))

    def _part(self, document: WebDocument, arguments: dict[str, Any]) -> str:
        places = document.find(_pattern(arguments))
        if not places:
            return f"These words are not in the {len(document.lines)} lines of the page. Try fewer or other words."
        parts = [f"Found at {', '.join(f'L{place}' for place in places)} of {len(document.lines)} lines:"]
        room, shown = self._session.size.page_chars, 0
        for place in places:
            first, last = max(place - _AROUND, shown + 1), min(place + _AROUND, len(document.lines))
            lines = list(document.numbered(first, last))
            room -= sum(map(len, lines))
            if room < 0 and shown:
                break
            parts += ([""] if first > shown + 1 else []) + lines
            shown = max(shown, last)
        return "\n".join(parts)


# --- what models write -----------------------------------------------------------------------------------------------


def _count(value: object, default: int = 1) -> int:
    """A number of lines or of a line, as models write it (``"L12"``)."""
    text = str(value).strip().removeprefix("L") if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else default


def _pattern(arguments: dict[str, Any]) -> str:
    pattern = arguments.get("pattern")
    return " ".join(pattern.split())[:_MAX_PATTERN_CHARS] if isinstance(pattern, str) else ""


def _source(url: str) -> SearchSource:
    return SearchSource.model_validate({"type": "url", "url": url})
