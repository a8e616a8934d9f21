"""Runs: turns, hosted calls, limits, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Harness, harness
from harness.scenarios import ANSWER, DIED, FILES, WEATHER, WEB, call, say, usage
from harness.tools import FakeTool, file_search, web_search

from tools_runtime.engine.prepare import Prepared
from tools_runtime.errors import ApiError
from tools_runtime.protocol.events import HostedToolProgress
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Message, Reasoning, WebSearchCall
from tools_runtime.protocol.prompt import Forced, Prompt
from tools_runtime.tools import Emit, HostedCall, Scope
from tools_runtime.upstreams import Finished, ReasoningDelta, TextDelta, UpstreamError
from tools_runtime.upstreams.scripted import Step

SEARCH = call("web_search", "ducks")
THREE = [*call("web_search", "one", "a"), *call("web_search", "two", "b"), *call("web_search", "three", "c")]
OVERFLOW = UpstreamError("Too long.", status=400, code="context_length_exceeded")


class Searching(HostedCall):
    """A web search that opens its item and does what it is told."""

    item: WebSearchCall

    def __init__(self, emit: Emit, scope: Scope, work: Callable[[Searching, str], Awaitable[str]]) -> None:
        super().__init__(emit, WebSearchCall.model_validate({"id": f"ws_{id(self)}", "action": {"type": "search"}}))
        self._work = work

    async def run(self, arguments: str) -> str:
        return await self._work(self, arguments)


def tool(work: Callable[[Searching, str], Awaitable[str]]) -> FakeTool:
    return FakeTool("web_search", lambda emit, scope: Searching(emit, scope, work))


def outputs(prompt: Prompt) -> list[str]:
    """What the model was given of its calls."""
    return [str(item.output) for item in prompt.items if isinstance(item, FunctionCallOutput)]


async def searched(house: Harness, **body: Any) -> list[str]:
    """Runs a request with web search; returns the statuses of the response's items."""
    response = await house.reply(**{"tools": [WEB]} | body)
    return [item["status"] for item in response["output"]]


# --- turns -----------------------------------------------------------------------------------------------------------


async def test_usage_is_summed_over_turns(tmp_path: Path) -> None:
    turns = [[*SEARCH, Finished(usage=usage(10, 5, 2))], [*say("Done."), Finished(usage=usage(40, 7, 3))]]
    async with harness(tmp_path, turns, [web_search()]) as house:
        total = (await house.reply(tools=[WEB]))["usage"]
    assert (total["input_tokens"], total["output_tokens"], total["total_tokens"]) == (50, 12, 62)
    assert total["output_tokens_details"]["reasoning_tokens"] == 5


async def test_the_next_turn_shows_what_the_model_said_and_was_given(tmp_path: Path) -> None:
    turns: list[list[Step]] = [
        SEARCH,
        [ReasoningDelta("hm"), *say("Ducks swim【1】."), *call("web_search", "more", "b")],
        ANSWER,
    ]
    async with harness(tmp_path, turns, [web_search()]) as house:
        await house.reply(tools=[WEB])
        shown = house.upstream.prompts[-1].items
    kinds = ["message", "function_call", "function_call_output", "reasoning", "message", "function_call"]
    assert [item.type for item in shown] == [*kinds, "function_call_output"]
    assert isinstance(shown[3], Reasoning) and shown[3].content is not None and shown[3].content[0].text == "hm"
    assert isinstance(shown[4], Message) and shown[4].content[0].text == "Ducks swim【1】."  # type: ignore[union-attr]
    assert isinstance(shown[5], FunctionCall) and (shown[5].call_id, shown[5].arguments) == ("b", "more")


async def test_outputs_come_in_the_order_of_the_calls_whichever_ends_first(tmp_path: Path) -> None:
    gates = {"one": asyncio.Event(), "two": asyncio.Event(), "three": asyncio.Event()}
    order = iter(["two", "one"])

    async def work(searching: Searching, arguments: str) -> str:
        searching.open()
        if arguments != "three":
            await gates[arguments].wait()
        if following := next(order, None):
            gates[following].set()
        return arguments

    async with harness(tmp_path, [THREE, ANSWER], [tool(work)]) as house:
        assert await searched(house) == ["completed"] * 4
        assert outputs(house.upstream.prompts[1]) == ["one", "two", "three"]


@pytest.mark.parametrize("choice", ["required", {"type": "web_search"}])
async def test_a_forced_call_is_forced_once(tmp_path: Path, choice: Any) -> None:
    async with harness(tmp_path, [SEARCH, ANSWER], [web_search()]) as house:
        await house.reply(tools=[WEB], tool_choice=choice)
        first, second = (prompt.choice for prompt in house.upstream.prompts)
    assert first == ("required" if choice == "required" else Forced("web_search")) and second == "auto"


async def test_hosted_calls_beside_a_client_function_are_run_and_then_the_client_is_asked(tmp_path: Path) -> None:
    turn = [*call("weather", "{}", "a"), *SEARCH]
    async with harness(tmp_path, [turn], [web_search()]) as house:
        response = await house.reply(tools=[WEB, WEATHER])
    assert [(item["type"], item["status"]) for item in response["output"]] == [
        ("function_call", "completed"),
        ("web_search_call", "completed"),
    ]


async def test_a_call_of_no_function_is_answered_and_leaves_no_item(tmp_path: Path) -> None:
    async with harness(tmp_path, [call("rm", "{}"), ANSWER]) as house:
        response = await house.reply(tools=[WEATHER])
        assert outputs(house.upstream.prompts[1]) == ["There is no function named 'rm'."]
    assert [item["type"] for item in response["output"]] == ["message"]


async def test_json_answers_lose_their_markers(tmp_path: Path) -> None:
    answer = [TextDelta('{"ducks": "swim 【1】"}')]
    async with harness(tmp_path, [SEARCH, answer], [web_search()]) as house:
        response = await house.reply(tools=[WEB], text={"format": {"type": "json_object"}})
    assert response["output"][-1]["content"][0]["text"] == '{"ducks": "swim"}'
    assert response["output"][-1]["content"][0]["annotations"] == []


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_at_the_last_turn_hosted_tools_are_withdrawn(tmp_path: Path) -> None:
    async with harness(tmp_path, [SEARCH, SEARCH, ANSWER], [web_search()], max_turns=3) as house:
        assert await searched(house, tools=[WEB, WEATHER]) == ["completed"] * 3
        offered = [[function.name for function in prompt.functions] for prompt in house.upstream.prompts]
    assert offered == [["web_search", "weather"], ["web_search", "weather"], ["weather"]]


async def test_calls_beyond_the_limit_leave_no_item_and_the_model_is_told(tmp_path: Path) -> None:
    async with harness(tmp_path, [THREE, ANSWER], [web_search()]) as house:
        assert await searched(house, max_tool_calls=2) == ["completed"] * 3
        prompt = house.upstream.prompts[1]
    assert outputs(prompt)[2].startswith("No further tool calls are allowed.")
    assert prompt.functions == ()


async def test_the_limit_counts_calls_of_all_hosted_tools_but_not_the_clients(tmp_path: Path) -> None:
    turn = [*SEARCH, *call("file_search", "x", "b"), *call("weather", "{}", "c")]
    async with harness(tmp_path, [turn], [web_search(), file_search()]) as house:
        response = await house.reply(tools=[WEB, FILES, WEATHER], max_tool_calls=1)
    assert [item["type"] for item in response["output"]] == ["web_search_call", "function_call"]


async def test_tokens_are_a_limit_on_all_turns_together(tmp_path: Path) -> None:
    turns = [[*SEARCH, Finished(usage=usage(1, 6))], [*SEARCH, Finished(usage=usage(1, 4))]]
    async with harness(tmp_path, turns, [web_search()]) as house:
        response = await house.reply(tools=[WEB], max_output_tokens=10)
        assert [prompt.max_output_tokens for prompt in house.upstream.prompts] == [10, 4]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_a_long_output_is_cut(tmp_path: Path) -> None:
    async def work(searching: Searching, arguments: str) -> str:
        searching.open()
        return "x" * 1000

    async with harness(tmp_path, [SEARCH, ANSWER], [tool(work)], tool_output_chars=10) as house:
        await searched(house)
        assert outputs(house.upstream.prompts[1]) == ["x" * 10]


@pytest.mark.parametrize(("body", "at_once"), [({}, 2), ({"parallel_tool_calls": False}, 1)])
async def test_only_so_many_calls_run_at_once(tmp_path: Path, body: dict[str, Any], at_once: int) -> None:
    running: list[str] = []
    most = 0

    async def work(searching: Searching, arguments: str) -> str:
        nonlocal most
        searching.open()
        running.append(arguments)
        most = max(most, len(running))
        for _ in range(5):
            await asyncio.sleep(0)
        running.remove(arguments)
        return "x"

    async with harness(tmp_path, [THREE, ANSWER], [tool(work)], max_parallel_calls=2) as house:
        await searched(house, **body)
    assert most == at_once


# --- tools that misbehave --------------------------------------------------------------------------------------------


async def test_a_tool_that_takes_too_long_is_stopped_and_the_model_goes_on(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def work(searching: Searching, arguments: str) -> str:
        searching.open()
        try:
            return await asyncio.Future[str]()
        finally:
            stopped.set()

    async with harness(tmp_path, [SEARCH, ANSWER], [tool(work)], tool_seconds=0.01) as house:
        assert await searched(house) == ["failed", "completed"]
        assert outputs(house.upstream.prompts[1]) == ["The tool was stopped because it took longer than 0.01 seconds."]
    assert stopped.is_set()


async def _raises(searching: Searching, arguments: str) -> str:
    searching.open()
    raise RuntimeError("secret details")


async def _raises_before_it_opens(searching: Searching, arguments: str) -> str:
    raise RuntimeError("secret details")


async def _times_out_by_itself(searching: Searching, arguments: str) -> str:
    searching.open()
    raise TimeoutError


async def _writes_before_it_opens(searching: Searching, arguments: str) -> str:
    searching.emit(HostedToolProgress(type="response.web_search_call.searching", item_id=searching.item_id))
    return "never"


@pytest.mark.parametrize("work", [_raises, _raises_before_it_opens, _times_out_by_itself, _writes_before_it_opens])
async def test_a_tool_that_raises_leaves_a_failed_item_and_the_model_goes_on(tmp_path: Path, work: Any) -> None:
    async with harness(tmp_path, [SEARCH, ANSWER], [tool(work)]) as house:
        assert await searched(house) == ["failed", "completed"]
        assert outputs(house.upstream.prompts[1]) == ["The tool failed because of an internal error."]


async def test_a_tool_that_forgets_to_close_its_item_has_it_closed(tmp_path: Path) -> None:
    async def work(searching: Searching, arguments: str) -> str:
        searching.open()
        return "found"

    async with harness(tmp_path, [SEARCH, ANSWER], [tool(work)]) as house:
        assert await searched(house) == ["completed", "completed"]


async def test_a_tool_that_opens_no_item_leaves_none(tmp_path: Path) -> None:
    async def work(searching: Searching, arguments: str) -> str:
        return "found"

    async with harness(tmp_path, [SEARCH, ANSWER], [tool(work)]) as house:
        assert await searched(house) == ["completed"]
        assert outputs(house.upstream.prompts[1]) == ["found"]


# --- model servers that misbehave ------------------------------------------------------------------------------------


async def test_the_model_servers_refusal_is_passed_on(tmp_path: Path) -> None:
    refusal = UpstreamError("Bad temperature.", status=422, param="temperature", code="nope")
    async with harness(tmp_path, [[refusal]]) as house:
        with pytest.raises(ApiError) as raised:
            await house.reply()
    assert (raised.value.status, raised.value.param, raised.value.message) == (422, "temperature", "Bad temperature.")


async def test_an_unforeseen_failure_tells_nothing_of_the_server(tmp_path: Path) -> None:
    async with harness(tmp_path, [[RuntimeError("secret details")]]) as house:
        events = await house.events()
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert "secret" not in str(events)


async def test_usage_of_the_turns_before_a_failure_is_told(tmp_path: Path) -> None:
    async with harness(tmp_path, [[*SEARCH, Finished(usage=usage(10, 5))], [DIED]], [web_search()]) as house:
        events = await house.events(tools=[WEB])
    assert events[-1]["response"]["usage"]["total_tokens"] == 15


async def test_with_truncation_the_oldest_items_go_until_the_rest_fits(tmp_path: Path) -> None:
    def script(prompt: Prompt) -> list[Step]:
        return [OVERFLOW] if len(prompt.items) > 3 else ANSWER

    items = [{"role": "user", "content": str(number)} for number in range(10)]
    async with harness(tmp_path, script) as house:
        response = await house.reply(input=items, truncation="auto")
        assert [len(prompt.items) for prompt in house.upstream.prompts] == [10, 5, 3]
        with pytest.raises(ApiError, match="Too long"):
            await house.reply(input=items)
    assert response["status"] == "completed"


async def test_truncation_gives_up_when_nothing_is_left_to_drop(tmp_path: Path) -> None:
    async with harness(tmp_path, lambda prompt: [OVERFLOW]) as house:
        with pytest.raises(ApiError, match="Too long"):
            await house.reply(truncation="auto")


# --- storing and cancelling ------------------------------------------------------------------------------------------


async def test_the_response_is_stored_before_its_last_event_is_readable(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        running = await house.start()
        stored = [
            await house.responses.get("default", running.log.response.id)
            async for batch in running.log.follow()
            if batch[-1].type == "response.completed"
        ]
    assert stored[0] is not None and stored[0].status == "completed"


async def test_a_response_that_is_not_to_be_stored_leaves_nothing(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER]) as house:
        response = await house.reply(store=False)
        assert await house.responses.get("default", response["id"]) is None
        assert await house.responses.item("default", response["output"][0]["id"]) is None
    assert response["store"] is False


class BrokenArchive:
    async def save(self, prepared: Prepared) -> None:
        raise OSError("disk full")


async def test_a_response_that_cannot_be_stored_fails(tmp_path: Path) -> None:
    async with harness(tmp_path, [ANSWER], archive=BrokenArchive()) as house:
        events = await house.events()
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    final = events[-1]["response"]
    assert (final["status"], final["completed_at"]) == ("failed", None)
    assert len(final["output"]) == 1 and "disk" not in str(events)


async def test_a_model_is_held_up_while_nobody_reads(tmp_path: Path) -> None:
    said = 0

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        nonlocal said
        for _ in range(200):
            said += 1
            yield TextDelta("x" * 1000)

    async with harness(tmp_path, script, unread_bytes=100_000) as house:
        running = await house.start()
        while said < 40:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert said < 60
        response = await running.log.finished()
    assert response.status == "completed"
    assert response.output[0].content[0].text == "x" * 200_000  # type: ignore[union-attr]


async def test_cancelling_closes_the_model_call_and_lets_readers_go(tmp_path: Path) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        try:
            yield TextDelta("a")
            begun.set()
            await asyncio.Future()
        finally:
            closed.set()

    async with harness(tmp_path, script) as house:
        running = await house.start()
        await begun.wait()
        running.cancel()
        kinds = [event.type async for batch in running.log.follow() for event in batch]
        assert closed.is_set()
        assert await house.responses.get("default", running.log.response.id) is None
    assert kinds[-1] == "response.output_item.done", "open items are closed, but nobody is told that it is over"


async def test_cancelling_stops_every_tool(tmp_path: Path) -> None:
    begun = asyncio.Semaphore(0)
    stopped: list[str] = []

    async def work(searching: Searching, arguments: str) -> str:
        searching.open()
        begun.release()
        try:
            return await asyncio.Future[str]()
        finally:
            stopped.append(arguments)

    async with harness(tmp_path, [THREE], [tool(work)]) as house:
        running = await house.start(tools=[WEB])
        for _ in range(3):
            await begun.acquire()
        await house.engine.aclose()
        assert running.task.cancelled()
        assert [item.status for item in running.log.response.output] == ["incomplete"] * 3  # type: ignore[union-attr]
    assert sorted(stopped) == ["one", "three", "two"]
