"""Pages put together to a document that knows where each begins."""

from __future__ import annotations

from collections.abc import Iterable

from tools_runtime.retrieval import Document, Unreadable

_BREAK = "\n\n"


def joined(pages: Iterable[str], *, marked: bool = True) -> Document:
    parts, starts, position = [], [], 0
    for page in pages:
        parts.append(page)
        starts.append(position)
        position += len(page) + len(_BREAK)
    return Document(_BREAK.join(parts), tuple(starts), marked)


def too_many_pages(allowed: int) -> Unreadable:
    return Unreadable("invalid_file", f"The file has more than {allowed:,} pages.")
