"""Cleaning text from the web before a model reads it.

It cannot make a page honest. It takes from a page what a reader would not see, and what could pass for our own marks:
a citation, or the end of a turn.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Unicode categories of what has no shape: controls, zero-width, bidirectional and tag characters, private use."""
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that are drawn as nothing."""
_MARKERS = str.maketrans("【】", "()")
_NUMBER_MARKER = re.compile(r"(?<![\w\])`])\[([0-9]{1,4})\]")
"""``[3]`` where it is not an index: models cite like this, too, and footnotes of a page are not our sources."""
_TURN_TAGS = (
    "s|bos|eos|pad|unk|sop|eop|im_start|im_end|(?:start|end)_of_(?:turn|image|utterance)|_?system|user|human|assistant|role"
    r"|think(?:ing)?|tools|tool_(?:calls?|responses?|results?|output)|function_(?:calls?|results?)|arg_(?:key|value)"
    r"|(?:invoke|parameter)(?= name=)|(?:function|parameter)(?==)|(?:minimax|seed|antml):\w+"
    r"|SPECIAL_\d+|extra_id_\d+|unused\d+|(?:reserved_)?special_token_?\d*"
)
_TURN_WORDS = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS|THINK|ARGS|CALL_ID|PREFIX|SUFFIX"
    "|MIDDLE|gMASK|sMASK|MASK|IMG|IMG_BREAK|IMG_END|e~"
)
_TEMPLATE_TOKEN = re.compile(
    rf"<(?=[|｜]|/?(?:{_TURN_TAGS})[ >=|/]|</?SYS)|[|｜](?=>)|\[(?=/?(?-i:{_TURN_WORDS})\])|\](?=~!?b)|\[(?=e~\[)",
    re.IGNORECASE,
)
"""The first character of what chat templates begin and end turns with (ChatML, Llama, Mistral, Gemma, DeepSeek, Kimi,
GLM, MiniMax, Command, Nemotron, Phi, harmony …); a space behind it breaks the token."""


def clean(text: str) -> str:
    """``text`` on one line, without invisible characters, citation marks and chat-template tokens. Idempotent."""
    if text.isascii() and text.isprintable():
        visible = text  # the same, faster: this is most text
    else:
        visible = "".join(char if _visible(char) else " " if char in "\n\t\r\f\v" else "" for char in text)
    unmarked = _NUMBER_MARKER.sub(r"(\1)", visible.translate(_MARKERS))
    return " ".join(_TEMPLATE_TOKEN.sub(r"\g<0> ", unmarked).split())


def clean_data(text: str) -> str:
    """The same for data, whose lines, spaces and numbers in brackets mean something."""
    visible = "".join(char for char in text if char in "\n\t" or _visible(char))
    return _TEMPLATE_TOKEN.sub(r"\g<0> ", visible.translate(_MARKERS))


def _visible(char: str) -> bool:
    if char in _FILLERS or "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":  # variation selectors
        return False
    return unicodedata.category(char) not in _INVISIBLE


def shorten(text: str, limit: int) -> str:
    """``text`` cut to at most ``limit`` characters, at a word if there is one near the end."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    head, _, tail = cut.rpartition(" ")
    return (head if head and len(tail) < 40 else cut) + "…"
