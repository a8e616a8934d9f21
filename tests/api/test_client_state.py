"""How clients keep state by this server: streams that are taken up again, and the Agents SDK's sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, OpenAIConversationsSession, OpenAIResponsesModel, RunConfig, Runner, SQLiteSession
from agents.memory import OpenAIResponsesCompactionSession
from harness.server import Served, serving

from tools_runtime.protocol.items import Message
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.upstreams import TextDelta
from tools_runtime.upstreams.scripted import Step

UNTRACED = RunConfig(tracing_disabled=True)


def echo(prompt: Prompt) -> Iterable[Step]:
    """Answers with how many messages the user has sent; of a summary, that it is one."""
    users = [item for item in prompt.items if isinstance(item, Message) and item.role == "user"]
    yield TextDelta(f"{len(users)} so far.")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, echo) as served:
        yield served


def agent(served: Served) -> Agent[Any]:
    return Agent(name="Keeper", model=OpenAIResponsesModel(model="gpt-4.1", openai_client=served.client))


async def test_the_stream_helper_takes_a_background_response_up_again(served: Served) -> None:
    async with served.client.responses.stream(model="m", input="hi", background=True) as stream:
        async for event in stream:
            if event.type == "response.created":
                id = event.response.id
            if event.sequence_number == 3:
                break
    async with served.client.responses.stream(response_id=id, starting_after=3) as stream:
        assert (await stream.get_final_response()).output_text == "1 so far."
    async with served.client.responses.stream(response_id=id) as stream:
        assert (await stream.get_final_response()).output_text == "1 so far."


async def test_a_session_of_the_agents_sdk_is_a_conversation(served: Served) -> None:
    session = OpenAIConversationsSession(openai_client=served.client)
    for number in (1, 2):
        result = await Runner.run(agent(served), "Go on.", session=session, run_config=UNTRACED)
        assert result.final_output == f"{number} so far."
    assert len(await session.get_items()) == 4
    popped = await session.pop_item()
    assert popped is not None and popped["role"] == "assistant"  # type: ignore[typeddict-item]
    assert len(await session.get_items()) == 3
    await session.clear_session()
    assert await session.get_items() == []


async def test_a_session_of_the_agents_sdk_is_compacted(served: Served) -> None:
    session = OpenAIResponsesCompactionSession(
        session_id="s",
        underlying_session=SQLiteSession("s"),
        client=served.client,
        should_trigger_compaction=lambda _: True,
    )
    for _ in range(2):
        await Runner.run(agent(served), "Go on.", session=session, run_config=UNTRACED)
    assert (await session.get_items())[-1]["type"] == "compaction"  # type: ignore[typeddict-item]
    result = await Runner.run(agent(served), "And now?", session=session, run_config=UNTRACED)
    assert "so far" in result.final_output


async def test_the_agents_sdk_goes_on_in_a_conversation_and_from_a_response(served: Served) -> None:
    talk = (await served.client.conversations.create()).id
    for number in (1, 2):
        result = await Runner.run(agent(served), "Go on.", conversation_id=talk, run_config=UNTRACED)
        assert result.final_output == f"{number} so far."
    first = await Runner.run(agent(served), "Begin.", auto_previous_response_id=True, run_config=UNTRACED)
    second = await Runner.run(agent(served), "Go on.", previous_response_id=first.last_response_id, run_config=UNTRACED)
    assert second.final_output == "2 so far."
