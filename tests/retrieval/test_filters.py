"""Attribute filters against a plain restatement of their rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tools_runtime.errors import ApiError
from tools_runtime.protocol.tools import AttributeFilter
from tools_runtime.retrieval.filters import check, matches

PARSE = TypeAdapter[Any](AttributeFilter)
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.one_of(st.sampled_from(["", "x", "y"]), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0]))
SINGLE = st.fixed_dictionaries(
    {"type": st.sampled_from(["eq", "ne"]), "key": KEYS, "value": VALUES},
) | st.fixed_dictionaries(
    {
        "type": st.sampled_from(["gt", "gte", "lt", "lte"]),
        "key": KEYS,
        "value": VALUES.filter(lambda value: not isinstance(value, bool)),
    }
)
MANY = st.fixed_dictionaries(
    {"type": st.sampled_from(["in", "nin"]), "key": KEYS, "value": st.lists(VALUES, max_size=3)}
)
FILTERS = st.recursive(
    SINGLE | MANY,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)


def expected(condition: dict[str, Any], attributes: dict[str, Any]) -> bool:
    kind, key = condition["type"], condition.get("key")
    if kind == "and":
        return False not in [expected(inner, attributes) for inner in condition["filters"]]
    if kind == "or":
        return True in [expected(inner, attributes) for inner in condition["filters"]]
    value = condition["value"]
    if kind == "in":
        return any(expected({"type": "eq", "key": key, "value": one}, attributes) for one in value)
    if kind == "nin":
        return not expected({"type": "in", "key": key, "value": value}, attributes)
    if kind == "ne":
        return not expected({"type": "eq", "key": key, "value": value}, attributes)
    if key not in attributes:
        return False
    actual = attributes[key]
    groups = [bool, (int, float), str]
    group = [next(i for i, types in enumerate(groups) if isinstance(one, types)) for one in (actual, value)]
    if group[0] != group[1]:
        return False
    comparisons = {
        "eq": actual == value,
        "gt": actual > value,
        "gte": actual >= value,
        "lt": actual < value,
        "lte": actual <= value,
    }
    return comparisons[kind]


@given(FILTERS, st.dictionaries(KEYS, VALUES, max_size=3))
def test_every_filter_does_what_its_words_say(condition: dict[str, Any], attributes: dict[str, Any]):
    parsed = PARSE.validate_python(condition)
    check(parsed, "filters")
    assert matches(parsed, attributes) == expected(condition, attributes)


def test_property_is_another_word_for_key():
    assert matches(PARSE.validate_python({"type": "eq", "property": "a", "value": 1}), {"a": 1})


@pytest.mark.parametrize(
    ("condition", "param"),
    [
        ({"type": "eq", "key": "a", "value": ["x"]}, "filters.value"),
        ({"type": "in", "key": "a", "value": "x"}, "filters.value"),
        ({"type": "gt", "key": "a", "value": True}, "filters.value"),
        ({"type": "or", "filters": [{"type": "nin", "key": "a", "value": 1}]}, "filters.filters[0].value"),
    ],
)
def test_senseless_filters_are_refused_by_name(condition: dict[str, Any], param: str):
    with pytest.raises(ApiError) as refused:
        check(PARSE.validate_python(condition), "filters")
    assert refused.value.param == param


def test_endless_nesting_is_refused():
    condition: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(40):
        condition = {"type": "and", "filters": [condition]}
    with pytest.raises(ApiError, match="nested"):
        check(PARSE.validate_python(condition), "filters")
