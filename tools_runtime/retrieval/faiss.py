"""The vector index: FAISS, exact, 16-bit floats. (FAISS's own stubs do not know its Python constructors.)"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import faiss
import numpy as np
import numpy.typing as npt

from tools_runtime.retrieval import Matrix

_WINDOWS_A_CHUNK = 4
"""A first guess at how many windows of one chunk stand side by side in a result."""


class FaissIndex:
    """One exact index for all vector stores. A chunk's windows share its id.

    Exact search costs about 4 ms of CPU for 100,000 vectors of 384 dimensions and never misses; graph indexes cannot
    delete, and lose results under a filter. One lock guards searches and changes, since FAISS allows no change during
    a search.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._index: faiss.Index | None = None
        self._chunks: dict[int, npt.NDArray[np.int64]] = {}

    def add(self, file: int, chunks: Sequence[int], matrices: Sequence[Matrix]) -> None:
        """Adds a file's chunks: a matrix of windows for each."""
        if not chunks:
            return
        vectors = np.concatenate(matrices).astype(np.float32)
        ids = np.repeat(np.asarray(chunks, np.int64), [len(matrix) for matrix in matrices])
        with self._lock:
            if self._index is None:
                self._index = _new(vectors.shape[1])
            self._index.add_with_ids(vectors, ids)
            self._chunks[file] = np.asarray(chunks, np.int64)

    def remove(self, files: Sequence[int]) -> None:
        """Removes files; those that are not in the index are passed over."""
        with self._lock:
            gone = [self._chunks.pop(file) for file in files if file in self._chunks]
            if gone and self._index is not None:
                self._index.remove_ids(_selector(gone))

    def search(self, queries: Matrix, files: Sequence[int], limit: int) -> list[list[tuple[int, float]]]:
        """For each query the ``limit`` nearest chunks of ``files``, best first, with their cosine similarity."""
        with self._lock:
            wanted = [self._chunks[file] for file in files if file in self._chunks]
            if self._index is None or not wanted:
                return [[] for _ in queries]
            parameters = faiss.SearchParameters(sel=_selector(wanted))  # type: ignore[call-arg]
            return [self._nearest(query[None], parameters, limit) for query in queries]

    def _nearest(self, query: Matrix, parameters: faiss.SearchParameters, limit: int) -> list[tuple[int, float]]:
        assert self._index is not None
        size = limit * _WINDOWS_A_CHUNK
        while True:
            scores, ids = self._index.search(query, min(size, self._index.ntotal), params=parameters)
            best: dict[int, float] = {}
            for id, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True):
                if id >= 0:
                    best.setdefault(id, score)
            if len(best) >= limit or ids[0][-1] < 0 or size >= self._index.ntotal:
                return [*best.items()][:limit]
            size *= _WINDOWS_A_CHUNK


def _new(dimension: int) -> faiss.Index:
    kind = faiss.ScalarQuantizer.QT_fp16
    return faiss.IndexIDMap(faiss.IndexScalarQuantizer(dimension, kind, faiss.METRIC_INNER_PRODUCT))


def _selector(chunks: Sequence[npt.NDArray[np.int64]]) -> faiss.IDSelector:
    keys = np.concatenate(chunks)
    wanted = np.zeros(int(keys.max()) + 1, bool)
    wanted[keys] = True
    return faiss.IDSelectorBitmap(np.packbits(wanted, bitorder="little"))  # type: ignore[call-arg,arg-type]
