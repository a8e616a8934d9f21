from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.search.relaxing import relaxed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How are files archived and synchronised on Debian?", "files OR archived OR synchronised OR Debian"),
        ('"exact phrase" -unwanted site:a.test filetype:pdf C++ node.js', "exact OR phrase OR C++ OR node.js"),
        ("well-known user's guide_2", "well-known OR user's OR guide_2"),
        ("ducks Ducks ducks", "ducks OR Ducks"),
        ("asyncio", "asyncio"),
        ("to be or not to be", "to be or not to be"),
        ("日本の首都 東京", "日本の首都 OR 東京"),
        ("(a|b) ~c", "b OR c"),
        ("?!", "?!"),
        ("", ""),
    ],
)
def test_a_query_keeps_the_words_that_say_what_it_is_about(text: str, words: str) -> None:
    assert relaxed(text) == words


@given(st.text(max_size=200))
def test_no_query_is_relaxed_to_nothing_or_to_more_than_engines_take(text: str) -> None:
    loose = relaxed(text)
    assert bool(loose) == bool(text)
    assert loose == text or loose.count(" OR ") < 12
