"""The upstream that plays a script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import Delta, Finished, TextDelta, UpstreamError
from tools_runtime.upstreams.scripted import ScriptedUpstream
from upstreams.prompts import collect, prompt, user


async def test_one_turn_after_the_other() -> None:
    upstream = ScriptedUpstream([[TextDelta("a")], [TextDelta("b"), Finished("length")]])
    first, second = prompt(), prompt(user("More."))
    assert await collect(upstream, first) == [TextDelta("a"), Finished()]
    assert await collect(upstream, second) == [TextDelta("b"), Finished("length")]
    assert upstream.prompts == [first, second]
    with pytest.raises(UpstreamError, match="no turn left"):
        await collect(upstream, prompt())


async def test_a_function_of_the_prompt() -> None:
    def answer(prompt: Prompt) -> list[Delta]:
        return [TextDelta(prompt.model)]

    async def answer_slowly(prompt: Prompt) -> AsyncIterator[Delta]:
        yield TextDelta(prompt.model)

    for script in (answer, answer_slowly):
        assert await collect(ScriptedUpstream(script), prompt()) == [TextDelta("m"), Finished()]


async def test_an_exception_midway() -> None:
    upstream = ScriptedUpstream([[TextDelta("a"), UpstreamError("gone"), TextDelta("b")]], pause=0.001)
    deltas = upstream.stream(prompt())
    assert await anext(deltas) == TextDelta("a")
    with pytest.raises(UpstreamError, match="gone"):
        await anext(deltas)
