"""Request bodies into models, and pydantic's complaints into OpenAI's words with the offending ``param``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError

from tools_runtime.errors import ApiError

M = TypeVar("M", bound=BaseModel)

_NAMES = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
    "list": "an array",
    "tuple": "an array",
}
_BOUNDS = {
    "greater_than_equal": ("below_min", "ge", ">="),
    "greater_than": ("below_min", "gt", ">"),
    "less_than_equal": ("above_max", "le", "<="),
    "less_than": ("above_max", "lt", "<"),
}


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises a 413 ``ApiError`` as soon as more than ``limit`` bytes have come."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ApiError(f"The request body is larger than {limit} bytes.", status=413, code="request_too_large")
    return bytes(body)


def parse(model: type[M], body: bytes) -> M:
    """The body as a ``model``. Raises ``ApiError``."""
    return validate(model, parse_object(body))


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as JSON; an empty one is an empty object. Raises ``ApiError``."""
    try:
        data = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ApiError(f"We could not parse the JSON body of your request: {error}.") from None
    if not isinstance(data, dict):
        raise ApiError("The JSON body of your request must be an object.")
    return data


def validate(model: type[M], data: dict[str, Any]) -> M:
    """``data`` as a ``model``. Raises ``ApiError`` for the first thing that is wrong with it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise refusal(error.errors(include_url=False), data) from None


def refusal(errors: Sequence[Any], data: Any) -> ApiError:
    """The first complaint as OpenAI would put it."""
    error, param = _foremost(errors, data)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return ApiError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if kind == "missing":
        return ApiError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(error, param)
    if kind in ("literal_error", "enum"):
        return ApiError(
            f"Invalid value: {_quote(error['input'])}. Supported values are: {context['expected']}.",
            param=param,
            code="invalid_value",
        )
    if kind in _BOUNDS:
        bound, key, sign = _BOUNDS[kind]
        # Numbers in queries come as text.
        number = "integer" if str(error["input"]).lstrip("-").isdecimal() else "decimal"
        return ApiError(
            f"Invalid '{param}': {number} {bound.replace('_', ' ')}imum value. Expected a value {sign} "
            f"{context[key]:g}, but got {error['input']} instead.",
            param=param,
            code=f"{number}_{bound}_value",
        )
    expected = _NAMES.get(kind.rsplit("_", 1)[0])
    if expected is not None:
        return ApiError(
            f"Invalid type for '{param}': expected {expected}, but got {_kind(error['input'])} instead.",
            param=param,
            code="invalid_type",
        )
    return ApiError(f"Invalid '{param}': {error['msg']}.", param=param, code="invalid_value")


def _foremost(errors: Sequence[Any], data: Any) -> tuple[Any, str]:
    """The first complaint and its ``param``. Where a value may be of several types, each of them complains: the one
    that came furthest into the value is the one that the client meant."""
    params = [_param(e["loc"], data, whole=e["type"] in ("missing", "extra_forbidden")) for e in errors]
    first = params[0]
    same = [n for n, param in enumerate(params) if param == first or param.startswith((f"{first}.", f"{first}["))]
    furthest = max(same, key=lambda n: len(params[n]))
    return errors[furthest], params[furthest]


def _wrong_tag(error: Any, param: str) -> ApiError:
    value = error["input"]
    if not isinstance(value, dict):
        return ApiError(
            f"Invalid type for '{param}': expected an object, but got {_kind(value)} instead.",
            param=param,
            code="invalid_type",
        )
    if "type" not in value:
        return ApiError(
            f"Missing required parameter: '{param}.type'.", param=f"{param}.type", code="missing_required_parameter"
        )
    expected = error.get("ctx", {}).get("expected_tags", "")
    return ApiError(
        f"Invalid value: {_quote(value['type'])}. Supported values are: {expected}.",
        param=f"{param}.type",
        code="invalid_value",
    )


def _param(location: Sequence[str | int], data: Any, *, whole: bool) -> str:
    """The path as a client would write it. Pydantic mixes in tags of unions, which are no part of the body: a step
    that the body does not have is one, except the last where a field is missing."""
    path = ""
    for position, step in enumerate(location):
        last = whole and position == len(location) - 1
        if isinstance(step, int) and isinstance(data, list) and step < len(data):
            path, data = f"{path}[{step}]", data[step]
        elif isinstance(step, str) and isinstance(data, dict) and (step in data or last):
            path, data = f"{path}.{step}" if path else step, data.get(step)
    return path


def _quote(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _kind(value: Any) -> str:
    """A JSON value's type in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a decimal", list: "an array", dict: "an object"}
    return names.get(type(value), type(value).__name__)
