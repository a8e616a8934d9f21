"""What a server stored, the next one on the same folder has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from e2e.servers import Model, call, say, serving, settings, shown


def test_responses_and_vector_stores_outlive_the_server(tmp_path: Path, report: bytes):
    model = Model()
    configured = settings(tmp_path, sandbox="none")
    with serving(configured, model) as server:
        store = server.client.vector_stores.create(name="reports")
        server.client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("report.pdf", report))
        model.plays(say("Noted."))
        first = server.client.responses.create(model="any", input="My name is Ada.")
        conversation = server.client.conversations.create(metadata={"topic": "ships"})
    with serving(configured, model) as server:
        found = server.client.vector_stores.search(store.id, query="What was spent on the fog horn?")
        assert "12,750" in found.data[0].content[0].text
        assert server.client.conversations.retrieve(conversation.id).metadata == {"topic": "ships"}
        tools: Any = [{"type": "file_search", "vector_store_ids": [store.id]}]
        model.plays(call("file_search", queries=["fog horn"]), lambda prompt: say(shown(prompt)[:0] + "12,750"))
        second = server.client.responses.create(
            model="any", input="And the horn?", tools=tools, previous_response_id=first.id
        )
        assert second.output_text == "12,750"
        told = str(model.prompts[-1].items)
        assert "My name is Ada." in told and "Noted." in told and "fog horn" in told
