"""Jupyter notebooks: the text and code of the cells, and what the code printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.readers import marks
from tools_runtime.retrieval.readers.text import decode


def read(path: Path) -> Document:
    book = json.loads(decode(path.read_bytes()))
    return marks.document(block for cell in book["cells"] for block in _blocks(cell))


def _blocks(cell: dict[str, Any]) -> Iterator[str]:
    source = _text(cell.get("source", ""))
    if cell.get("cell_type") != "code":
        yield source
        return
    yield f"```\n{source}\n```" if source.strip() else ""
    for output in cell.get("outputs", ()):
        yield _text(output.get("text") or output.get("data", {}).get("text/plain", ""))


def _text(value: str | list[str]) -> str:
    """Notebooks write texts as a string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)
