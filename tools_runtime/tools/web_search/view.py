"""What the model is shown: the functions, the results and pages as numbered sources, what went wrong, old items."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, WebSearchAction, WebSearchCall
from tools_runtime.protocol.prompt import Function, PromptItem
from tools_runtime.search import FetchCode, FetchError, Result, SearchOutcome
from tools_runtime.search.hygiene import clean, shorten
from tools_runtime.search.urls import presentable
from tools_runtime.tools.sources import Sources, WebSource

SEARCH = "web_search"
OPEN = "open_page"
FIND = "find_in_page"
MAX_QUERIES = 4

_MAX_TITLE_CHARS = 200
_MAX_REPLAYED_CHARS = 800
_TARGET = {
    "type": "string",
    "maxLength": 2048,
    "description": "The number of a source, or a URL that the user, a result or a page has named.",
}


def _function(name: str, description: str, properties: dict[str, Any], required: list[str]) -> Function:
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Function(name=name, description=description, parameters=parameters)


FUNCTIONS = (
    _function(
        SEARCH,
        "Search the web. Use it for what is recent, may have changed or must be certain. Gives numbered sources with "
        "title, URL, an excerpt and, of the first, the numbered lines that fit best.",
        {
            "queries": {
                "type": "array",
                # Small models otherwise write queries without an end.
                "items": {"type": "string", "maxLength": 150},
                "minItems": 1,
                "maxItems": MAX_QUERIES,
                "description": "What one would type into a search engine. Several queries are searched at once.",
            }
        },
        ["queries"],
    ),
    _function(
        OPEN,
        "Read a web page. Shows numbered lines from the given line on; links look like [text](URL) and can be opened.",
        {"target": _TARGET, "line": {"type": "integer", "description": "The first line to show; 1 if left out."}},
        ["target"],
    ),
    _function(
        FIND,
        "Find where a word or phrase stands in a web page. Shows the lines around each place.",
        {"target": _TARGET, "pattern": {"type": "string", "maxLength": 150, "description": "The exact words."}},
        ["target", "pattern"],
    ),
)

OFF = (
    "Live web search is switched off for this request. Answer from what you know and say that the web was not searched."
)
BAD_SEARCH = 'The search was not made: the arguments must be a JSON object like {"queries": ["first query"]}.'
BAD_OPEN = 'No page was opened: the arguments must be a JSON object like {"target": "1", "line": 1}.'
BAD_FIND = 'Nothing was searched: the arguments must be a JSON object like {"target": "1", "pattern": "exact words"}.'
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
        "title": shorten(clean(result.title), _MAX_TITLE_CHARS) or result.url,
        "text": shorten(clean(result.snippet), chars),
    }


def listing(queries: Sequence[str], results: Iterable[dict[str, Any]], sources: Sources, secret: str) -> str:
    """The results as numbered sources, fenced by a mark that no page can have known when it was written."""
    asked = ", ".join(f'"{query}"' for query in queries)
    blocks = [_block(result, sources) for result in results]
    if not blocks:
        return f"No results for {asked}. Try other words."
    return f"Results for {asked}:\n{_fenced(blocks, secret)}"


def excerpt(page: dict[str, Any], sources: Sources, secret: str) -> str:
    """A part of a page, as ``page_shown`` gives it."""
    return _fenced([_block(page, sources)], secret)


def page_shown(url: str, title: str, text: str) -> dict[str, Any]:
    """A part of a page as the model is shown it, and as the item keeps it."""
    return {"type": "text_result", "url": url, "title": title, "text": text}


def _block(result: dict[str, Any], sources: Sources) -> str:
    number = sources.add(WebSource(result["url"], result["title"]))
    return f"【{number}】 {result['title']}\n{result['url']}\n{result['text']}"


def _fenced(blocks: Sequence[str], secret: str) -> str:
    """Fenced by a mark that no page can have known when it was written."""
    fence = f"data-{secret[-16:]}"
    return f"<{fence}>\n" + "\n\n".join(blocks) + f"\n</{fence}>"


# --- old items -------------------------------------------------------------------------------------------------------


def replay(item: WebSearchCall, sources: Sources) -> list[PromptItem]:
    """An old call as the model saw it. Clients may have changed the item: it is cleaned like a page."""
    action = item.action
    if action is None:
        return []
    call_id = item.id or ids.new("call")
    if action.type == "search":
        queries = action.queries or ([action.query] if action.query else [])
        name, arguments, output = SEARCH, {"queries": queries}, _replay(item, queries, sources)
    else:
        name, arguments, output = _replay_page(item, action, sources)
    call = FunctionCall(call_id=call_id, name=name, arguments=orjson.dumps(arguments).decode())
    return [call, FunctionCallOutput(call_id=call_id, output=output)]


def _replay_page(item: WebSearchCall, action: WebSearchAction, sources: Sources) -> tuple[str, dict[str, Any], str]:
    arguments = {"target": action.url or ""} | ({} if action.type == "open_page" else {"pattern": action.pattern or ""})
    name = OPEN if action.type == "open_page" else FIND
    if item.status == "failed":
        return name, arguments, "That failed."
    page = next(iter(item.results or ()), {})
    url = presentable(str(page.get("url") or ""))
    if not url:
        return name, arguments, "What was shown of this page was not kept."
    title = shorten(clean(str(page.get("title") or "")), _MAX_TITLE_CHARS) or url
    text = "\n".join(map(_clean_line, str(page.get("text") or "").split("\n")))
    return name, arguments, excerpt(page_shown(url, title, text), sources, item.id or secrets.token_hex(8))


def _clean_line(line: str) -> str:
    """A line of a page, its number and indentation kept."""
    match = _LINE.match(line)
    assert match is not None
    return match[1] + clean(match[2])


_NUMBERED = re.compile("L[0-9]{1,7}: ")
_LINE = re.compile(r"((?:L[0-9]{1,7}:)?[ ]{0,41})(.*)", re.DOTALL)


def _replay(item: WebSearchCall, queries: Sequence[str], sources: Sources) -> str:
    """What the model was told about a search."""
    if item.status == "failed":
        return "The search failed."
    kept = item.results if item.results is not None else _source_urls(item)
    hits = [
        Result(url, str(hit.get("title") or ""), str(hit.get("text") or ""))
        for hit in kept
        if (url := presentable(str(hit.get("url") or "")))
    ]
    results = [_shown_again(hit) for hit in hits]
    if not results and item.results is None:
        return "The results of this search were not kept."
    return listing(queries, results, sources, item.id or secrets.token_hex(8))


def _shown_again(hit: Result) -> dict[str, Any]:
    """A hit with the passages that stood below its excerpt."""
    excerpt, *lines = hit.snippet.split("\n")
    if not all(map(_NUMBERED.match, lines)):
        return shown(hit, _MAX_REPLAYED_CHARS)
    result = shown(Result(hit.url, hit.title, excerpt), _MAX_REPLAYED_CHARS)
    return result | {"text": "\n".join([result["text"], *map(_clean_line, lines)])}


def _source_urls(item: WebSearchCall) -> list[dict[str, Any]]:
    """What is left of the results in a client's hands when it did not ask to be given them."""
    assert item.action is not None
    return [source.wire() for source in item.action.sources or []]
