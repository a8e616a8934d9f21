"""The index against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tools_runtime.retrieval import Matrix
from tools_runtime.retrieval.faiss import FaissIndex


def unit(random: np.random.Generator, rows: int) -> Matrix:
    matrix = random.standard_normal((rows, 8)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.data())
def test_it_finds_what_brute_force_finds(seed: int, limit: int, data: st.DataObject):
    random = np.random.default_rng(seed)
    index, files, key = FaissIndex(), {}, 0
    for file in range(1, 8):
        chunks = {key + n: unit(random, int(random.integers(1, 12))) for n in range(int(random.integers(0, 6)))}
        key += len(chunks) + 1
        files[file] = chunks
        index.add(file, [*chunks], [*chunks.values()])
    for gone in data.draw(st.sets(st.integers(1, 9), max_size=3)):
        index.remove([gone])
        files.pop(gone, None)
    wanted = data.draw(st.sets(st.integers(1, 9)))
    queries = unit(random, 2)
    found = index.search(queries, [*wanted], limit)
    for query, hits in zip(queries, found, strict=True):
        scores = {
            chunk: float((windows @ query).max())
            for file in wanted & files.keys()
            for chunk, windows in files[file].items()
        }
        best = sorted(scores.values(), reverse=True)[:limit]
        assert len(hits) == len(best)
        np.testing.assert_allclose([score for _, score in hits], best, atol=3e-3)
        np.testing.assert_allclose([scores[chunk] for chunk, _ in hits], best, atol=3e-3)


def test_an_empty_index_finds_nothing():
    queries = unit(np.random.default_rng(1), 2)
    assert FaissIndex().search(queries, [1], 5) == [[], []]
    FaissIndex().remove([1])
