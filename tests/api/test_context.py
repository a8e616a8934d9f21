"""Counting and compacting contexts, as OpenAI's own client sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.scenarios import ANSWER, WEATHER, say
from harness.server import serving
from openai import BadRequestError

SUMMARY = [*say("About ducks."), *ANSWER[-1:]]


async def test_a_compacted_context_is_gone_on_from(tmp_path: Path) -> None:
    async with serving(tmp_path, [ANSWER, SUMMARY, ANSWER]) as served:
        first = await served.client.responses.create(model="m", input="one")
        compacted = await served.client.responses.compact(model="m", previous_response_id=first.id, input="two")
        assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
        assert (compacted.object, compacted.usage.total_tokens) == ("response.compaction", 33)
        items = [item.to_dict(warnings=False) for item in compacted.output]
        answer = await served.client.responses.create(model="m", input=[*items, {"role": "user", "content": "three"}])  # type: ignore[list-item]
    assert answer.output_text == "Done."
    texts = [item.content[0].text for item in served.house.upstream.prompts[2].items]  # type: ignore[union-attr]
    assert [text for text in texts if not text.startswith("[")] == ["one", "two", "three"]
    assert sum("About ducks." in text for text in texts) == 1


async def test_nothing_of_a_compaction_is_stored(tmp_path: Path) -> None:
    async with serving(tmp_path, [SUMMARY]) as served:
        compacted = await served.client.responses.compact(model="m", input=[{"role": "assistant", "content": "hi"}])
        with pytest.raises(BadRequestError, match="not found"):
            await served.client.responses.create(model="m", input="x", previous_response_id=compacted.id)


async def test_tokens_of_instructions_items_tools_and_history_are_counted(tmp_path: Path) -> None:
    async with serving(tmp_path, [ANSWER]) as served:
        count = served.client.responses.input_tokens.count
        small = await count(model="m", input="hi")
        assert (small.object, small.input_tokens) == ("response.input_tokens", 5)
        assert (await count(model="m", input="hi", instructions="Be brief.")).input_tokens > small.input_tokens
        assert (await count(model="m", input="hi", tools=[WEATHER])).input_tokens > small.input_tokens + 5  # type: ignore[list-item]
        assert 1000 < (await count(model="m", input="word " * 1000)).input_tokens < 1010
        first = await served.client.responses.create(model="m", input="word " * 50)
        assert (await count(model="m", input="hi", previous_response_id=first.id)).input_tokens > 55


async def test_null_is_nothing(tmp_path: Path) -> None:
    fields = ("conversation", "instructions", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools")
    nothing: Any = dict.fromkeys(fields)
    async with serving(tmp_path, [ANSWER, SUMMARY]) as served:
        assert (await served.client.responses.input_tokens.count(input="hi", **nothing)).input_tokens == 5
        first = await served.client.responses.create(model="m", input="one")
        compacted = await served.client.responses.compact(
            model="m", previous_response_id=first.id, input=None, instructions=None
        )
        assert compacted.output[-1].type == "compaction"


async def test_bad_bodies_are_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path, []) as served:
        with pytest.raises(BadRequestError) as refused:
            await served.client.responses.compact(model="m", input=[], extra_body={"tools": "none"})
        assert refused.value.param == "tools"
        with pytest.raises(BadRequestError) as refused:
            await served.client.responses.input_tokens.count(model="m", previous_response_id="resp_x")
        assert refused.value.param == "previous_response_id"
