"""Python's clients, black-box: each has the same conversation with the running server, streaming and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types.responses import ParsedResponse
from pydantic import BaseModel

from e2e.clients import agents_sdk, langchain_package, llm_package, openai_package, pydantic_ai_package, script
from e2e.servers import Model, Server, say

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

CLIENTS: list[Callable[[script.Place], script.Talk]] = [
    openai_package.Sync,
    openai_package.Async,
    openai_package.Stateless,
    openai_package.Socket,
    agents_sdk.Agents,
    agents_sdk.AgentsSocket,
    langchain_package.LangChain,
    langchain_package.LangChainById,
    llm_package.Llm,
    pydantic_ai_package.PydanticAI,
]


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
async def test_two_turns_with_all_three_tools(
    client: Callable[[script.Place], script.Talk], streaming: bool, server: Server, model: Model, store: str
) -> None:
    container = server.client.containers.create(name="named").id
    place = script.Place(f"{server.url}/v1", store, container, streaming)
    talk = client(place)
    try:
        await script.converse(talk, server, model)
    finally:
        if isinstance(talk, openai_package.Socket):
            await talk.aclose()


class Report(BaseModel):
    keeper: str
    sum: int


@pytest.mark.parametrize("streaming", [False, True], ids=["parse", "stream"])
def test_answers_are_parsed_after_all_three_tools(streaming: bool, server: Server, model: Model, store: str) -> None:
    """Structured output: what the model cites is no part of it."""
    place = script.Place(f"{server.url}/v1", store, "", streaming)
    calls, _, more_calls, _ = script.turns()
    model.plays(calls, say('{"keeper": "Ingrid Solvang【1】", "sum": 42}'), more_calls, say('{"keeper":"x","sum":82}'))
    request: dict[str, Any] = {"model": "any", "tools": place.tools, "text_format": Report}

    def ask(question: str, previous: str | None = None) -> ParsedResponse[Report]:
        if not streaming:
            return server.client.responses.parse(input=question, previous_response_id=previous, **request)
        with server.client.responses.stream(input=question, previous_response_id=previous, **request) as stream:
            return stream.get_final_response()

    first = ask(script.QUESTIONS[0])
    second = ask(script.QUESTIONS[1], first.id)
    assert (first.output_parsed, second.output_parsed) == (
        Report(keeper="Ingrid Solvang", sum=42),
        Report(keeper="x", sum=82),
    )
    for response in (first, second):
        assert [item.type.removesuffix("_call") for item in response.output] == [*script.KINDS, "message"]
