"""Queries that found little, written anew so that they find more."""

from __future__ import annotations

import re

_MAX_WORDS = 12
"""More than that, and engines begin to cut queries."""
_OPERATOR = re.compile(r"(?<!\S)-?(?:site|inurl|intitle|intext|inbody|filetype|ext|lang|after|before|loc|location):\S+")
_EXCLUDED = re.compile(r"(?<!\S)-[^\W\d_]\S*")
_WORD = re.compile(r"[^\W_](?:[\w.+#'’-]*[\w+#])?")
_STOP_WORDS_TEXT = (
    "a an and any are as at be been before between by can could did do does for from had has have how i if in into is "
    "it its me my no not of on one or our should so than that the their them then there these they this those to use "
    "used using via was we were what when where which while who whom whose why will with without would you your"
)
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())


def relaxed(text: str) -> str:
    """The words of a query that say what it is about, any of which may be missing: no quotes, operators, exclusions and
    (English) stop words. The query itself where nothing is left of it."""
    plain = _EXCLUDED.sub(" ", _OPERATOR.sub(" ", text))
    words = dict.fromkeys(_WORD.findall(plain))
    kept = [word for word in words if word.casefold() not in _STOP_WORDS]
    return " OR ".join(kept[:_MAX_WORDS]) or text
