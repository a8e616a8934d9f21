"""The packaged model: windows, and vectors that mean something."""

from __future__ import annotations

import numpy as np

from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder


async def test_alike_texts_have_alike_vectors(embedder: SentenceTransformerEmbedder):
    cat, plane = await embedder.passages(["The cat sleeps on the sofa.", "The aeroplane took off."])
    query = await embedder.queries(["Where is the kitten napping?"])
    assert (cat @ query[0]).max() > (plane @ query[0]).max() + 0.2
    assert cat.shape == (1, 384)
    np.testing.assert_allclose(np.linalg.norm(cat, axis=1), 1, atol=1e-4)


async def test_the_end_of_a_long_text_is_found_too(embedder: SentenceTransformerEmbedder):
    filler = "The committee met again and approved the minutes of the last meeting. " * 60
    (long,) = await embedder.passages([filler + "Penguins cannot fly but swim very well."])
    assert len(long) > 2
    query = await embedder.queries(["Can penguins fly?"])
    assert int((long @ query[0]).argmax()) == len(long) - 1
    assert (long @ query[0]).max() > (long[:-1] @ query[0]).max() + 0.2


async def test_odd_texts(embedder: SentenceTransformerEmbedder):
    texts = ["", "日本語" * 300, "x" * 5000, "word " * 254, "word " * 255]
    matrices = await embedder.passages(texts)
    assert [len(matrix) for matrix in matrices][3:] == [1, 2]
    assert all(np.isfinite(matrix).all() and len(matrix) for matrix in matrices)
    assert await embedder.passages([]) == []
