"""Old items as the model saw them. Clients may have changed them: they are cleaned like pages."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, WebSearchAction, WebSearchCall
from tools_runtime.protocol.prompt import PromptItem
from tools_runtime.search import Result
from tools_runtime.search.hygiene import clean, shorten
from tools_runtime.search.urls import presentable
from tools_runtime.tools.sources import Sources, WebSource
from tools_runtime.tools.web_search.faces import FIND, OPEN, SEARCH, Face
from tools_runtime.tools.web_search.view import MAX_TITLE_CHARS, excerpt, listing, page_shown, shown

_MAX_REPLAYED_CHARS = 800


def replay(face: Face, item: WebSearchCall, sources: Sources) -> list[PromptItem]:
    """An old call as a model with this face saw it, or would have seen it."""
    action = item.action
    if action is None:
        return []
    call_id = item.id or ids.new("call")
    if action.type == "search":
        queries = action.queries or ([action.query] if action.query else [])
        output = _replay_search(face, item, queries, sources)
        name, arguments = SEARCH, face.write(SEARCH, {"queries": queries}, None)
    else:
        name, arguments, output = _replay_page(face, item, action, sources)
    call = FunctionCall(call_id=call_id, name=face.name(name), arguments=orjson.dumps(arguments).decode())
    return [call, FunctionCallOutput(call_id=call_id, output=output)]


def _replay_page(
    face: Face, item: WebSearchCall, action: WebSearchAction, sources: Sources
) -> tuple[str, dict[str, Any], str]:
    arguments = {"target": action.url or ""} | ({} if action.type == "open_page" else {"pattern": action.pattern or ""})
    name = OPEN if action.type == "open_page" else FIND
    page = next(iter(item.results or ()), {})
    url = presentable(str(page.get("url") or ""))
    number = None
    if item.status == "failed":
        output = "That failed."
    elif not url:
        output = "What was shown of this page was not kept."
    else:
        title = shorten(clean(str(page.get("title") or "")), MAX_TITLE_CHARS) or url
        number = sources.add(WebSource(url, title))
        text = "\n".join(map(_clean_line, str(page.get("text") or "").split("\n")))
        output = excerpt(face, page_shown(url, title, text), sources, item.id or secrets.token_hex(8))
    return name, face.write(name, arguments, number), output


def _clean_line(line: str) -> str:
    """A line of a page, its number and indentation kept."""
    match = _LINE.match(line)
    assert match is not None
    return match[1] + clean(match[2])


_NUMBERED = re.compile("L[0-9]{1,7}: ")
_LINE = re.compile(r"((?:L[0-9]{1,7}:)?[ ]{0,41})(.*)", re.DOTALL)


def _replay_search(face: Face, item: WebSearchCall, queries: Sequence[str], sources: Sources) -> str:
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
    return listing(face, queries, results, sources, item.id or secrets.token_hex(8))


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
