"""Text in images, recognised by Tesseract."""

from __future__ import annotations

from typing import Any

from tools_runtime.retrieval import Unreadable
from tools_runtime.retrieval.readers import programs

_DOTS_PER_INCH = 300
_POINTS_PER_INCH = 72
_MAX_PIXELS = 18_000_000
"""Of one page: A3 at 300 dots an inch has 17 million."""


def installed() -> bool:
    return programs.find("tesseract") is not None


def page_text(page: Any, languages: str) -> str:
    """The words on a page of PDFium's. Raises ``Unreadable`` when Tesseract cannot read it."""
    program = programs.find("tesseract")
    assert program is not None
    try:
        return programs.run(program, "stdin", "stdout", "-l", languages, data=_grey_map(page)).strip()
    except programs.ProgramFailed:
        raise Unreadable("server_error", f"Tesseract could not recognise a page (languages: {languages}).") from None


def _grey_map(page: Any) -> bytes:
    """The page as a picture in PGM, the simplest format there is."""
    width, height = page.get_size()
    largest = (_MAX_PIXELS / max(1.0, width * height)) ** 0.5
    bitmap = page.render(scale=min(_DOTS_PER_INCH / _POINTS_PER_INCH, largest), grayscale=True)
    try:
        rows = bytes(bitmap.buffer)
        pixels = b"".join(rows[row * bitmap.stride :][: bitmap.width] for row in range(bitmap.height))
        return b"P5 %d %d 255\n%s" % (bitmap.width, bitmap.height, pixels)
    finally:
        bitmap.close()
