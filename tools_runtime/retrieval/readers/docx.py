"""Word documents: headings, paragraphs and tables in their order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import docx
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers import marks

_HEADING = re.compile(r"Heading (\d)")


def read(path: Path) -> Document:
    document = docx.Document(str(path))
    return marks.document(_block(part) for part in _parts(document.element.body, document))


def _parts(parent: Any, document: Any) -> Iterator[Paragraph | Table]:
    """Like ``iter_inner_content``, which passes over content controls: forms, title pages."""
    for element in parent:
        if element.tag == qn("w:p"):
            yield Paragraph(element, document)
        elif element.tag == qn("w:tbl"):
            yield Table(element, document)
        elif element.tag == qn("w:sdt"):
            for content in element.iterfind(qn("w:sdtContent")):
                yield from _parts(content, document)


def _block(part: Paragraph | Table) -> str:
    if isinstance(part, Table):
        return "\n".join(_rows(part))
    style = part.style.name if part.style is not None and part.style.name else ""
    level = _HEADING.fullmatch(style)
    if level is None and style != "Title":
        return part.text
    return marks.heading(part.text, int(level[1]) if level else 1)


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        # A cell that spans columns comes once for each of them.
        cells = (next(same) for _, same in groupby(row.cells, key=lambda cell: cell._tc))
        yield marks.row(" ".join(_block(part) for part in cell.iter_inner_content()) for cell in cells)
