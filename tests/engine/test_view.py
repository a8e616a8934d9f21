"""What readers see: fields that must be asked for, each by its own name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tools_runtime.engine.view import View
from tools_runtime.protocol.events import Completed, OutputItemDone
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.response import Response

ITEM: TypeAdapter[Any] = TypeAdapter(Item)

FILE_SEARCH = {
    "id": "fs_1",
    "type": "file_search_call",
    "status": "completed",
    "queries": ["q"],
    "results": [{"file_id": "file-1", "filename": "a", "score": 0.5, "text": "t", "attributes": {}}],
}
CODE = {
    "id": "ci_1",
    "type": "code_interpreter_call",
    "status": "completed",
    "code": "1",
    "container_id": "cntr_1",
    "outputs": [{"type": "logs", "logs": "1"}],
}
SOURCES = [{"type": "url", "url": "https://a.org"}]
WEB = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "q", "sources": SOURCES},
    "results": [{"type": "text_result", "url": "https://a.org", "title": "t", "text": "x"}],
}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}],
}


def without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in names}


@pytest.mark.parametrize(
    ("item", "include", "hidden"),
    [
        (FILE_SEARCH, "file_search_call.results", FILE_SEARCH | {"results": None}),
        (CODE, "code_interpreter_call.outputs", CODE | {"outputs": None}),
        (
            without(WEB, "results"),
            "web_search_call.action.sources",
            without(WEB, "results") | {"action": {"type": "search", "query": "q"}},
        ),
        (
            WEB | {"action": {"type": "search", "query": "q"}},
            "web_search_call.results",
            without(WEB, "results") | {"action": {"type": "search", "query": "q"}},
        ),
        (REASONING, "reasoning.encrypted_content", without(REASONING, "encrypted_content")),
    ],
)
def test_a_field_is_shown_to_those_who_name_it(item: dict[str, Any], include: str, hidden: dict[str, Any]) -> None:
    kept = ITEM.validate_python(item)
    assert View([include]).item(kept).wire() == item
    assert View().item(kept).wire() == hidden
    others = {"file_search_call.results", "web_search_call.results", "code_interpreter_call.outputs"} - {include}
    assert View(others).item(kept).wire() == hidden
    assert kept.wire() == item, "the item itself is kept whole"


def test_events_and_responses_are_gated_alike() -> None:
    item = ITEM.validate_python(FILE_SEARCH)
    response = Response(id="resp_1", created_at=0, model="m", output=[item])
    assert View().response(response).output[0].results is None  # type: ignore[union-attr]
    assert View().event(OutputItemDone(item=item)).item.results is None  # type: ignore[attr-defined]
    assert View().event(Completed(response=response)).response.output[0].results is None  # type: ignore[attr-defined]
    assert response.output[0].results is not None  # type: ignore[union-attr]


def test_inline_images_are_hidden_in_listings_of_inputs() -> None:
    message = ITEM.validate_python(MESSAGE)
    bare = MESSAGE | {"content": [{"type": "input_image", "detail": "auto"}]}
    assert View().input_item(message).wire() == bare
    assert View(["message.input_image.image_url"]).input_item(message).wire() == MESSAGE
    assert View().input_item(ITEM.validate_python(CODE)).wire() == CODE | {"outputs": None}
