"""``openai-agents``: the runner goes on by replaying what ``to_input_list`` gives; by HTTP or WebSocket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import agents
from openai import AsyncOpenAI

from e2e.clients.script import INCLUDE, Answer, Place, from_output


class Agents:
    memory: Literal["calls"] = "calls"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._items: list[Any] = []

    async def ask(self, question: str) -> Answer:
        async with (
            AsyncOpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client,
            self._model(client) as model,
        ):
            result = await self._run(self._agent(model), [*self._items, {"role": "user", "content": question}])
        self._items = result.to_input_list()
        shown = [item.raw_item.model_dump() for item in result.new_items]
        answer = from_output(shown)
        assert answer.text == result.final_output
        return answer

    @contextlib.asynccontextmanager
    async def _model(self, client: AsyncOpenAI) -> AsyncIterator[agents.Model]:
        yield agents.OpenAIResponsesModel(model="any", openai_client=client)

    def _agent(self, model: agents.Model) -> agents.Agent[None]:
        return agents.Agent(
            name="keeper",
            model=model,
            model_settings=agents.ModelSettings(response_include=INCLUDE),
            tools=[
                agents.FileSearchTool(vector_store_ids=[self._place.store], include_search_results=True),
                agents.WebSearchTool(),
                agents.CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
            ],
        )

    async def _run(self, agent: agents.Agent[None], input_: list[Any]) -> Any:
        config = agents.RunConfig(tracing_disabled=True)
        if not self._place.streaming:
            return await agents.Runner.run(agent, input_, run_config=config)
        result = agents.Runner.run_streamed(agent, input_, run_config=config)
        names = [event.name async for event in result.stream_events() if event.type == "run_item_stream_event"]
        assert names == ["tool_called"] * 3 + ["message_output_created"], names
        return result


class AgentsSocket(Agents):
    @contextlib.asynccontextmanager
    async def _model(self, client: AsyncOpenAI) -> AsyncIterator[agents.Model]:
        provider = agents.OpenAIProvider(openai_client=client, use_responses=True, use_responses_websocket=True)
        yield provider.get_model("any")
        await provider.aclose()
