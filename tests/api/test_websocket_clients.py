"""The WebSocket by the clients that people use: the ``openai`` package and the Agents SDK, and with API keys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import agents
import harness.tools
import pytest
from harness.server import serving
from openai import AsyncOpenAI
from openai.types.responses import Response
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tools_runtime.api.auth import Keyring
from tools_runtime.protocol.items import FunctionCallOutput
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import CallArguments, CallStarted, TextDelta
from tools_runtime.upstreams.scripted import Step


def search_then_answer(prompt: Prompt) -> Iterable[Step]:
    """Searches the web once for each question, then tells how many searches it has seen."""
    if prompt.items and isinstance(prompt.items[-1], FunctionCallOutput):
        seen = sum(isinstance(item, FunctionCallOutput) for item in prompt.items)
        return [TextDelta(f"After {seen} searches"), TextDelta(" 【1】.")]
    return [CallStarted(f"call_{len(prompt.items)}", "web_search"), CallArguments(f"call_{len(prompt.items)}", "x")]


async def test_openai_package_in_two_lanes(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, search_then_answer, [harness.tools.web_search()]) as served,
        served.client.responses.connect() as connection,
    ):

        async def answers(*lanes: str) -> dict[str, Response]:
            found: dict[str, Response] = {}
            async for event in connection:
                assert event.type != "error", event
                if event.type == "response.completed":
                    assert event.stream_id is not None
                    found[event.stream_id] = event.response
                    if len(found) == len(lanes):
                        break
            return found

        for lane in ("a", "b"):
            await connection.response.create(stream_id=lane, store=False, input="one", tools=[{"type": "web_search"}])
        first = await answers("a", "b")
        assert first.keys() == {"a", "b"}
        assert [item.type for item in first["a"].output] == ["web_search_call", "message"]
        await connection.response.create(
            stream_id="a",
            store=False,
            input="two",
            tools=[{"type": "web_search"}],
            previous_response_id=first["a"].id,
        )
        second = (await answers("a"))["a"]
    assert second.output_text == "After 2 searches ([example.org](https://www.example.org/a))."


async def test_agents_sdk_with_a_function_and_a_hosted_tool(tmp_path: Path) -> None:
    def script(prompt: Prompt) -> Iterable[Step]:
        outputs = [str(item.output) for item in prompt.items if isinstance(item, FunctionCallOutput)]
        if not outputs:
            return [CallStarted("call_1", "add"), CallArguments("call_1", '{"a": 40, "b": 2}')]
        if len(outputs) == 1:
            return [CallStarted("call_2", "web_search"), CallArguments("call_2", "x")]
        return [TextDelta(f"It is {outputs[0]} 【1】.")]

    @agents.function_tool
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    async with serving(tmp_path, script, [harness.tools.web_search()]) as served:
        provider = agents.OpenAIProvider(openai_client=served.client, use_responses=True, use_responses_websocket=True)
        agent = agents.Agent[None](name="adder", model="any", tools=[add, agents.WebSearchTool()])
        config = agents.RunConfig(model_provider=provider, tracing_disabled=True)
        result = agents.Runner.run_streamed(agent, "What is 40 + 2?", run_config=config)
        names = [event.name async for event in result.stream_events() if event.type == "run_item_stream_event"]
        await provider.aclose()
    assert result.final_output == "It is 42 ([example.org](https://www.example.org/a))."
    assert names == ["tool_called", "tool_output", "tool_called", "message_output_created"]


async def test_keys_are_asked_for_in_the_handshake(tmp_path: Path) -> None:
    keyring = Keyring([SecretStr("alice:secret")])
    async with serving(tmp_path, lambda prompt: [TextDelta("ok")], keyring=keyring) as served:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws{served.url.removeprefix('http')}/responses"):
                pass
        assert refused.value.response.status_code == 401
        async with (
            AsyncOpenAI(base_url=served.url, api_key="secret", max_retries=0) as client,
            client.responses.connect() as connection,
        ):
            await connection.response.create(input="hi")
            while (event := await connection.recv()).type != "response.completed":
                assert event.type != "error"
