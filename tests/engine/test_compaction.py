"""Compaction: what the model is shown before, meanwhile and after; on real stores, with a scripted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Harness, harness
from harness.scenarios import ANSWER, WEB, call, say, usage
from harness.tools import web_search

from tools_runtime.engine.compaction import Summary
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import FunctionCallOutput, InputImage, Message
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import Finished, UpstreamError
from tools_runtime.upstreams.scripted import Step

SMALL = [{"type": "compaction", "compact_threshold": 100}]
SUMMARY = [*say("They talked about ducks."), Finished(usage=usage(50, 5))]
LONG = "word " * 200
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}


def shown(prompt: Prompt) -> list[str]:
    """Roles and the beginnings of texts; types of what is no message. A summary is a role of its own."""
    lines = []
    for item in prompt.items:
        if isinstance(item, Message):
            role = "summary" if isinstance(item, Summary) else item.role
            lines.append(f"{role}: {''.join(getattr(part, 'text', '') for part in item.content)[:20]}".strip())  # type: ignore[union-attr]
        else:
            lines.append(item.type)
    return lines


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **fields}


async def test_a_long_context_is_compacted_before_the_model_is_asked(tmp_path: Path) -> None:
    async with harness(tmp_path, [say(LONG), SUMMARY, ANSWER, ANSWER]) as house:
        first = await house.reply(input="one")
        second = await house.reply(input="two", previous_response_id=first["id"], context_management=SMALL)
        third = await house.reply(input="three", previous_response_id=second["id"])
    asked, answered, went_on = house.upstream.prompts[1:]
    assert shown(asked)[:-1] == ["user: one", "assistant: word word word word", "user: two"][:2]
    assert "summary" in str(asked.items[-1])
    assert shown(answered) == ["user: one", "summary: [Earlier messages ar", "user: two"]
    assert "They talked about ducks." in str(answered.items[1])
    assert [item["type"] for item in second["output"]] == ["compaction", "message"]
    assert second["usage"]["total_tokens"] == 55 + 33
    # The item alone carries all of that into later requests.
    assert shown(went_on) == [
        "user: one",
        "summary: [Earlier messages ar",
        "user: two",
        "assistant: Done.",
        "user: three",
    ]
    assert third["status"] == "completed"


async def test_events_of_a_compaction(tmp_path: Path) -> None:
    async with harness(tmp_path, [say(LONG), SUMMARY, ANSWER]) as house:
        first = await house.reply(input="one")
        events = await house.events(input="two", previous_response_id=first["id"], context_management=SMALL)
    assert [event["type"] for event in events[2:6]] == [
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
        "response.output_item.added",
    ]
    assert events[3]["item_id"] == events[4]["item"]["id"] and events[3]["output_index"] == 0


async def test_what_a_tool_brings_is_compacted_between_turns(tmp_path: Path) -> None:
    turn = [*call("web_search", "ducks"), Finished(usage=usage(90, 20))]
    async with harness(tmp_path, [turn, SUMMARY, ANSWER], [web_search()]) as house:
        response = await house.reply(input="one", tools=[WEB], context_management=SMALL)
    assert [item["type"] for item in response["output"]] == ["web_search_call", "compaction", "message"]
    assert shown(house.upstream.prompts[2]) == ["user: one", "summary: [Earlier messages ar"]


async def test_small_contexts_and_requests_that_do_not_ask_are_left_alone(tmp_path: Path) -> None:
    async with harness(tmp_path, [say("short"), ANSWER, say(LONG), ANSWER]) as house:
        first = await house.reply(input="one")
        second = await house.reply(input="two", previous_response_id=first["id"], context_management=SMALL)
        third = await house.reply(input=LONG)
        fourth = await house.reply(input="two", previous_response_id=third["id"])
    assert {item["type"] for item in second["output"] + fourth["output"]} == {"message"}


async def test_a_context_that_stays_too_long_is_not_compacted_again_and_again(tmp_path: Path) -> None:
    async with harness(tmp_path, [say(LONG), SUMMARY, ANSWER]) as house:
        first = await house.reply(input="one")
        second = await house.reply(input=LONG, previous_response_id=first["id"], context_management=SMALL)
    assert [item["type"] for item in second["output"]] == ["compaction", "message"]


async def test_the_output_is_enough_where_nothing_is_stored(tmp_path: Path) -> None:
    history = [user("one"), {"role": "assistant", "content": LONG}, user("two")]
    async with harness(tmp_path, [SUMMARY, ANSWER, ANSWER, ANSWER]) as house:
        first = await house.reply(input=history, store=False, context_management=SMALL)
        await house.reply(input=[*history, *first["output"], user("three")], store=False)
        await house.reply(input=[*first["output"], user("three")], store=False)
    whole, cut = house.upstream.prompts[2:]
    assert shown(whole) == shown(cut)
    assert shown(cut)[0] == "user: one" and shown(cut)[-1] == "user: three"


async def test_a_trigger_compacts_and_asks_for_no_answer(tmp_path: Path) -> None:
    items = [user("one"), {"role": "assistant", "content": "ducks"}, {"type": "compaction_trigger"}]
    async with harness(tmp_path, [SUMMARY, ANSWER]) as house:
        response = await house.reply(input=items)
        await house.reply(input="two", previous_response_id=response["id"])
    assert [item["type"] for item in response["output"]] == ["compaction"]
    assert response["status"] == "completed"
    assert shown(house.upstream.prompts[1]) == ["user: one", "summary: [Earlier messages ar", "user: two"]


async def test_a_trigger_must_be_the_last_item(tmp_path: Path) -> None:
    async with harness(tmp_path, []) as house:
        with pytest.raises(ApiError) as refused:
            await house.reply(input=[{"type": "compaction_trigger"}, user("one")])
    assert refused.value.param == "input[0]"


@pytest.mark.parametrize("change", [lambda text: text[:-6] + "AAAAA=", lambda _: "forged", lambda _: ""])
async def test_content_that_was_changed_is_refused(tmp_path: Path, change: Any) -> None:
    async with harness(tmp_path, [SUMMARY]) as house:
        item = (await _compacted(house))["output"][0]
        with pytest.raises(ApiError) as refused:
            await house.reply(input=[item | {"encrypted_content": change(item["encrypted_content"])}, user("x")])
    assert (refused.value.param, refused.value.code) == ("input[0].encrypted_content", "invalid_encrypted_content")


async def test_what_belongs_to_somebody_else_cannot_be_read(tmp_path: Path) -> None:
    async with harness(tmp_path, [SUMMARY]) as house:
        item = (await _compacted(house))["output"][0]
        with pytest.raises(ApiError, match="could not be verified"):
            await house.start(owner="somebody else", input=[item, user("x")])


async def test_a_lost_key_costs_the_summary_and_nothing_else(tmp_path: Path) -> None:
    async with harness(tmp_path, [SUMMARY]) as house:
        response = await _compacted(house)
    (tmp_path / "seal.key").unlink()
    async with harness(tmp_path, [ANSWER]) as house:
        await house.reply(input="two", previous_response_id=response["id"])
    assert shown(house.upstream.prompts[0]) == ["user: [The summary of the", "user: two"]


async def test_items_before_a_compaction_need_not_be_complete(tmp_path: Path) -> None:
    """Neither calls with their outputs nor files that still exist."""
    gone = {"role": "user", "content": [{"type": "input_file", "file_id": "file-gone"}]}
    lone = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    async with harness(tmp_path, [SUMMARY, ANSWER]) as house:
        item = (await _compacted(house))["output"][0]
        await house.reply(input=[gone, lone, item, user("two")])
    assert shown(house.upstream.prompts[1])[-1] == "user: two"


async def test_sources_of_what_was_compacted_keep_their_numbers(tmp_path: Path) -> None:
    turn = [*call("web_search", "ducks"), Finished(usage=usage(90, 20))]
    cited = [*say("Ducks swim 【2】."), *ANSWER[-1:]]
    async with harness(tmp_path, [turn, SUMMARY, cited], [web_search()]) as house:
        response = await house.reply(input="one", tools=[WEB], context_management=SMALL)
    (annotation,) = response["output"][-1]["content"][0]["annotations"]
    assert annotation["url"] == "https://example.com/b"


async def test_images_that_wait_for_an_answer_stay_and_become_a_note_later(tmp_path: Path) -> None:
    async with harness(tmp_path, [say(LONG), SUMMARY, ANSWER, ANSWER]) as house:
        first = await house.reply(input="one")
        picture = [{"role": "user", "content": [{"type": "input_text", "text": "what is this?"}, IMAGE]}]
        second = await house.reply(input=picture, previous_response_id=first["id"], context_management=SMALL)
        await house.reply(input="three", previous_response_id=second["id"])
    now, later = house.upstream.prompts[2].items[2], house.upstream.prompts[3].items[2]
    assert isinstance(now, Message) and isinstance(now.content[1], InputImage)
    assert "[An image]" in str(later)


async def test_of_the_users_messages_the_last_are_kept_and_the_developers_all(tmp_path: Path) -> None:
    items = [
        {"role": "developer", "content": "rules " * 50},
        *(user(f"{number} {'x' * 60}") for number in range(4)),
        {"role": "assistant", "content": LONG},
        user("now"),
    ]
    async with harness(tmp_path, [SUMMARY, ANSWER]) as house:
        await house.reply(input=items, context_management=SMALL)
    roles = [line.split(" ")[:2] for line in shown(house.upstream.prompts[1])]
    assert roles == [
        ["developer:", "rules"],
        ["user:", "2"],
        ["user:", "3"],
        ["summary:", "[Earlier"],
        ["user:", "now"],
    ]


async def test_a_context_too_long_for_the_summary_is_summarised_in_its_later_part(tmp_path: Path) -> None:
    overflow = UpstreamError("Too long.", status=400, code="context_length_exceeded")
    items = [user("one"), {"role": "assistant", "content": LONG}, user("two"), {"role": "assistant", "content": "x"}]
    async with harness(tmp_path, [[overflow], SUMMARY, ANSWER]) as house:
        await house.reply(input=[*items, user("three")], context_management=SMALL)
    assert len(house.upstream.prompts[1].items) < len(house.upstream.prompts[0].items)


@pytest.mark.parametrize(
    "turn", [[UpstreamError("Broken.", status=502, type="server_error")], [Finished()], [*say(" "), Finished()]]
)
async def test_without_a_summary_the_response_fails_and_holds_no_compaction(tmp_path: Path, turn: list[Step]) -> None:
    async with harness(tmp_path, [say(LONG), turn]) as house:
        first = await house.reply(input="one")
        events = await house.events(input="two", previous_response_id=first["id"], context_management=SMALL)
    assert [event["type"] for event in events[2:]] == ["error", "response.failed"]
    assert events[-1]["response"]["output"] == []


async def test_a_summary_is_plain_text_whatever_the_request_asks_for(tmp_path: Path) -> None:
    items = [user("one"), {"role": "assistant", "content": LONG}, user("two")]
    format = {"format": {"type": "json_object"}}
    async with harness(tmp_path, [SUMMARY, ANSWER], [web_search()]) as house:
        await house.reply(input=items, context_management=SMALL, text=format, tools=[WEB], tool_choice="required")
    asked, answered = house.upstream.prompts
    assert (asked.request.text.format.type, asked.functions, asked.choice) == ("text", (), "auto")
    assert (answered.request.text.format.type, answered.choice) == ("json_object", "required")
    assert not any(isinstance(item, FunctionCallOutput) for item in answered.items)


async def _compacted(house: Harness) -> dict[str, Any]:
    items = [user("one"), {"role": "assistant", "content": "ducks"}, {"type": "compaction_trigger"}]
    return await house.reply(input=items)
