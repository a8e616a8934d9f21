"""Plain text of any kind: prose, Markdown, code, JSON, CSV."""

from __future__ import annotations

import codecs
from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 64 * 2**10
_LEAST_ASCII_SHARE = 0.03
_MAX_NO_TEXT_SHARE = 0.02
_NO_TEXT = {"\ufffd"} | {chr(code) for code in range(32) if chr(code) not in "\t\n\r\f\b\x1b"}
"""Control characters, and what stands for bytes that the encoding does not have."""


def read(path: Path, *, marked: bool) -> Document:
    return Document(decode(path.read_bytes()), marked=marked)


def decode(data: bytes) -> str:
    """The bytes as text: by byte order mark, as UTF-8, or by the best guess. Raises ``Unreadable`` for what is not
    text."""
    encoding = _encoding(data)
    if encoding is None:
        raise Unreadable("unsupported_file", "Files of this type cannot be read: the file is not text.")
    text = data.decode(encoding, errors="replace")
    sample = text[:_SAMPLE]
    if sum(character in _NO_TEXT for character in sample) > _MAX_NO_TEXT_SHARE * len(sample):
        raise Unreadable("unsupported_file", "Files of this type cannot be read: the file is not text.")
    return text


def _encoding(data: bytes) -> str | None:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return encoding
    sample = data[:_SAMPLE]
    if b"\0" in sample:
        return _wide(sample)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        return None if best is None else best.encoding
    return "utf-8"


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a byte order mark, told by its spaces: every language's text has some ASCII, which read in the
    wrong order is none."""
    shares = {encoding: _ascii_share(sample, encoding) for encoding in ("utf-16-le", "utf-16-be")}
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= _LEAST_ASCII_SHARE else None


def _ascii_share(sample: bytes, encoding: str) -> float:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # of a character that is cut, nothing
    except UnicodeDecodeError:
        return 0
    return sum(character.isascii() and character >= "\t" for character in text) / max(1, len(text))
