"""What a server stored, the next one on the same folder has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stack
from openai import InternalServerError
from postgres import Postgres

from e2e.servers import Model, call, say, serving, settings, shown, with_all_tools


def test_responses_and_vector_stores_outlive_the_server(tmp_path: Path, database_url: str, report: bytes):
    model = Model()
    configured = settings(tmp_path, database_url=database_url, sandbox="none")
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


@pytest.mark.docker
def test_what_the_tools_keep_outlives_a_database_that_restarts(
    tmp_path: Path, postgres: Postgres, postgres_tables: str, web_stack: stack.WebStack
):
    model = Model()
    with postgres.database(postgres_tables) as url:
        configured = with_all_tools(tmp_path, web_stack, database_url=url)
        with serving(configured, model) as server:
            store = server.client.vector_stores.create()
            file = ("ships.txt", b"Foghorns warn ships in thick weather.")
            server.client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=file)
            tools: Any = [
                {"type": "web_search"},
                {"type": "file_search", "vector_store_ids": [store.id]},
                {"type": "code_interpreter", "container": {"type": "auto"}},
            ]
            model.plays(
                call("web_search", queries=["asyncio cancel task"]),
                call("file_search", queries=["foghorn"]),
                call("code_interpreter", code="open('/mnt/data/kept.txt', 'w').write('kept')"),
                say("Done."),
            )
            first = server.client.responses.create(model="any", input="Use them all.", tools=tools)
            done = [(item.type, item.status) for item in first.output[:-1]]  # type: ignore[union-attr]
            assert done == [
                ("web_search_call", "completed"),
                ("file_search_call", "completed"),
                ("code_interpreter_call", "completed"),
            ]
            postgres.stop()
            with pytest.raises(InternalServerError) as refused:
                server.client.responses.retrieve(first.id)
            assert (refused.value.status_code, refused.value.code) == (503, "database_unavailable")
            postgres.start()
            assert server.client.responses.retrieve(first.id).output == first.output
        with serving(configured, model) as server:
            assert server.client.responses.retrieve(first.id).output == first.output
            model.plays(
                call("code_interpreter", code="print(open('/mnt/data/kept.txt').read())"), lambda p: say(shown(p))
            )
            second = server.client.responses.create(
                model="any", input="Again.", tools=tools, previous_response_id=first.id
            )
            assert "kept" in second.output_text
