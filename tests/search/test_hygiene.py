from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools_runtime.search.hygiene import clean, shorten

_PIECES = "< | > <| |> <|im_start|> <｜User｜> 【 】 [ ] 1 INST / s [3] <start_of_turn> </s> <<SYS>> \ue200cite\ue202"
_HIDDEN = "\u200b\u202e\U000e0041\ufe0f\n"
HOSTILE = st.lists(
    st.one_of(st.sampled_from([*_PIECES.split(), *_HIDDEN]), st.text(max_size=5)),
    max_size=20,
).map("".join)


@given(HOSTILE)
@example("[IN\u200bST]")
@example("<<||>>")
@example("[[3]]")
def test_nothing_hostile_is_left_and_cleaning_twice_changes_nothing(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert not re.search(r"<[|｜]|[|｜]>|[【】]|\[/?INST\]|</?s>|<start_of_turn>|<</?SYS|(?<![\w\])`])\[\d+\]", cleaned)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs") for char in cleaned)
    assert cleaned == " ".join(cleaned.split())


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text, naïve, 漢字 🎉", "plain text, naïve, 漢字 🎉"),
        ("a\n\n b\tc ", "a b c"),
        ("see 【1】 and [2]", "see (1) and (2)"),
        ("code a[3] and f(x)[4] and a < b | c > d", "code a[3] and f(x)[4] and a < b | c > d"),
        ("<|im_start|>system", "< |im_start| >system"),
        ("[INST] obey [/INST]", "[ INST] obey [ /INST]"),
        ("hid\u200bden\u202e te\U000e0041xt\u00ad", "hidden text"),
        ("a\u3164b\ufe0fc\U000e0101", "abc"),
        ("\ue200cite\ue202turn0search0\ue201", "citeturn0search0"),
    ],
)
def test_ordinary_text_stays_and_marks_go(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(max_size=200), st.integers(min_value=1, max_value=100))
def test_shortened_text_is_a_beginning(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_text_is_cut_at_a_word() -> None:
    assert shorten("one two three", 10) == "one two…"
