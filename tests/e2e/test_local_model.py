"""The embedded model: no key, no model server, and a forced tool all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.servers import serving, settings

pytestmark = [pytest.mark.local_model, pytest.mark.slow]


def test_a_forced_file_search_answers_from_the_file(tmp_path: Path):
    with serving(settings(tmp_path, sandbox="none")) as server:
        store = server.client.vector_stores.create(name="office")
        text = b"The office dog is called Biscuit. He is a beagle and sleeps under the desk."
        server.client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("dog.txt", text))
        request: Any = {
            "model": "smollm2-135m-instruct",
            "input": "What is the office dog called?",
            "tools": [{"type": "file_search", "vector_store_ids": [store.id]}],
            "tool_choice": {"type": "file_search"},
            "max_output_tokens": 400,
        }
        plain = server.client.responses.create(**request)
        *_, last = server.client.responses.create(**request, stream=True)
    assert last.type in ("response.completed", "response.incomplete")
    streamed = last.response
    for response in (plain, streamed):
        # So small a model may go on talking until it is cut off.
        assert response.status in ("completed", "incomplete")
        assert [item.type for item in response.output] == ["file_search_call", "message"]
        assert "Biscuit" in response.output_text
        assert response.usage and response.usage.input_tokens > 0 and response.usage.output_tokens > 0
