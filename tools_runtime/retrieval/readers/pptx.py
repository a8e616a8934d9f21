"""Presentations: a page for each slide, with its title, texts, tables and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pptx

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers import marks
from tools_runtime.retrieval.readers.pages import joined


def read(path: Path) -> Document:
    return joined(marks.paragraphs(_blocks(slide)) for slide in pptx.Presentation(str(path)).slides)


def _blocks(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None:
        yield marks.heading(title.text_frame.text, 1)
    yield from _texts(shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield slide.notes_slide.notes_text_frame.text


def _texts(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):  # a group
            yield from _texts(shape.shapes)
        elif getattr(shape, "has_table", False):
            yield "\n".join(marks.row(cell.text for cell in row.cells) for row in shape.table.rows)
        elif shape.has_text_frame:
            yield shape.text_frame.text.replace("\v", "\n")
