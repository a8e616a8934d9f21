"""PDF: by PDFium, and by pypdf where PDFium cannot open the file (docs/decisions/0002-pdf-reader.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pypdfium2

from tools_runtime.retrieval import Document, Unreadable

_MAX_PAGES = 10_000
_BREAK = "\n\n"


def read(path: Path) -> Document:
    """The text, page by page. Raises ``Unreadable`` for a broken or protected file, and for one without text."""
    try:
        pages = [*islice(_by_pdfium(path), _MAX_PAGES)]
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("invalid_file", "The PDF is protected by a password.") from None
        pages = [*islice(_by_pypdf(path), _MAX_PAGES)]
    if not any(page.strip() for page in pages):
        raise Unreadable("invalid_file", "The PDF holds no text; it may be a scan.")
    starts, position = [], 0
    for page in pages:
        starts.append(position)
        position += len(page) + len(_BREAK)
    return Document(_BREAK.join(pages), tuple(starts))


def _by_pdfium(path: Path) -> Iterator[str]:
    document = pypdfium2.PdfDocument(path)
    try:
        for page in document:
            text = page.get_textpage()
            # PDFium writes U+FFFE for a hyphen at which a word is broken over two lines.
            yield text.get_text_bounded().replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "")
            text.close()
            page.close()
    finally:
        document.close()


def _by_pypdf(path: Path) -> Iterator[str]:
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        for page in pypdf.PdfReader(path).pages:
            yield page.extract_text()
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("invalid_file", "The PDF is damaged and cannot be read.") from error
