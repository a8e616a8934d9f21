"""PDF: by PDFium, and by pypdf where PDFium cannot open the file (docs/decisions/0002-pdf-reader.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pypdfium2
import pypdfium2.raw

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers.pages import joined

_MAX_PAGES = 10_000
_SAMPLED_PAGES = 10
_SCANNED = "The PDF holds no text: its pages are images, so it looks scanned."


def read(path: Path) -> Document:
    """The text, page by page. Raises ``Unreadable`` for a broken or protected file, and for one without text."""
    try:
        pages = [*islice(_by_pdfium(path), _MAX_PAGES)]
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("invalid_file", "The PDF is protected by a password.") from None
        pages = [*islice(_by_pypdf(path), _MAX_PAGES)]
    if not any(page.strip() for page in pages):
        raise Unreadable("invalid_file", _SCANNED if _has_images(path) else "The PDF holds no text.")
    return joined(pages, marked=False)


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


def _has_images(path: Path) -> bool:
    """Whether the first pages show images. Not so for what PDFium cannot open."""
    try:
        document = pypdfium2.PdfDocument(path)
        first = range(min(len(document), _SAMPLED_PAGES))
        return any(any(document[n].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])) for n in first)
    except pypdfium2.PdfiumError:
        return False
