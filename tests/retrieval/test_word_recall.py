"""How much of the words of real manuals comes out of their PDFs: Debian ships these with the same text beside them."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader

LEAST = 0.98
SHARE = Path("/usr/share")
MANUALS = {
    "doc/debian-policy/policy.pdf.gz": "doc/debian-policy/policy.txt.gz",
    "debian-reference/debian-reference.en.pdf": "debian-reference/debian-reference.en.txt.gz",
    "developers-reference/ja/developers-reference.pdf": "developers-reference/ja/developers-reference.txt.gz",
}
WORD = re.compile(r"[a-z]+|[\u3040-\u30ff\u4e00-\u9fff]|\d+")
"""Japanese has no spaces: each of its characters counts as a word."""


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.lower()))


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("manual", MANUALS)
async def test_the_words_of_manuals_are_read(tmp_path: Path, manual: str):
    path = tmp_path / "file-1"
    path.write_bytes(unpacked(SHARE / manual))
    read = words((await SubprocessReader(ReadLimits()).read(path, "manual.pdf")).text)
    wanted = words(unpacked(SHARE / MANUALS[manual]).decode())
    recall = (wanted & read).total() / wanted.total()
    assert wanted.total() > 20_000
    print(f"{manual}: {recall:.4f}")
    assert recall >= LEAST
