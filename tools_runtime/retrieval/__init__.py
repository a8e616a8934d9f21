"""Files to passages: reading, chunking, embedding, indexing, searching. This file holds the ports.

An upload becomes a ``Document`` (reader), then chunks (``chunking``), then vectors (embedder); the database keeps all
of it, and the index is a cache of the vectors that can always be built again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tools_runtime.stores import Attributes, ErrorCode

if TYPE_CHECKING:  # the reading process has no use for numpy, whose import is a third of its time
    import numpy as np
    import numpy.typing as npt

Matrix: TypeAlias = "npt.NDArray[np.float32]"
"""Vectors of length 1, one a row."""


@dataclass(frozen=True)
class Document:
    """The text of a file. ``page_starts`` are the offsets at which its pages begin; None where it has no pages. In a
    ``marked`` text, lines like ``## Findings`` are headings."""

    text: str
    page_starts: tuple[int, ...] | None = None
    marked: bool = False


class Unreadable(Exception):
    """A file that cannot become text. ``code`` is what ``last_error`` says; the message is for the client."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code


class Scanned(Unreadable):
    """A file whose pages are images at least in part. Read with their text recognised, which takes longer, it gives
    more."""


@dataclass(frozen=True)
class Passage:
    """A search result. ``score`` is between 0 and 1; ``start`` and ``end`` are character offsets in the file's text;
    ``page`` is where it begins, counted from 1; ``heading`` names the headings above that place."""

    file_id: str
    filename: str
    attributes: Attributes
    text: str
    score: float
    start: int
    end: int
    page: int | None
    heading: str | None


class Reader(Protocol):
    """Turns a file into text."""

    async def read(self, path: Path, filename: str) -> Document:
        """The text of the file at ``path``; ``filename`` only hints at its type. Raises ``Unreadable``."""
        ...


class Embedder(Protocol):
    """A model that turns text into vectors."""

    @property
    def model(self) -> str:
        """Names the model. Vectors of different models cannot be compared."""
        ...

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        """A matrix for each text: one row for each window, where a text is longer than the model reads."""
        ...

    async def queries(self, texts: Sequence[str]) -> Matrix:
        """One row for each text."""
        ...


class Reranker(Protocol):
    """A model that reads a query and a passage together: better than vectors, and far too slow for more than a few."""

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """For each text how well it answers the query, between 0 and 1."""
        ...


@dataclass(frozen=True)
class Models:
    """What a library understands texts with."""

    embedder: Embedder
    reranker: Reranker | None = None


class VectorIndex(Protocol):
    """Finds the nearest vectors. Everything is in memory; methods block and may be called from several threads."""

    def add(self, file: int, chunks: Sequence[int], matrices: Sequence[Matrix]) -> None:
        """Adds a file's chunks: a matrix of windows for each."""
        ...

    def remove(self, files: Sequence[int]) -> None:
        """Removes files; those that are not in the index are passed over."""
        ...

    def search(self, queries: Matrix, files: Sequence[int], limit: int) -> list[list[tuple[int, float]]]:
        """For each query the ``limit`` nearest chunks of ``files``, best first, with their cosine similarity. A chunk
        counts by its nearest window."""
        ...
