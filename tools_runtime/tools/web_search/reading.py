"""Reading what a search found before the model asks for it: the best passages of the first hits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tools_runtime.search import FetchError
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
    tasks = [asyncio.create_task(_passages(session, result["url"], queries)) for result in first]
    try:
        await asyncio.wait(tasks, timeout=session.open_seconds)
    finally:
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    for result, lines in zip(first, found, strict=True):
        if isinstance(lines, list):
            text = "\n".join(lines)
            if lines and len(text) < room:
                result["text"] += f"\n{text}"
                room -= len(text) + 1
        elif not isinstance(lines, FetchError | asyncio.CancelledError):
            raise lines


async def _passages(session: WebSession, url: str, queries: Sequence[str]) -> list[str]:
    document = await session.read(url)
    return await asyncio.to_thread(best_passages, document, queries, session.size.passage_chars)
