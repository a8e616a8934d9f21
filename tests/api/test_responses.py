"""``/v1/responses`` as OpenAI's own client and raw connections see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from harness import decode, harness
from harness.scenarios import ANSWER, SCENARIOS, WEATHER, WEB, Scenario, call, say
from harness.server import serving
from harness.tools import FakeTool, web_search
from openai import OpenAI
from starlette.requests import ClientDisconnect

from tools_runtime.api.responses import EventStream
from tools_runtime.engine.view import View
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Message, WebSearchCall
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.tools import HostedCall
from tools_runtime.upstreams import TextDelta
from tools_runtime.upstreams.scripted import Step

HELLO = [*say("Hello there."), *ANSWER[-1:]]


async def test_openais_client_reads_a_plain_reply(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO]) as served:
        response = await served.client.responses.create(model="any", input="hi", metadata={"a": "b"})
    assert response.output_text == "Hello there."
    assert (response.status, response.model, response.metadata) == ("completed", "any", {"a": "b"})
    assert response.usage is not None and response.usage.total_tokens == 33


async def test_openais_blocking_client_does_too(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, HELLO]) as served:

        def work() -> tuple[str, str]:
            with OpenAI(base_url=served.url, api_key="none") as client:
                plain = client.responses.create(model="any", input="hi").output_text
                with client.responses.stream(model="any", input="hi") as stream:
                    return plain, stream.get_final_response().output_text

        assert await asyncio.to_thread(work) == ("Hello there.", "Hello there.")


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.status == "completed"], ids=lambda scenario: scenario.name
)
async def test_openais_streaming_helper_ends_with_what_is_stored(scenario: Scenario, tmp_path: Path) -> None:
    async with serving(tmp_path, scenario.turns, scenario.tools(), **scenario.limits) as served:
        async with served.client.responses.stream(model="any", input="hi", **scenario.request) as stream:
            final = await stream.get_final_response()
        include = scenario.request.get("include", [])
        stored = await served.client.responses.retrieve(final.id, include=include)
    assert [item.to_dict() for item in stored.output] == [_unparsed(item.to_dict()) for item in final.output]
    assert stored.usage == final.usage and stored.status == "completed"


async def test_a_stream_arrives_while_the_model_writes(tmp_path: Path) -> None:
    more = asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        yield TextDelta("first")
        await more.wait()
        yield TextDelta(" second")

    async with serving(tmp_path, script) as served:
        deltas = []
        async for event in await served.client.responses.create(model="any", input="hi", stream=True):
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
                more.set()
    assert deltas == ["first", " second"]


async def test_deltas_are_padded_unless_the_client_says_no(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, HELLO]) as served, aiohttp.ClientSession() as http:
        body: dict[str, Any] = {"input": "hi", "stream": True}
        padded = await _events(http, served.url, body)
        bare = await _events(http, served.url, body | {"stream_options": {"include_obfuscation": False}})
    texts = [event for event in padded if event["type"] == "response.output_text.delta"]
    assert {len(event["delta"] + event["obfuscation"]) % 16 for event in texts} == {0}
    assert not [event for event in bare if "obfuscation" in event]


# --- what a response goes on from ------------------------------------------------------------------------------------


async def test_a_response_goes_on_from_the_previous_one(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, HELLO, HELLO]) as served:
        first = await served.client.responses.create(model="any", input="one", instructions="Be brief.")
        second = await served.client.responses.create(model="any", input="two", previous_response_id=first.id)
        await served.client.responses.create(model="any", input="three", previous_response_id=second.id)
        prompt = served.house.upstream.prompts[-1]
    assert _texts(prompt) == ["one", "Hello there.", "two", "Hello there.", "three"]
    assert prompt.instructions is None, "instructions are not carried over"


async def test_a_function_is_answered_in_the_next_request(tmp_path: Path) -> None:
    async with serving(tmp_path, [call("weather", '{"city":"Ghent"}'), ANSWER]) as served:
        tools: Any = [WEATHER]
        first = await served.client.responses.create(model="any", input="Rain?", tools=tools)
        output: Any = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "Rain."}
        second = await served.client.responses.create(
            model="any", input=[output], tools=tools, previous_response_id=first.id
        )
        shown = served.house.upstream.prompts[-1].items
    assert second.output_text == "Done."
    assert isinstance(shown[1], FunctionCall) and shown[1].arguments == '{"city":"Ghent"}'
    assert isinstance(shown[2], FunctionCallOutput) and shown[2].output == "Rain."


async def test_a_client_may_send_the_whole_output_back_instead(tmp_path: Path) -> None:
    turns = [[*call("web_search", "x", "a")], [*say("Yes【1】."), *call("weather", "{}", "b")], ANSWER]
    async with serving(tmp_path, turns, [web_search()]) as served:
        tools: Any = [WEB, WEATHER]
        first = await served.client.responses.create(model="any", input="?", tools=tools, store=False)
        history: Any = [{"role": "user", "content": "?"}, *(item.to_dict() for item in first.output)]
        history.append({"type": "function_call_output", "call_id": "b", "output": "Rain."})
        second = await served.client.responses.create(model="any", input=history, tools=tools, store=False)
        shown = served.house.upstream.prompts[-1].items
    assert second.output_text == "Done."
    assert [item.type for item in shown] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
        "function_call",
        "function_call_output",
    ]


async def test_an_item_may_be_named_instead_of_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, HELLO]) as served:
        first = await served.client.responses.create(model="any", input="one")
        reference: Any = {"type": "item_reference", "id": first.output[0].id}
        await served.client.responses.create(model="any", input=[reference, {"role": "user", "content": "two"}])
        assert _texts(served.house.upstream.prompts[-1]) == ["Hello there.", "two"]


# --- stored responses ------------------------------------------------------------------------------------------------


async def test_hidden_fields_are_kept_and_shown_to_those_who_ask(tmp_path: Path) -> None:
    async with serving(tmp_path, [call("web_search", "x"), ANSWER], [web_search()]) as served:
        tools: Any = [WEB]
        made = await served.client.responses.create(model="any", input="?", tools=tools)
        bare = await served.client.responses.retrieve(made.id)
        full = await served.client.responses.retrieve(made.id, include=["web_search_call.action.sources"])
    assert made.to_dict() == bare.to_dict()
    assert "sources" not in bare.output[0].to_dict()["action"]
    assert full.output[0].action.sources[0].url == "https://www.example.org/a"


async def test_input_items_are_listed_in_pages(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO, HELLO]) as served:
        first = await served.client.responses.create(model="any", input="one")
        items: Any = [{"role": "user", "content": text} for text in ("two", "three")]
        second = await served.client.responses.create(model="any", input=items, previous_response_id=first.id)
        pages = served.client.responses.input_items.list(second.id, limit=2, order="asc")
        texts = [item.content[0].text async for item in pages]
        newest = await served.client.responses.input_items.list(second.id, limit=1)
    assert texts == ["one", "Hello there.", "two", "three"]
    assert newest.data[0].content[0].text == "three" and newest.has_more


async def test_a_deleted_response_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO]) as served:
        made = await served.client.responses.create(model="any", input="one")
        await served.client.responses.delete(made.id)
        for attempt in (
            served.client.responses.retrieve(made.id),
            served.client.responses.delete(made.id),
            served.client.responses.create(model="any", input="two", previous_response_id=made.id),
        ):
            with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
                await attempt


async def test_a_response_that_is_not_to_be_stored_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path, [HELLO]) as served:
        made = await served.client.responses.create(model="any", input="one", store=False)
        with pytest.raises(openai.NotFoundError):
            await served.client.responses.retrieve(made.id)


async def test_a_failed_response_is_kept_with_its_error(tmp_path: Path) -> None:
    scenario = next(s for s in SCENARIOS if s.name == "upstream dies in mid-stream")
    async with serving(tmp_path, scenario.turns, scenario.tools()) as served, aiohttp.ClientSession() as http:
        events = await _events(http, served.url, {"input": "hi", "stream": True} | scenario.request)
        stored = await served.client.responses.retrieve(events[-1]["response"]["id"])
    assert stored.status == "failed" and stored.completed_at is None
    assert stored.error is not None and stored.error.message == "The model server died."
    assert [(item.type, item.status) for item in stored.output] == [
        ("reasoning", None),
        ("message", "completed"),
        ("function_call", "incomplete"),
        ("code_interpreter_call", "incomplete"),
    ]


# --- hanging up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_hanging_up_stops_the_model(tmp_path: Path, stream: bool) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        begun.set()
        try:
            while True:
                yield TextDelta("on and ")
                await asyncio.sleep(0.001)
        finally:
            stopped.set()

    async with serving(tmp_path, script) as served, aiohttp.ClientSession() as http:
        request = asyncio.create_task(_events(http, served.url, {"input": "hi", "stream": stream}))
        await begun.wait()
        request.cancel()
        await stopped.wait()


async def test_hanging_up_before_the_first_byte_stops_the_run(tmp_path: Path) -> None:
    async def script(prompt: Prompt) -> AsyncIterator[Step]:
        await asyncio.Future()
        yield TextDelta("never")

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()

    async def gone(message: Any) -> None:
        raise OSError("the client is gone")

    async with harness(tmp_path, script) as house:
        running = await house.start()
        reply = EventStream(running, View(), obfuscate=False)
        with pytest.raises(ClientDisconnect):
            await reply({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, gone)
        await asyncio.wait([running.task])
        assert running.task.cancelled()


async def test_hanging_up_stops_the_tools(tmp_path: Path) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    class Endless(HostedCall):
        async def run(self, arguments: str) -> str:
            self.open()
            begun.set()
            try:
                return await asyncio.Future[str]()
            finally:
                stopped.set()

    tool = FakeTool("web_search", lambda emit, scope: Endless(emit, WebSearchCall(id="ws_1")))
    async with serving(tmp_path, [call("web_search", "x")], [tool]) as served, aiohttp.ClientSession() as http:
        request = asyncio.create_task(_events(http, served.url, {"input": "hi", "stream": True, "tools": [WEB]}))
        await begun.wait()
        request.cancel()
        await stopped.wait()
        with pytest.raises(asyncio.CancelledError):
            await request


async def _events(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with http.post(f"{url}/responses", json=body) as reply:
        data = await reply.read()
        assert reply.content_type == "text/event-stream"
        return decode(data)


def _texts(prompt: Prompt) -> list[str]:
    """The texts of the messages that the model was shown."""
    messages = [item for item in prompt.items if isinstance(item, Message)]
    return [part.text for message in messages for part in message.content]


def _unparsed(item: dict[str, Any]) -> dict[str, Any]:
    """An item without the fields that the client's helper adds."""
    if item["type"] == "message":
        item["content"] = [{k: v for k, v in part.items() if k != "parsed"} for part in item["content"]]
    return {name: value for name, value in item.items() if name != "parsed_arguments"}
