"""Attribute filters: which files of a vector store a search is confined to."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tools_runtime.errors import ApiError
from tools_runtime.protocol.tools import AttributeFilter, ComparisonFilter, CompoundFilter, Scalar
from tools_runtime.stores import Attributes

_MAX_DEPTH = 16
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def check(condition: AttributeFilter, param: str, depth: int = 1) -> None:
    """Raises ``ApiError`` for a filter that cannot mean anything, naming the field below ``param``."""
    if isinstance(condition, CompoundFilter):
        if depth == _MAX_DEPTH:
            raise ApiError(f"Filters may be nested {_MAX_DEPTH} deep.", param=param)
        for index, inner in enumerate(condition.filters):
            check(inner, f"{param}.filters[{index}]", depth + 1)
        return
    takes_list = condition.type in ("in", "nin")
    if isinstance(condition.value, list) != takes_list:
        expected = "a list" if takes_list else "a single value"
        raise ApiError(f"'{condition.type}' takes {expected}.", param=f"{param}.value")
    if condition.type in _ORDERINGS and isinstance(condition.value, bool):
        raise ApiError(f"'{condition.type}' takes a number or a string.", param=f"{param}.value")


def matches(condition: AttributeFilter, attributes: Attributes) -> bool:
    """Whether a file with these attributes passes. A missing attribute equals nothing and is in no list, so that
    ``ne`` and ``nin`` let it pass; it is neither greater nor less than anything. Values of different kinds (string,
    number, boolean) are never equal and have no order."""
    if isinstance(condition, CompoundFilter):
        every = all if condition.type == "and" else any
        return every(matches(inner, attributes) for inner in condition.filters)
    return _compares(condition, attributes.get(condition.key))


def _compares(condition: ComparisonFilter, actual: Scalar | None) -> bool:
    value = condition.value
    if isinstance(value, list):
        return any(_same(actual, one) for one in value) == (condition.type == "in")
    if condition.type in ("eq", "ne"):
        return _same(actual, value) == (condition.type == "eq")
    return _kind(actual) == _kind(value) and _ORDERINGS[condition.type](actual, value)


def _same(actual: Scalar | None, value: Scalar) -> bool:
    return _kind(actual) == _kind(value) and actual == value


def _kind(value: Scalar | None) -> str:
    """``True == 1`` in Python, but not for a client."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "string" if isinstance(value, str) else "nothing"
