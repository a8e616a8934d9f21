"""File types: which there are, and how each becomes text. Runs inside the reading process only (``reading``).

One type a file, imported only where it is needed: each file is read by a fresh process. A reader takes a path and
returns a ``Document``; what it raises beside ``Unreadable`` means that the file is broken.
"""

from __future__ import annotations

from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable

_HEAD = 1024
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_BINARY = (
    (b"PK\x03\x04", "ZIP archives and Office documents"),
    (b"\xd0\xcf\x11\xe0", "old Office documents"),
    (b"\x89PNG", "images"),
    (b"\xff\xd8\xff", "images"),
    (b"GIF8", "images"),
    (b"\x1f\x8b", "compressed files"),
    (b"\x7fELF", "programs"),
)


def read(path: Path, filename: str) -> Document:
    """The file's text. What a file is, its first bytes say before its name does. Raises ``Unreadable``."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    suffix = Path(filename).suffix.lower()
    if b"%PDF-" in head:
        from tools_runtime.retrieval.readers import pdf

        return pdf.read(path)
    if suffix == ".pdf":
        raise Unreadable("invalid_file", "The file is named .pdf but is not a PDF.")
    for magic, kind in _BINARY:
        if head.startswith(magic):
            raise Unreadable("unsupported_file", f"Files of this type cannot be read: {kind}.")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if suffix in _HTML_SUFFIXES or start.startswith((b"<!doctype html", b"<html")):
        from tools_runtime.retrieval.readers import html

        return html.read(path)
    from tools_runtime.retrieval.readers import text

    return text.read(path)
