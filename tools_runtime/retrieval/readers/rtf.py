"""Rich Text Format."""

from __future__ import annotations

from pathlib import Path

from striprtf.striprtf import rtf_to_text

from tools_runtime.retrieval import Document


def read(path: Path) -> Document:
    # Latin-1 keeps each byte: RTF is ASCII that names the code page of its escapes itself.
    text: str = rtf_to_text(path.read_bytes().decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    return Document(text.strip())
