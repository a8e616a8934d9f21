"""Items: what clients may leave out, and what must survive a round trip."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from tools_runtime.protocol.codec import dump_item, load_item
from tools_runtime.protocol.items import InputItem, ItemReference, Message

INPUT: TypeAdapter[Any] = TypeAdapter(InputItem)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "user", "content": "x"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x", "novelty": 1}]},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "phase": "commentary",
         "content": [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []},
                     {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "arguments": "{}", "call_id": "a", "name": "f", "namespace": "n"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image", "detail": "low",
                                                                     "file_id": "file-1"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}],
         "encrypted_content": None},
        {"type": "web_search_call", "id": "ws_1", "status": "completed",
         "action": {"type": "open_page", "url": "https://a.org"}},
        {"type": "web_search_call", "id": "ws_1", "status": "completed",
         "action": {"type": "search", "query": "q", "sources": [{"type": "api", "name": "oai-weather"}]}},
        {"type": "file_search_call", "id": "fs_1", "status": "failed", "queries": [], "results": None},
        {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": None, "container_id": "c",
         "outputs": [{"type": "logs", "logs": "1"}, {"type": "image", "url": "data:"}]},
    ],
)  # fmt: skip
def test_an_item_comes_back_as_it_was_sent(item: dict[str, Any]) -> None:
    parsed = INPUT.validate_python(item)
    assert parsed.wire() == item
    assert orjson.loads(dump_item(load_item(dump_item(parsed)))) == item


def test_messages_and_references_may_come_without_a_type() -> None:
    assert isinstance(INPUT.validate_python({"role": "user", "content": "x"}), Message)
    assert isinstance(INPUT.validate_python({"id": "msg_1"}), ItemReference)


@pytest.mark.parametrize(
    "item", [{}, {"type": None}, {"type": 5}, {"type": ["message"]}, {"role": None}, [], "x", None]
)
def test_what_is_no_item_is_refused(item: Any) -> None:
    with pytest.raises(ValidationError):
        INPUT.validate_python(item)
