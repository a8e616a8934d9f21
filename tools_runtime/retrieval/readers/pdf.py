"""PDF: by PDFium, and by pypdf where PDFium cannot open the file (docs/decisions/0002-pdf-reader.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw

from tools_runtime.retrieval import Document, Scanned, Unreadable
from tools_runtime.retrieval.readers import ocr
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.readers.pages import joined, too_many_pages

_IMAGE = [pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
_MAX_DEPTH = 8
"""Of drawings within drawings, in which images are looked for."""
_LEAST_SHARE = 0.02
"""Of a page's area: what is smaller is a logo or a line."""


def read(path: Path, limits: ReadLimits, *, recognise: bool) -> Document:
    """The text, page by page, with a note where there are images. Raises ``Unreadable`` for a broken or protected file
    and for one without text; ``Scanned`` where ``recognise`` would give more."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("invalid_file", "The PDF is protected by a password.") from None
        return _finished([*_by_pypdf(path, limits)], scans=0)
    try:
        if len(document) > limits.pages:
            raise too_many_pages(limits.pages)
        return _by_pdfium(document, limits, recognise=recognise)
    finally:
        document.close()


def _by_pdfium(document: Any, limits: ReadLimits, *, recognise: bool) -> Document:
    texts, scans = [], []
    for number in range(len(document)):
        page = _page(document, number)
        texts.append("" if page is None else _text(page))
        images = 0 if page is None else _images(page)
        if images and not texts[-1].strip():
            scans.append(number)
        elif images:
            texts[-1] += f"\n[{images} image{'s' * (images > 1)}]"
        if page is not None:
            page.close()
    if scans and limits.ocr_pages and ocr.installed():
        if not recognise:
            raise Scanned("invalid_file", "The PDF looks scanned.")
        _recognise(document, texts, scans, limits)
    return _finished(texts, scans=len(scans))


def _recognise(document: Any, texts: list[str], scans: list[int], limits: ReadLimits) -> None:
    """Fills in the words of pages that are images: of the first such pages, where there are other pages too."""
    if len(scans) > limits.ocr_pages and not any(text.strip() for text in texts):
        raise Unreadable(
            "invalid_file",
            f"The PDF looks scanned and has {len(scans):,} pages; at most {limits.ocr_pages:,} are recognised.",
        )
    for number in scans[: limits.ocr_pages]:
        page = document[number]
        texts[number] = ocr.page_text(page, limits.ocr_languages)
        page.close()


def _finished(texts: list[str], *, scans: int) -> Document:
    if not any(text.strip() for text in texts):
        reason = "its pages are images, so it looks scanned" if scans else "its pages are empty"
        raise Unreadable("invalid_file", f"The PDF holds no text: {reason}.")
    return joined(texts, marked=False)


def _page(document: Any, number: int) -> Any | None:
    """None for a page that is damaged; the others may still be read."""
    try:
        return document[number]
    except pypdfium2.PdfiumError:
        return None


def _text(page: Any) -> str:
    text = page.get_textpage()
    try:
        # PDFium writes U+FFFE for a hyphen at which a word is broken over two lines.
        found: str = text.get_text_bounded()
        return found.replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "")
    finally:
        text.close()


def _images(page: Any) -> int:
    """How many images of some size the page shows."""
    width, height = page.get_size()
    least = _LEAST_SHARE * width * height
    count = 0
    for image in page.get_objects(filter=_IMAGE, max_depth=_MAX_DEPTH):
        left, bottom, right, top = image.get_bounds()
        count += (right - left) * (top - bottom) >= least
    return count


def _by_pypdf(path: Path, limits: ReadLimits) -> Iterator[str]:
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        pages = pypdf.PdfReader(path).pages
        if len(pages) > limits.pages:
            raise too_many_pages(limits.pages)
        for page in pages:
            yield page.extract_text()
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("invalid_file", "The PDF is damaged and cannot be read.") from error
