"""Files to passages: reading, chunking, embedding, indexing, searching. This file holds the ports.

An upload becomes a ``Document`` (reader), then chunks (``chunking``), then vectors (embedder); the database keeps all
of it, and the indexes are caches of it that can always be built again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tools_runtime.stores import Attributes, ErrorCode

if TYPE_CHECKING:  # the reading process has no use for numpy, whose import is a third of its time
    import numpy as np
    import numpy.typing as npt

Matrix: TypeAlias = "npt.NDArray[np.float32]"
"""Vectors of length 1, one a row."""

Mask: TypeAlias = "npt.NDArray[np.bool_]"
"""For each slot of a file whether it is meant; those beyond the end are not."""

Keys: TypeAlias = "npt.NDArray[np.int64]"
"""Files by their keys in the database, in ascending order."""


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

    @property
    def place(self) -> dict[str, Any]:
        """Where in its file it stands, as results tell it beside OpenAI's fields: page and heading where there are
        any, and the offsets, which tell passages apart."""
        place: dict[str, Any] = {"start": self.start, "end": self.end}
        if self.page is not None:
            place["page"] = self.page
        if self.heading is not None:
            place["heading"] = self.heading
        return place


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


@dataclass(frozen=True)
class IndexedFile:
    """A file of a vector store as indexes know it. ``slot`` numbers it inside this process, from 1, and is never given
    twice; ``key`` and ``version`` name it in the database."""

    slot: int
    key: int
    version: int


class VectorIndex(Protocol):
    """Finds the nearest vectors. Methods block and may be called from several threads, changes from one at a time."""

    def restore(self, slots: Mapping[tuple[int, int], int]) -> Set[int]:
        """Takes in what was kept on disk of the files whose slots are given by key and version. Returns the slots that
        are wholly there now. Once, before anything else."""
        ...

    def add(self, file: IndexedFile, chunks: Sequence[int], matrices: Sequence[Matrix]) -> None:
        """Adds a file's chunks: a matrix of windows for each."""
        ...

    def remove(self, slots: Collection[int]) -> None:
        """Removes files; those that are not in the index are passed over."""
        ...

    def tidy(self) -> None:
        """A change that nobody sees: gives back the room of what was removed."""
        ...

    def save(self) -> None:
        """Keeps on disk what is new since the last time. Not a change: may run beside one."""
        ...

    def search(self, queries: Matrix, wanted: Mask, limit: int) -> list[list[int]]:
        """For each query the ``limit`` nearest chunks of the wanted files, best first. A chunk counts by its nearest
        window."""
        ...


class KeywordIndex(Protocol):
    """Finds chunks by their words. Threads as for ``VectorIndex``."""

    def files(self) -> dict[int, int]:
        """Version by key of the files that are in the index."""
        ...

    def add(self, file: IndexedFile, texts: Iterable[tuple[int, str]]) -> None:
        """Adds a file's chunks: key and text of each."""
        ...

    def remove(self, keys: Collection[int]) -> None:
        """Removes files by key; those that are not in the index are passed over."""
        ...

    def commit(self) -> None:
        """Makes the changes since the last time visible and lasting, all at once."""
        ...

    def reopen(self) -> None:
        """Begins anew with what was committed last, after a change that failed."""
        ...

    def close(self) -> None:
        """Ends all changes."""
        ...

    def search(self, query: str, wanted: Keys | None, limit: int) -> list[int]:
        """The ``limit`` chunks that fit the query's words best, best first; of the wanted files, or of all."""
        ...
