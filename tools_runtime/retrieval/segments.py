"""A segment: a part of the vector index that is filled once, searched by itself, and kept in a file of its own.
(FAISS's own stubs do not know its Python constructors.)"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from tools_runtime.retrieval import Mask, Matrix

NOTHING = -1
"""Stands for a chunk where fewer were found than asked for."""


@dataclass(frozen=True)
class Member:
    """A file that has vectors in a segment. ``total`` counts all that it has, over all segments."""

    key: int
    version: int
    total: int


@dataclass(frozen=True)
class Found:
    """The nearest vectors: a row a query, best first. ``cut``: there may be more."""

    scores: npt.NDArray[np.float32]
    chunks: npt.NDArray[np.int64]
    cut: bool


class Segment:
    """Vectors in 16-bit floats. ``slots`` says for each whose it is (0: nobody's any more), ``chunks`` which chunk's.

    A segment that is not ``sealed`` still grows, and a lock keeps searches and growth apart, since FAISS allows no
    change during a search. Removal only forgets whose a vector was, so it needs no lock.
    """

    def __init__(self, index: faiss.Index, slots: npt.NDArray[np.int32], chunks: npt.NDArray[np.int64]) -> None:
        self.index = index
        self.slots = slots
        self.chunks = chunks
        self.members: dict[int, Member] = {}
        self.sealed = False
        self._lock = threading.Lock()

    @classmethod
    def empty(cls, dimension: int, capacity: int) -> Segment:
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT)
        return cls(index, np.zeros(capacity, np.int32), np.zeros(capacity, np.int64))

    @property
    def room(self) -> int:
        return 0 if self.sealed else len(self.slots) - int(self.index.ntotal)

    @property
    def living(self) -> int:
        """How many vectors belong to somebody."""
        return int(np.count_nonzero(self.slots))

    def add(self, slot: int, member: Member, chunks: npt.NDArray[np.int64], vectors: Matrix) -> None:
        """Adds a file's vectors, of which there are no more than ``room``."""
        with self._lock:
            start = int(self.index.ntotal)
            self.index.add(vectors)
            self.chunks[start : start + len(vectors)] = chunks
            self.slots[start : start + len(vectors)] = slot
        self.members[slot] = member
        self.sealed = start + len(vectors) == len(self.slots)

    def remove(self, gone: Mask) -> None:
        """Forgets the files whose slots are meant."""
        self.slots[gone.take(self.slots)] = 0
        self.members = {slot: member for slot, member in self.members.items() if not gone[slot]}

    def rows(self) -> Matrix:
        """All vectors, as they were added."""
        return np.asarray(self.index.reconstruct_n(0, self.index.ntotal))

    def search(self, queries: Matrix, wanted: Mask, size: int, probes: int) -> Found:
        """The ``size`` nearest vectors of the wanted files; the mask's last element is False."""
        if self.sealed:
            return self._search(queries, wanted, size, probes)
        with self._lock:
            return self._search(queries, wanted, size, probes)

    def _search(self, queries: Matrix, wanted: Mask, size: int, probes: int) -> Found:
        index = self.index  # read once: another may take its place
        inside = wanted.take(self.slots[: index.ntotal], mode="clip")
        count = int(np.count_nonzero(inside))
        size = min(size, count)
        if not size:
            return Found(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64), False)
        scores, places = index.search(queries, size, params=_parameters(index, inside, count, probes))
        return Found(scores, np.where(places >= 0, self.chunks.take(places, mode="clip"), NOTHING), size < count)


def _parameters(index: faiss.Index, inside: Mask, count: int, probes: int) -> faiss.SearchParameters | None:
    selector = None
    if count < len(inside):
        selector = faiss.IDSelectorBitmap(np.packbits(inside, bitorder="little"))  # type: ignore[call-arg,arg-type]
    if not isinstance(index, faiss.IndexIVF):
        return None if selector is None else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
    # Where few vectors are wanted, they are looked for in more lists: else too few would be found.
    probes = min(index.nlist, -(-probes * len(inside) // count))
    return faiss.SearchParametersIVF(sel=selector, nprobe=probes)  # type: ignore[call-arg]


def clustered(segment: Segment) -> faiss.Index:
    """The segment's vectors in lists of neighbours (IVF), of which a search reads only some."""
    rows = segment.rows()
    dimension, lists = rows.shape[1], max(1, int(np.sqrt(len(rows))))
    quantizer, kind = faiss.IndexFlatIP(dimension), faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, lists, kind, faiss.METRIC_INNER_PRODUCT, False)
    index.train(rows)
    index.add(rows)
    index.make_direct_map()
    return index


def packed(segment: Segment) -> dict[str, npt.NDArray[Any]]:
    """What is kept of a sealed segment. ``members`` has a row for each file: key, version and total; ``owners`` says
    for each vector which of them it belongs to, -1: to none."""
    slots, members = segment.slots.copy(), [*segment.members.items()]
    rows = np.full(int(slots.max(initial=0)) + 1, NOTHING, np.int32)
    for row, (slot, _) in enumerate(members):
        if slot < len(rows):
            rows[slot] = row
    table = np.asarray([(one.key, one.version, one.total) for _, one in members], np.int64).reshape(-1, 3)
    index = np.asarray(faiss.serialize_index(segment.index))
    return {"index": index, "chunks": segment.chunks, "owners": rows.take(slots), "members": table}


def unpacked(arrays: Mapping[str, npt.NDArray[Any]], slots: Mapping[tuple[int, int], int]) -> Segment:
    """The opposite of ``packed``, for the files whose slots are given by key and version."""
    index = faiss.deserialize_index(arrays["index"])
    table = [(int(key), int(version), int(total)) for key, version, total in arrays["members"]]
    found = [slots.get((key, version), 0) for key, version, _ in table]
    by_row = np.asarray([*found, 0], np.int32)  # the last is for -1
    segment = Segment(index, by_row.take(arrays["owners"]), np.asarray(arrays["chunks"], np.int64))
    segment.members = {slot: Member(*row) for slot, row in zip(found, table, strict=True) if slot}
    segment.sealed = True
    return segment
