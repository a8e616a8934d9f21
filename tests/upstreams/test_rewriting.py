"""Queries rewritten by a model: what it says is used if it can be a query, and nothing that it does fails a search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import Delta, ReasoningDelta, TextDelta, UpstreamError
from tools_runtime.upstreams.rewriting import QueryRewriter
from tools_runtime.upstreams.router import Router
from tools_runtime.upstreams.scripted import ScriptedUpstream, Step

ASKED = "I'd like to know the height of the main office building."


async def rewritten(upstream: ScriptedUpstream, *queries: str, seconds: float = 30) -> list[str]:
    return await QueryRewriter(Router([(upstream, ("*",))]), seconds=seconds).rewritten(queries)


@pytest.mark.parametrize(
    ("steps", "query"),
    [
        ([TextDelta("main office "), TextDelta("height")], "main office height"),
        ([ReasoningDelta("Hm."), TextDelta(' Query: "office height"\n\nThis asks for…')], "office height"),
        ([TextDelta("")], ASKED),
        ([TextDelta("x" * 301)], ASKED),
        ([], ASKED),
        ([TextDelta("half"), UpstreamError("gone", status=502)], ASKED),
    ],
)
async def test_what_can_be_a_query_is_used(steps: list[Step], query: str):
    assert await rewritten(ScriptedUpstream([steps]), ASKED) == [query]


async def test_the_model_is_shown_the_query_and_bounded():
    def echo(prompt: Prompt) -> Iterable[Step]:
        return [TextDelta(str(prompt.items).partition("Message: ")[2].partition("\\n")[0].upper())]

    upstream = ScriptedUpstream(echo)
    assert await rewritten(upstream, "one", "two") == ["ONE", "TWO"]
    assert all((prompt.max_output_tokens or 0) > 0 and not prompt.functions for prompt in upstream.prompts)


async def test_a_slow_model_is_not_waited_for():
    async def never(prompt: Prompt) -> AsyncIterator[Delta]:
        await asyncio.Event().wait()
        yield TextDelta("late")

    assert await rewritten(ScriptedUpstream(lambda prompt: never(prompt)), ASKED, seconds=0.01) == [ASKED]


async def test_no_model_at_all():
    assert await QueryRewriter(Router([]), seconds=30).rewritten([ASKED]) == [ASKED]
