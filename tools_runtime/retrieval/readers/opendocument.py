"""OpenDocument: texts, and the words of spreadsheets and presentations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from lxml import etree

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers import marks
from tools_runtime.retrieval.readers.xml import parse

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_SPACES = {f"{_TEXT}s": " ", f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n"}
_DELETED = f"{_TEXT}tracked-changes"


def read(path: Path) -> Document:
    with ZipFile(path) as archive:
        body = parse(archive.read("content.xml")).find(f"{_OFFICE}body")
    return marks.document(_blocks(body))


def _blocks(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_TEXT}h":
            yield marks.heading(_words(child), int(child.get(f"{_TEXT}outline-level", "1")))
        elif child.tag == f"{_TEXT}p":
            yield _words(child)
        elif child.tag == f"{_TABLE}table":
            yield "\n".join(filter(None, (_row(row) for row in child.iter(f"{_TABLE}table-row"))))
        elif child.tag != _DELETED:
            yield from _blocks(child)


def _row(row: Any) -> str:
    return marks.row(" ".join(_blocks(cell)) for cell in row.iterchildren(f"{_TABLE}table-cell"))


def _words(paragraph: Any) -> str:
    parts = []
    for event, element in etree.iterwalk(paragraph, events=("start", "end")):
        if event == "start":
            parts.append(_SPACES.get(element.tag, element.text or ""))
        elif element is not paragraph:
            parts.append(element.tail or "")
    return "".join(parts)
