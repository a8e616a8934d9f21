"""A text argument, in pieces and whole: both readings must agree, and agree with json.loads."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.tools import text_argument
from tools_runtime.tools.text_argument import TextStream

any_text = st.text(st.characters(codec=None))  # with lone surrogates
hostile_text = any_text | st.text('"\\u{}[]:, codepr\n😀\ud83d\ude00')
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | hostile_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text | st.just("code"), inner, max_size=3),
    max_leaves=6,
)
pieces = st.lists(st.integers(0, 300), max_size=20)


def parse(arguments: str) -> str:
    return text_argument.parse(arguments, "code")


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(min(at, len(text)) for at in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


def streamed(text: str, cuts: list[int]) -> str:
    stream = TextStream("code")
    return "".join(stream.feed(piece) for piece in cut(text, cuts))


def without_halves(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@given(
    st.dictionaries(hostile_text.filter(lambda key: key != "code"), values, max_size=3),
    hostile_text,
    st.dictionaries(hostile_text, values, max_size=2),
    st.booleans(),
    st.sampled_from([None, 1]),
    pieces,
)
def test_any_chunking_gives_what_json_gives(
    before: dict[str, object], code: str, after: dict[str, object], escaped: bool, indent: int | None, cuts: list[int]
) -> None:
    arguments = json.dumps({**before, "code": code, **{k: after[k] for k in after if k != "code"}}, indent=indent)
    if not escaped:
        arguments = json.dumps(json.loads(arguments), ensure_ascii=False, indent=indent)
    expected = without_halves(json.loads(arguments)["code"])
    assert streamed(arguments, cuts) == expected
    assert parse(arguments) == expected


@given(hostile_text | values.map(json.dumps), pieces)
def test_what_was_streamed_is_the_beginning_of_what_is_parsed(arguments: str, cuts: list[int]) -> None:
    found = streamed(arguments, cuts)
    assert streamed(arguments, []) == found
    found.encode()
    with suppress(ValueError):
        assert parse(arguments) == found


@given(hostile_text, st.integers(1, 400), pieces)
def test_truncated_arguments_stream_what_was_there_and_are_refused(code: str, keep: int, cuts: list[int]) -> None:
    arguments = json.dumps({"code": code})[:-2][:keep]
    whole = without_halves(json.loads(json.dumps(code)))
    assert without_halves(whole).startswith(streamed(arguments, cuts).rstrip("\ufffd"))
    with pytest.raises(ValueError):
        parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("print(1)", "print(1)"),
        ("\n  x = 1\n  x", "\n  x = 1\n  x"),
        ("[1, 2]", "[1, 2]"),
        ('"print(1)"', "print(1)"),
        ('{"code": "a\nb\tc"}', "a\nb\tc"),
        ('{"code": "first", "code": "second"}', "first"),
        ('{"x": {"code": "inner"}, "code": "outer"}', "outer"),
        ('{"code": "\\ud83d\\ude00"}', "😀"),
        ('{"code": "\\ud83dx\\ude00"}', "\ufffdx\ufffd"),
        ('{"code": ""}', ""),
    ],
)
def test_shapes_that_models_write(arguments: str, code: str) -> None:
    assert parse(arguments) == code
    for size in (1, 2, 3, len(arguments)):
        assert streamed(arguments, list(range(0, len(arguments), size))) == code


@pytest.mark.parametrize(
    "arguments",
    ["", "  ", "{}", '{"code": 5}', '{"code": null, "code": "x"}', '{"code": "x"', '{"code" "x"}', '{"cmd": "x"}',
     '{"code": "\\x"}', '{"code": "\\u12"}', '{"code": ["x"]}', '{"a":' * 100_000, '"open'],
    ids=lambda arguments: arguments[:30],
)  # fmt: skip
def test_arguments_without_code_are_refused(arguments: str) -> None:
    with pytest.raises(ValueError):
        parse(arguments)
    streamed(arguments, [1, 3, 5])
