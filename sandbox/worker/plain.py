"""The text of a display that brings none worth reading: of Markdown and LaTeX their source, of HTML its words, with
tables row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

MAX_HTML_CHARS = 2**20
"""Of longer HTML, the beginning is read."""

_MUTE = re.compile(r"<[^<>\n]*>")
"""What Python says of an object that says nothing of itself."""
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LISTS = ("dl", "dt", "dd", "ol", "ul", "li")
_LINES = frozenset((*_HEADINGS, *_LISTS, "blockquote", "br", "caption", "div", "hr", "p", "pre", "table", "tr"))
_CELLS = frozenset(("td", "th"))
_UNSEEN = frozenset(("script", "style", "title", "template"))


def text(data: Mapping[str, object]) -> str | None:
    """What the parts of a display, by MIME type, are to people who see text only; None when they need no help."""
    plain = data.get("text/plain")
    if isinstance(plain, str) and not _MUTE.fullmatch(plain.strip()):
        return None
    for mime in ("text/markdown", "text/latex"):
        if isinstance(source := data.get(mime), str):
            return source
    html = data.get("text/html")
    return of_html(html) if isinstance(html, str) else None


def of_html(html: str) -> str:
    reader = _Reader()
    reader.feed(html[:MAX_HTML_CHARS])
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._unseen = 0
        self._cells = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _CELLS:
            self.pieces.append(" | " if self._cells else "")
            self._cells += 1
        elif tag in _LINES:
            self._break(row=tag == "tr")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _LINES:
            self._break(row=tag in ("tr", "table"))

    def _break(self, *, row: bool) -> None:
        """Within a table's row, all stays on its line."""
        if row:
            self._cells = 0
        self.pieces.append(" " if self._cells else "\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(" ".join(data.split("\n")))
