"""What the model is shown: results and pages as numbered sources, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tools_runtime.search import FetchCode, FetchError, Result, SearchOutcome
from tools_runtime.search.hygiene import clean, shorten
from tools_runtime.tools.sources import Sources, WebSource
from tools_runtime.tools.web_search.faces import Face

MAX_TITLE_CHARS = 200

OFF = (
    "Live web search is switched off for this request. Answer from what you know and say that the web was not searched."
)
SPENT = "No page was opened: this response has shown as much of the web as it may. Answer from what was read."
_REASONS = {
    "rate_limited": "rate limited",
    "blocked": "refused by the search engines",
    "timeout": "no answer in time",
    "unreachable": "the search engines cannot be reached",
    "bad_response": "the search engines gave no usable answer",
}
_FORBIDDEN: dict[FetchCode, str] = {
    "blocked_address": "its address is not public",
    "invalid_url": "it is not a plain http or https URL",
    "not_allowed_domain": "its domain is not allowed for this request",
    "not_in_prior_context": "neither the user nor a source nor an opened page has named it",
    "robots_disallowed": "the site's robots.txt does not allow it",
}


def unavailable(outcome: SearchOutcome) -> str:
    """A search that no engine answered."""
    wait = f"; retry after {math.ceil(outcome.retry_after)} s" if outcome.retry_after else ""
    return (
        f"Web search is unavailable right now ({_REASONS[outcome.status]}{wait}). Answer from what you know and say "
        "that the web could not be searched."
    )


def not_opened(error: FetchError) -> str:
    """A page that could not be opened, without anything that the page or its server said."""
    if error.code in _FORBIDDEN:
        return f"That page may not be opened ({_FORBIDDEN[error.code]})."
    return f"That page could not be opened ({error.code}): {error.message} Try another source."


def shown(result: Result, chars: int) -> dict[str, Any]:
    """A hit as the model is shown it, and as the item keeps it."""
    return {
        "type": "text_result",
        "url": result.url,
        "title": shorten(clean(result.title), MAX_TITLE_CHARS) or result.url,
        "text": shorten(clean(result.snippet), chars),
    }


def listing(
    face: Face, queries: Sequence[str], results: Iterable[dict[str, Any]], sources: Sources, secret: str
) -> str:
    """The results as numbered sources, fenced."""
    asked = ", ".join(f'"{query}"' for query in queries)
    blocks = [_block(face, result, sources) for result in results]
    if not blocks:
        return f"No results for {asked}. Try other words."
    return f"Results for {asked}:\n{_fenced(blocks, secret)}"


def excerpt(face: Face, page: dict[str, Any], sources: Sources, secret: str) -> str:
    """A part of a page, as ``page_shown`` gives it."""
    return _fenced([_block(face, page, sources)], secret)


def page_shown(url: str, title: str, text: str) -> dict[str, Any]:
    """A part of a page as the model is shown it, and as the item keeps it."""
    return {"type": "text_result", "url": url, "title": title, "text": text}


def _block(face: Face, result: dict[str, Any], sources: Sources) -> str:
    number = sources.add(WebSource(result["url"], result["title"]))
    return f"{face.heading(number, result['title'], result['url'])}\n{result['text']}"


def _fenced(blocks: Sequence[str], secret: str) -> str:
    """Fenced by a mark that no page can have known when it was written."""
    fence = f"data-{secret[-16:]}"
    return f"<{fence}>\n" + "\n\n".join(blocks) + f"\n</{fence}>"
