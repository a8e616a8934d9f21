"""The packaged model: windows, and vectors that mean something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tools_runtime.retrieval.sentence_transformer import Precision, SentenceTransformerEmbedder, is_half


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


async def test_half_the_precision_changes_no_vector_noticeably(embedder: SentenceTransformerEmbedder):
    texts = ["The cat sleeps on the sofa.", "word " * 300, "Grüße — 日本"]
    vectors = []
    for precision in ("float32", "bfloat16"):
        model = SentenceTransformerEmbedder(None, precision)
        vectors.append(np.concatenate(await model.passages(texts)))
        model.close()
    whole, half = vectors
    assert not np.array_equal(whole, half)
    assert (whole * half).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "flags", "expected"),
    [
        ("auto", "flags : fpu avx512f avx512_bf16 avx512_vnni", True),
        ("auto", "Features : fp asimd bf16", True),
        ("auto", "flags : fpu avx512f avx512_vnni", False),
        ("auto", None, False),
        ("float32", "flags : amx_bf16", False),
        ("bfloat16", "flags : fpu", True),
    ],
)
def test_the_processor_decides(tmp_path: Path, precision: Precision, flags: str | None, expected: bool):
    processor = tmp_path / "cpuinfo"
    if flags is not None:
        processor.write_text(f"processor : 0\n{flags}\n")
    assert is_half(precision, processor) == expected


_ALL_LENGTHS = """
import asyncio, ctypes, os
from pathlib import Path
from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder

def resident():
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main():
    model = SentenceTransformerEmbedder(None, "bfloat16")
    before = None
    for length in range(4, 154):
        await model.queries(["sea " * length])
        before = before or resident()
    print(resident() - before)
    model.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_texts_of_all_lengths_take_no_more_memory_than_some():
    """Unbounded, torch takes some 300 MB for these."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    run = subprocess.run(
        [sys.executable, "-c", _ALL_LENGTHS], env=inherited, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 128 * 2**20
