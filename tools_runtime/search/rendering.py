"""A page as lines: the text that a reader sees, links kept as Markdown, cleaned of what could pass for our marks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin

from lxml import etree

from tools_runtime.search.hygiene import clean
from tools_runtime.search.urls import presentable

LINE_CHARS = 240
"""Lines are broken at the last space before; a longer word stays whole up to ``_MAX_WORD``."""

_MAX_WORD = 4000
_MAX_INDENT = 40
_INLINE_TAGS = (
    "a abbr b bdi bdo cite code data del dfn em font i img input ins kbd label mark q ruby s samp small span strong "
    "sub sup time tt u var wbr"
)
_INLINE = frozenset(_INLINE_TAGS.split())
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}


def from_html(root: etree._Element, base: str) -> list[str]:
    """The lines of ``root``; relative links are resolved against ``base``."""
    writer = _Writer(base)
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if not isinstance(element.tag, str):  # what is no element has no text but its tail
            if event == "end":
                writer.text(element.tail)
        elif event == "start":
            writer.start(element)
            writer.text(element.text)
        else:
            writer.end(element)
            if element is not root:
                writer.text(element.tail)
    writer.flush()
    return writer.lines


def from_text(text: str) -> list[str]:
    """The lines of a plain text, indentation kept."""
    return [line for raw in text.expandtabs(4).splitlines() for line in _lines(raw, keep_indent=True)]


class _Writer:
    """Collects the pieces of a line until a block ends."""

    def __init__(self, base: str) -> None:
        self.lines: list[str] = []
        self._base = base
        self._pieces: list[str] = []
        self._prefix = ""
        self._preformatted = 0
        self._links: list[tuple[str | None, int, int]] = []

    def start(self, element: etree._Element) -> None:
        tag = element.tag
        if tag == "a":
            self._links.append((self._url(element.get("href")), len(self.lines), len(self._pieces)))
        elif tag in ("td", "th"):
            if self._pieces:
                self._pieces.append(" | ")
        elif tag not in _INLINE:
            self.flush()
            self._preformatted += tag == "pre"
            self._prefix = "- " if tag == "li" else _HEADINGS.get(tag, self._prefix)

    def end(self, element: etree._Element) -> None:
        tag = element.tag
        if tag == "a":
            self._end_link()
        elif tag not in _INLINE and tag not in ("td", "th"):
            self.flush()
            self._preformatted -= tag == "pre"
            if tag == "li" or tag in _HEADINGS:
                self._prefix = ""

    def text(self, text: str | None) -> None:
        if not text:
            return
        if not self._preformatted:
            self._pieces.append(text.replace("\n", " "))
            return
        first, *rest = text.expandtabs(4).split("\n")
        self._pieces.append(first)
        for line in rest:
            self.flush()
            self._pieces.append(line)

    def flush(self) -> None:
        text, self._pieces = "".join(self._pieces), []
        lines = list(_lines(self._prefix + text, keep_indent=bool(self._preformatted))) if text.strip() else []
        if lines:
            self.lines += lines
            self._prefix = ""

    def _url(self, href: str | None) -> str | None:
        """Where a link leads; None for what leads nowhere else."""
        if not href or href.startswith("#"):
            return None
        try:
            url = presentable(urljoin(self._base, href.strip()))
        except ValueError:
            return None
        if url is None or urldefrag(url).url == urldefrag(self._base).url:
            return None
        return url.replace("(", "%28").replace(")", "%29")

    def _end_link(self) -> None:
        if not self._links:
            return
        url, lines, start = self._links.pop()
        if lines != len(self.lines):  # blocks stood in the link
            self._pieces += [f" ({url})"] if url else []
            return
        text = "".join(self._pieces[start:])
        label = " ".join(text.split())
        if not any(char.isalnum() for char in label):  # a pilcrow or an icon
            text = ""
        elif url:
            text = f"[{label.replace('[', '(').replace(']', ')')}]({url})"
        self._pieces[start:] = [text]


def _lines(text: str, *, keep_indent: bool) -> Iterator[str]:
    """``text`` as lines of about ``LINE_CHARS``, each clean; none if nothing is left of it."""
    indent = text[: len(text) - len(text.lstrip(" "))][:_MAX_INDENT] if keep_indent else ""
    for line in textwrap.wrap(clean(text), LINE_CHARS, break_long_words=False, break_on_hyphens=False):
        for start in range(0, len(line), _MAX_WORD):
            yield indent + line[start : start + _MAX_WORD]


LINK = re.compile(r"\((https?://[^\s()]{1,2048})\)")
"""A link's target in a line."""
