"""EPUB: the book's chapters in reading order, a page for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote
from zipfile import ZipFile

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers import html
from tools_runtime.retrieval.readers.pages import joined
from tools_runtime.retrieval.readers.xml import parse

_CHAPTERS = ("application/xhtml+xml", "text/html")


def read(path: Path) -> Document:
    """Raises ``Unreadable`` for a book that is locked."""
    with ZipFile(path) as book:
        if "META-INF/rights.xml" in book.namelist():
            raise Unreadable("invalid_file", "The book is protected.")
        return joined(html.visible(book.read(chapter)) for chapter in _chapters(book))


def _chapters(book: ZipFile) -> Iterator[str]:
    package = parse(book.read("META-INF/container.xml")).find(".//{*}rootfile").get("full-path")
    root = parse(book.read(package))
    entries = {item.get("id"): item for item in root.iterfind("{*}manifest/{*}item")}
    present = {*book.namelist()}
    for reference in root.iterfind("{*}spine/{*}itemref"):
        item = entries.get(reference.get("idref"))
        if item is not None and item.get("media-type") in _CHAPTERS:
            name = normpath(join(dirname(package), unquote(item.get("href", ""))))
            if name in present:
                present.remove(name)  # once, however often the book names it
                yield name
