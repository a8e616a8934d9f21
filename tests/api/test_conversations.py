"""``/v1/conversations`` and what responses make of them, through OpenAI's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from harness.scenarios import ANSWER, WEATHER, WEB, call, say
from harness.server import serving
from harness.tools import web_search

from tools_runtime.protocol.items import Message

pytestmark = pytest.mark.usefixtures("each_database")

HELLO = say("Hello.")


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


async def test_a_conversation_remembers_what_responses_say(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, ANSWER]) as served:
        conversation = await served.client.conversations.create(items=[user("I am Ada.")], metadata={"a": "b"})
        first = await served.client.responses.create(model="any", input="one", conversation=conversation.id)
        await served.client.responses.create(model="any", input="two", conversation={"id": conversation.id})
        shown = served.house.upstream.prompts[-1].items
        listed = [item async for item in served.client.conversations.items.list(conversation.id, order="asc", limit=2)]
    assert first.conversation is not None and first.conversation.id == conversation.id
    assert [part.text for item in shown if isinstance(item, Message) for part in item.content] == [  # type: ignore[union-attr]
        "I am Ada.",
        "one",
        "Hello.",
        "two",
    ]
    assert [item.content[0].text for item in listed] == ["I am Ada.", "one", "Hello.", "two", "Done."]  # type: ignore[union-attr]


async def test_a_response_that_is_not_stored_leaves_the_conversation_alone(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO]) as served:
        conversation = await served.client.conversations.create()
        await served.client.responses.create(model="any", input="one", conversation=conversation.id, store=False)
        assert (await served.client.conversations.items.list(conversation.id)).data == []


async def test_a_function_is_answered_within_a_conversation(tmp_path: Path) -> None:
    async with serving(tmp_path, [call("weather", "{}"), ANSWER]) as served:
        tools: Any = [WEATHER]
        conversation = await served.client.conversations.create()
        await served.client.responses.create(model="any", input="Rain?", tools=tools, conversation=conversation.id)
        output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "Rain."}
        second = await served.client.responses.create(model="any", input=[output], conversation=conversation.id)
    assert second.output_text == "Done."


async def test_hidden_fields_of_items_are_shown_to_those_who_ask(tmp_path: Path) -> None:
    async with serving(tmp_path, [call("web_search", "x"), ANSWER], [web_search()]) as served:
        tools: Any = [WEB]
        conversation = await served.client.conversations.create()
        made = await served.client.responses.create(model="any", input="?", tools=tools, conversation=conversation.id)
        items = served.client.conversations.items
        bare = await items.retrieve(made.output[0].id or "", conversation_id=conversation.id)
        full = await items.retrieve(
            made.output[0].id or "", conversation_id=conversation.id, include=["web_search_call.action.sources"]
        )
    assert "sources" not in bare.to_dict()["action"]  # type: ignore[operator]
    assert "sources" in full.to_dict()["action"]  # type: ignore[operator]


async def test_a_conversation_can_be_changed_and_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        conversations = served.client.conversations
        made = await conversations.create(metadata={"a": "b"})
        assert (await conversations.update(made.id, metadata={"c": "d"})).metadata == {"c": "d"}
        assert (await conversations.retrieve(made.id)).metadata == {"c": "d"}
        assert (await conversations.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await conversations.retrieve(made.id)


async def test_items_can_be_added_and_taken_out(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        conversation = await served.client.conversations.create()
        items = served.client.conversations.items
        added = await items.create(conversation.id, items=[user("one"), user("two")])
        assert [item.content[0].text for item in added.data] == ["one", "two"]  # type: ignore[union-attr]
        assert (added.first_id, added.last_id) == (added.data[0].id, added.data[1].id)
        await items.delete(added.first_id, conversation_id=conversation.id)
        assert [item.id for item in (await items.list(conversation.id)).data] == [added.last_id]
        with pytest.raises(openai.NotFoundError):
            await items.retrieve(added.first_id, conversation_id=conversation.id)


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([{"role": "user"}], "items[0].content"),
        ([{"role": "king", "content": "x"}], "items[0].role"),
        ([user("x"), {"type": "teleport"}], "items[1].type"),
        ([], "items"),
        ([user("x")] * 21, "items"),
    ],
)
async def test_bad_items_are_refused_by_name(tmp_path: Path, items: Any, param: str) -> None:
    async with serving(tmp_path, []) as served:
        conversation = await served.client.conversations.create()
        with pytest.raises(openai.BadRequestError) as refused:
            await served.client.conversations.items.create(conversation.id, items=items)
    assert refused.value.param == param


async def test_what_is_not_there_is_a_404(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        conversations = served.client.conversations
        for attempt in (
            conversations.retrieve("conv_unknown"),
            conversations.update("conv_unknown", metadata={}),
            conversations.delete("conv_unknown"),
            conversations.items.create("conv_unknown", items=[user("x")]),
            conversations.items.list("conv_unknown"),
            conversations.items.retrieve("msg_1", conversation_id="conv_unknown"),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt


async def test_a_list_goes_on_behind_items_that_were_deleted_while_it_was_read(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO]) as served:
        id = (await served.client.conversations.create(items=[user(str(n)) for n in range(4)])).id
        await served.client.responses.create(model="any", input="one", conversation=id)
        items = served.client.conversations.items
        gone = [await items.delete(item.id or "", conversation_id=id) async for item in items.list(id, limit=2)]
        assert len(gone) == 6 and (await items.list(id)).data == []
