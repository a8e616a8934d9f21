"""Python's clients, black-box: each has the same conversation with the running server, streaming and not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e2e.clients import agents_sdk, langchain_package, llm_package, openai_package, pydantic_ai_package, script
from e2e.servers import Model, Server

pytestmark = [pytest.mark.docker, pytest.mark.live_stack]

CLIENTS: list[Callable[[script.Place], script.Talk]] = [
    openai_package.Sync,
    openai_package.Async,
    openai_package.Stateless,
    agents_sdk.Agents,
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
    await script.converse(client(place), server, model)
