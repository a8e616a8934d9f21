"""Bad requests: what is said of them, and which field is named, as a client would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import harness
from harness.scenarios import WEB

from tools_runtime.api.validation import parse
from tools_runtime.errors import ApiError
from tools_runtime.protocol.request import CreateResponse

FUNCTION = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("body", "param", "code", "message"),
    [
        ({}, "input", "missing_required_parameter", "Missing required parameter: 'input'."),
        (
            {"model": 5},
            "model",
            "invalid_type",
            "Invalid type for 'model': expected a string, but got an integer instead.",
        ),
        (
            {"input": 5},
            "input",
            "invalid_type",
            "Invalid type for 'input': expected an array, but got an integer instead.",
        ),
        (
            {"temperature": "hot"},
            "temperature",
            "invalid_type",
            "Invalid type for 'temperature': expected a number, but got a string instead.",
        ),
        (
            {"temperature": 2.5},
            "temperature",
            "decimal_above_max_value",
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
        ),
        (
            {"max_output_tokens": 0},
            "max_output_tokens",
            "integer_below_min_value",
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        ),
        (
            {"max_output_tokens": "5"},
            "max_output_tokens",
            "invalid_type",
            "Invalid type for 'max_output_tokens': expected an integer, but got a string instead.",
        ),
        (
            {"stream": "yes"},
            "stream",
            "invalid_type",
            "Invalid type for 'stream': expected a boolean, but got a string instead.",
        ),
        (
            {"truncation": "some"},
            "truncation",
            "invalid_value",
            "Invalid value: 'some'. Supported values are: 'auto' or 'disabled'.",
        ),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type", None),
        ({"metadata": {"a" * 65: "b"}}, f"metadata.{'a' * 65}", "invalid_value", None),
        ({"metadata": {str(n): "b" for n in range(17)}}, "metadata", "invalid_value", None),
        ({"include": ["everything"]}, "include[0]", "invalid_value", None),
        ({"reasoning": {"effort": "heroic"}}, "reasoning.effort", "invalid_value", None),
        ({"input": "x", "audio": {"voice": "ash"}}, "audio", "unsupported_parameter", None),
        ({"input": "x", "modalities": ["text", "audio"]}, "modalities", "unsupported_parameter", None),
        (
            {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "input[0].content[0].type",
            "invalid_value",
            None,
        ),
        ({"text": {"format": {"type": "yaml"}}}, "text.format.type", "invalid_value", None),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "missing_required_parameter", None),
        ({"text": {"format": {}}}, "text.format.type", "missing_required_parameter", None),
        ({"tools": [FUNCTION, {"type": "function"}]}, "tools[1].name", "missing_required_parameter", None),
        ({"tools": [{"type": "web_search", "stricter": 1}]}, "tools[0].stricter", "unknown_parameter", None),
        ({"tools": [{"type": 3}]}, "tools[0].type", "invalid_value", None),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter", None),
        ({"tools": ["f"]}, "tools[0]", "invalid_type", None),
        ({"tools": "f"}, "tools", "invalid_type", None),
        ({"tools": [{"type": "file_search"}]}, "tools[0].vector_store_ids", "missing_required_parameter", None),
        ({"tools": [WEB | {"search_context_size": "vast"}]}, "tools[0].search_context_size", "invalid_value", None),
        ({"tools": [WEB]}, "tools[0].type", None, "Tool type 'web_search' is not available on this server."),
        (
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": "x"}}]},
            "tools[0].container.file_ids",
            "invalid_type",
            None,
        ),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value", None),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter", None),
        (
            {"tool_choice": {"type": "function", "name": "g"}, "tools": [FUNCTION]},
            "tool_choice",
            None,
            "Tool choice 'g' not found in 'tools' parameter.",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_smell"}]}]},
            "input[0].content[0].type",
            "invalid_value",
            None,
        ),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role", "invalid_value", None),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter", None),
        ({"input": [{"type": "teleport_call", "id": "x"}]}, "input[0].type", "invalid_value", None),
        (
            {"input": [{"type": "function_call", "name": "f", "call_id": "a"}]},
            "input[0].arguments",
            "missing_required_parameter",
            None,
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]},
            "input",
            None,
            "No tool call found for function call output with call_id a.",
        ),
        ({"input": [{"type": "item_reference", "id": "msg_unknown"}]}, "input[0].id", None, None),
        ({"background": True, "store": False}, "store", None, None),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter", None),
        (
            {"previous_response_id": "resp_unknown"},
            "previous_response_id",
            "previous_response_not_found",
            "Previous response with id 'resp_unknown' not found.",
        ),
        ({"conversation": "conv_unknown"}, "conversation", None, None),
        ({"conversation": {"id": "conv_unknown"}}, "conversation", None, None),
        ({"conversation": {}}, "conversation.id", "missing_required_parameter", None),
        (
            {"conversation": "conv_1", "previous_response_id": "resp_1"},
            "previous_response_id",
            "mutually_exclusive_parameters",
            None,
        ),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
async def test_a_bad_request_is_refused_in_openais_words(
    tmp_path: Path, body: dict[str, Any], param: str, code: str | None, message: str | None
) -> None:
    async with harness(tmp_path, []) as house:
        with pytest.raises(ApiError) as raised:
            await house.engine.start(
                parse(CreateResponse, orjson.dumps(({"input": "hi"} if body else {}) | body)), "me"
            )
        assert house.upstream.prompts == []
    error = raised.value
    assert 400 <= error.status < 500 and error.type == "invalid_request_error"
    assert (error.param, error.code) == (param, code)
    if message is not None:
        assert error.message == message


def test_the_largest_and_smallest_values_are_taken() -> None:
    body = {"temperature": 2, "top_p": 1.0, "top_logprobs": 20, "max_output_tokens": 1, "presence_penalty": -2}
    parsed = parse(CreateResponse, orjson.dumps(body))
    assert (parsed.temperature, parsed.top_p, parsed.presence_penalty) == (2, 1, -2)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"hi"', b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="JSON body"):
        parse(CreateResponse, body)
