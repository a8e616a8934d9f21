"""File types: which there are, and how each becomes text. Runs inside the reading process only (``reading``).

One type a file, imported only where it is needed: each file is read by a fresh process. A reader takes a path and
returns a ``Document``; what it raises beside ``Unreadable`` means that the file is broken.
"""

from __future__ import annotations

from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits

_HEAD = 1024
_HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_MARKDOWN_SUFFIXES = (".md", ".markdown")
_PDF = b"%PDF-"
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0"
_BINARY = (
    (b"\x89PNG", "images"),
    (b"\xff\xd8\xff", "images"),
    (b"GIF8", "images"),
    (b"\x1f\x8b", "compressed files"),
    (b"\x7fELF", "programs"),
)


def read(path: Path, filename: str, limits: ReadLimits, *, recognise: bool = False) -> Document:
    """The file's text. What a file is, its first bytes say before its name does. Raises ``Unreadable``; with
    ``recognise``, text in images is recognised, which takes long."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    suffix = Path(filename).suffix.lower()
    if head.lstrip().startswith(_PDF) or (_PDF in head and suffix == ".pdf"):
        from tools_runtime.retrieval.readers import pdf

        return pdf.read(path, limits, recognise=recognise)
    if suffix == ".pdf":
        raise Unreadable("invalid_file", "The file is named .pdf but is not a PDF.")
    if head.startswith(_ZIP):
        from tools_runtime.retrieval.readers import archive

        return archive.read(path, limits.unpacked_bytes)
    if head.startswith(_OLE):
        from tools_runtime.retrieval.readers import ole

        return ole.read(path)
    for magic, kind in _BINARY:
        if head.startswith(magic):
            raise Unreadable("unsupported_file", f"Files of this type cannot be read: {kind}.")
    return _text(path, head, suffix)


def _text(path: Path, head: bytes, suffix: str) -> Document:
    """What is written in characters: marked up, or plain."""
    if head.startswith(b"{\\rtf"):
        from tools_runtime.retrieval.readers import rtf

        return rtf.read(path)
    if suffix == ".ipynb":
        from tools_runtime.retrieval.readers import notebook

        return notebook.read(path)
    if suffix == ".eml":
        from tools_runtime.retrieval.readers import email

        return email.read(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if suffix in _HTML_SUFFIXES or start.startswith((b"<!doctype html", b"<html")):
        from tools_runtime.retrieval.readers import html

        return html.read(path)
    from tools_runtime.retrieval.readers import text

    return text.read(path, marked=suffix in _MARKDOWN_SUFFIXES)
