"""The vector index: FAISS, 16-bit floats, in segments."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import numpy.typing as npt

from tools_runtime.retrieval import IndexedFile, Mask, Matrix
from tools_runtime.retrieval.segments import NOTHING, Found, Member, Segment, clustered, packed, unpacked
from tools_runtime.retrieval.snapshots import Snapshots

_WINDOWS_A_CHUNK = 4
"""A first guess at how many windows of one chunk stand side by side in a result."""

_log = logging.getLogger(__name__)

IndexKind = Literal["exact", "ivf"]


@dataclass(frozen=True)
class IndexShape:
    """How the index is made. ``probes``: of a segment's lists, about 180 at the usual size, how many ``ivf`` reads."""

    segment_vectors: int = 32_768
    kind: IndexKind = "exact"
    probes: int = 16

    def tag(self, embedding_model: str) -> str:
        """Names what snapshots must have in common to be loaded together."""
        return f"1 {self.kind} {embedding_model}"


class FaissIndex:
    """One index for all vector stores, in segments of a fixed size.

    Only the last segment grows, so that an addition costs the same however many there are; a full one is kept on disk
    once and never changes. Removal is a mark; a segment of which more than half is marked is dissolved into the last.
    A search goes through the segments side by side. It is exact and takes about 4 ms of CPU for 100,000 vectors of 384
    dimensions; with ``ivf`` a full segment is read in part only.
    """

    def __init__(self, snapshots: Snapshots, shape: IndexShape) -> None:
        self._snapshots = snapshots
        self._shape = shape
        self._segments: tuple[Segment, ...] = ()
        self._files: dict[Segment, Path] = {}
        # FAISS is to use one thread in each of these, not all of them in each.
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(
            self._threads, "vector-search", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )

    def restore(self, slots: Mapping[tuple[int, int], int]) -> set[int]:
        """Takes in what was kept on disk of the files whose slots are given by key and version. Returns the slots of
        those that are wholly there; what is there of others is marked as removed."""
        for path, arrays in self._snapshots.load():
            segment = unpacked(arrays, slots)
            self._segments = (*self._segments, segment)
            self._files[segment] = path
        size = max(slots.values(), default=0) + 1
        counts = sum((np.bincount(one.slots, minlength=size) for one in self._segments), np.zeros(size, np.int64))
        totals = np.zeros(size, np.int64)
        for segment in self._segments:
            for slot, member in segment.members.items():
                totals[slot] = member.total
        whole = (totals > 0) & (counts == totals)
        for segment in self._segments:
            segment.remove(~whole)
        return {int(slot) for slot in np.flatnonzero(whole)}

    def add(self, file: IndexedFile, chunks: Sequence[int], matrices: Sequence[Matrix]) -> None:
        """Adds a file's chunks: a matrix of windows for each."""
        if not chunks:
            return
        vectors = np.concatenate(matrices).astype(np.float32)
        keys = np.repeat(np.asarray(chunks, np.int64), [len(matrix) for matrix in matrices])
        self._append(file.slot, Member(file.key, file.version, len(vectors)), keys, vectors)

    def remove(self, slots: Collection[int]) -> None:
        """Removes files; those that are not in the index are passed over."""
        highest = max((int(one.slots.max(initial=0)) for one in self._segments), default=0)
        gone = np.zeros(highest + 1, bool)
        gone[[slot for slot in slots if slot <= highest]] = True
        for segment in self._segments:
            segment.remove(gone)

    def tidy(self) -> None:
        """Dissolves full segments of which more than half was removed."""
        for segment in [one for one in self._segments if one.sealed and one.living * 2 < len(one.slots)]:
            self._segments = tuple(one for one in self._segments if one is not segment)
            rows = segment.rows()
            for slot, member in segment.members.items():
                places = np.flatnonzero(segment.slots == slot)
                self._append(slot, member, segment.chunks[places], rows[places])
            path = self._files.pop(segment, None)
            if path is not None:
                path.unlink(missing_ok=True)

    def save(self) -> None:
        """Keeps full segments on disk that are not there yet. Raises ``OSError``."""
        for segment in self._segments:
            if segment.sealed and segment not in self._files:
                if self._shape.kind == "ivf" and not isinstance(segment.index, faiss.IndexIVF):
                    segment.index = clustered(segment)
                self._files[segment] = self._snapshots.save(packed(segment))

    def search(self, queries: Matrix, wanted: Mask, limit: int) -> list[list[int]]:
        """For each query the ``limit`` nearest chunks of the wanted files, best first."""
        size = limit * _WINDOWS_A_CHUNK
        wanted = np.append(wanted, False)
        wanted[0] = False  # nobody's
        segments = self._segments
        while True:
            parts = self._parts(segments, queries, wanted, size)
            best = [_best(parts, row, limit) for row in range(len(queries))]
            if all(chunks is not None for chunks in best):
                return [chunks for chunks in best if chunks is not None]
            size *= _WINDOWS_A_CHUNK

    def _parts(self, segments: Sequence[Segment], queries: Matrix, wanted: Mask, size: int) -> list[Found]:
        def some(part: Sequence[Segment]) -> list[Found]:
            return [segment.search(queries, wanted, size, self._shape.probes) for segment in part]

        parts = [segments[first :: self._threads] for first in range(min(self._threads, len(segments)))]
        return [found for of_part in self._pool.map(some, parts) for found in of_part]

    def _append(self, slot: int, member: Member, keys: npt.NDArray[np.int64], vectors: Matrix) -> None:
        start = 0
        while start < len(vectors):
            if not self._segments or not self._segments[-1].room:
                tail = Segment.empty(vectors.shape[1], self._shape.segment_vectors)
                self._segments = (*self._segments, tail)
            tail = self._segments[-1]
            stop = start + tail.room
            tail.add(slot, member, keys[start:stop], vectors[start:stop])
            start = stop


def _best(parts: Sequence[Found], row: int, limit: int) -> list[int] | None:
    """The best chunks of one query, None if there may be better ones among those that were not asked for."""
    if not parts:
        return []
    scores = np.concatenate([part.scores[row] for part in parts])
    chunks = np.concatenate([part.chunks[row] for part in parts])
    order = np.argsort(-scores, kind="stable")
    order = order[chunks[order] != NOTHING]
    ranked, scores = chunks[order], scores[order]
    _, first = np.unique(ranked, return_index=True)
    first = np.sort(first)[:limit]
    # A part that was cut holds nothing better than the last that it gave.
    floor = max((part.scores[row, -1] for part in parts if part.cut and part.chunks[row, -1] != NOTHING), default=None)
    if floor is not None and (len(first) < limit or scores[first[-1]] < floor):
        return None
    return [int(chunk) for chunk in ranked[first]]
