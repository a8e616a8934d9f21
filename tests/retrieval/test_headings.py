"""Headings: what stands under which."""

from __future__ import annotations

import pytest

from tools_runtime.retrieval import Document
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.headings import Headings

TEXT = """before
# Report
one
## Findings ##
two
```
# a comment
```
three
#### Deep
four
## Rest
five
#hashtag
six
"""


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("before", None),
        ("# Report", "Report"),
        ("one", "Report"),
        ("two", "Report > Findings"),
        ("three", "Report > Findings"),
        ("four", "Report > Findings > Deep"),
        ("five", "Report > Rest"),
        ("six", "Report > Rest"),
    ],
)
def test_a_place_stands_under_the_headings_above_it(word: str, path: str | None):
    assert Headings(Document(TEXT, marked=True)).at(TEXT.index(word)) == path


def test_other_texts_have_none():
    assert Headings(Document("# a comment\ncode")).at(15) is None


def test_chunks_know_theirs():
    text = "\n".join(f"# Chapter {n}\n" + "word " * 500 for n in range(4))
    pieces = Chunker(max_tokens=100_000).split(Document(text, marked=True), 400, 0)
    for piece in pieces:
        assert piece.heading == f"Chapter {text[: piece.start + 1].count('#') - 1}"


@pytest.mark.parametrize("text", ["# " * 200_000, "```\n" * 200_001, "#" * 500_000, "# x\n" * 100_000])
def test_hostile_texts_take_no_time(text: str):
    found = Headings(Document(text, marked=True)).at(len(text))
    assert found is None or len(found) <= 2000
