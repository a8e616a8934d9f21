"""How structure is written in the text of formats that have it: headings and tables, as in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from tools_runtime.retrieval import Document

_DEEPEST = 6


def heading(text: str, level: int) -> str:
    """``## Text`` for level 2. Nothing for a heading without text."""
    line = " ".join(text.split())
    return f"{'#' * max(1, min(level, _DEEPEST))} {line}" if line else ""


def row(cells: Iterable[str]) -> str:
    """A line of a table, its cells parted by tabs."""
    return "\t".join(" ".join(cell.split()) for cell in cells).rstrip()


def document(blocks: Iterable[str]) -> Document:
    """The blocks as a text that marks its headings."""
    return Document(paragraphs(blocks), marked=True)


def paragraphs(blocks: Iterable[str]) -> str:
    """The blocks that have text, parted by empty lines."""
    return "\n\n".join(block for block in (block.strip() for block in blocks) if block)
