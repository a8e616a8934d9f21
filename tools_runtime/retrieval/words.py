"""The words of texts, and those of a query that are worth looking for."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""Kana, Han and Hangul, which are written without spaces between words, or with more than a word between two."""
_STOPWORDS = (
    "a about an and any are as at be been but by can could did do does for from had has have how i if in into is it "
    "its may me my no not of on or our she he should so some such than that the their them then there these they this "
    "to was we were what when where which who whom whose why will with would you your"
)
_DROPPED = frozenset(_STOPWORDS.split())


def keywords(query: str) -> list[str]:
    """The words of ``query``, once each, without those that every English text has: they cost most of a search's time
    and spoil its ranking. All of its words where there are no others."""
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    return [word for word in words if word not in _DROPPED] or words


def spaced(text: str) -> str:
    """``text`` with Chinese, Japanese and Korean cut into overlapping pairs of characters, which serve as words."""
    return _UNSPACED.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    characters = run[0]
    pairs = (characters[start : start + 2] for start in range(max(1, len(characters) - 1)))
    return f" {' '.join(pairs)} "
