"""Excel workbooks: a page and heading for each sheet, a line for each row, with the values that were last computed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

import openpyxl

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers import marks
from tools_runtime.retrieval.readers.pages import joined


def read(path: Path) -> Document:
    with path.open("rb") as file:  # of a path, openpyxl would look at the suffix
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        return joined(_sheet(sheet) for sheet in book.worksheets)


def _sheet(sheet: Any) -> str:
    return marks.paragraphs((marks.heading(sheet.title, 1), "\n".join(_rows(sheet))))


def _rows(sheet: Any) -> Iterator[str]:
    sheet.reset_dimensions()  # what the file says of its own size makes rows of as many empty cells
    for row in sheet.iter_rows(values_only=True):
        if line := marks.row("" if value is None else _text(value) for value in row):
            yield line


def _text(value: object) -> str:
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)
