"""Reading what a search found before the model asks for it: the best passages of the first hits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tools_runtime.search import FetchError
from tools_runtime.search.pages import WebDocument
from tools_runtime.search.passages import best_passages
from tools_runtime.tools.web_search.session import WebSession


async def add_passages(session: WebSession, results: Sequence[dict[str, Any]], queries: Sequence[str]) -> None:
    """Appends passages to the texts of the first of ``results``, as numbered lines, within the budgets of ``session``.
    Pages that cannot be opened, or not within ``session.open_seconds``, stay as the engine described them."""
    size = session.size
    room = min(size.search_chars, session.room) - sum(len(result["text"]) for result in results)
    first = results[: size.pages] if session.open_seconds and room > 0 else ()
    if not first:
        return
    documents = await _read([result["url"] for result in first], session)
    read = [(result, document) for result, document in zip(first, documents, strict=True) if document]
    pages = [document for _, document in read]
    passages = await asyncio.to_thread(best_passages, pages, queries, min(size.passage_chars, room))
    for (result, _), lines in zip(read, passages, strict=True):
        result["text"] = "\n".join([result["text"], *lines])


async def _read(urls: Sequence[str], session: WebSession) -> list[WebDocument | None]:
    """The pages, None for those that cannot be had in time."""
    tasks = [asyncio.create_task(session.read(url)) for url in urls]
    try:
        await asyncio.wait(tasks, timeout=session.open_seconds)
    finally:
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    return [_document(outcome) for outcome in found]


def _document(outcome: WebDocument | BaseException) -> WebDocument | None:
    if isinstance(outcome, WebDocument):
        return outcome
    if isinstance(outcome, FetchError | asyncio.CancelledError):
        return None
    raise outcome
