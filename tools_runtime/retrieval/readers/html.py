"""HTML: the visible text, a line for each block, headings marked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lxml import etree
from lxml import html as lxml_html

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers.text import decode

_HIDDEN = ("script", "style", "noscript", "template", "svg", "iframe")
_INLINE_TAGS = (
    "a abbr b bdi bdo cite code data del dfn em font i img input ins kbd label mark q ruby s samp small span strong "
    "sub sup time tt u var wbr"
)
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_INLINE = frozenset(_INLINE_TAGS.split())


def read(path: Path) -> Document:
    return Document(visible(path.read_bytes()), marked=True)


def visible(page: bytes) -> str:
    """What a reader of the page sees."""
    source = decode(page)
    if not source.strip():
        return ""
    # The text is decoded by now; what the page says of its own encoding no longer counts.
    root = lxml_html.document_fromstring(source.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    etree.strip_elements(root, *_HIDDEN, etree.Comment, with_tail=False)
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag not in _INLINE:
            separator = "\t" if element.tag in ("td", "th") else "\n"
            if element.tag != "br":
                element.text = separator + _mark(element) + (element.text or "").lstrip()
            element.tail = separator + (element.tail or "")
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in root.text_content().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _mark(element: Any) -> str:
    """``## `` before a heading of level 2 that has text."""
    mark = _HEADINGS.get(element.tag, "")
    return mark if mark and element.text_content().strip() else ""
