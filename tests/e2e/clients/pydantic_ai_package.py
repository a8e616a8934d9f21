"""``pydantic-ai``: replays hosted calls by their ids, without what came of them."""

from __future__ import annotations

from typing import Any, Literal

from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelMessage
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.messages import NativeToolCallPart, NativeToolReturnPart, TextPart
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.native_tools import CodeExecutionTool, FileSearchTool, WebSearchTool
from pydantic_ai.providers.openai import OpenAIProvider

from e2e.clients.script import Answer, Citations, Place

_KINDS = {"code_execution": "code_interpreter"}


class PydanticAI:
    memory: Literal["calls"] = "calls"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._messages: list[ModelMessage] = []

    async def ask(self, question: str) -> Answer:
        async with AsyncOpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client:
            agent = self._agent(client)
            if self._place.streaming:
                async with agent.run_stream(question, message_history=self._messages) as run:
                    pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
                    assert len(pieces) > 1
                self._messages = run.all_messages()
            else:
                self._messages = (await agent.run(question, message_history=self._messages)).all_messages()
        return shown(self._messages[-1])

    def _agent(self, client: AsyncOpenAI) -> Agent[None, str]:
        settings = OpenAIResponsesModelSettings(
            openai_include_file_search_results=True,
            openai_include_web_search_sources=True,
            openai_include_code_execution_outputs=True,
            openai_include_raw_annotations=True,
            openai_send_reasoning_ids=True,  # without which it leaves out all hosted calls
        )
        model = OpenAIResponsesModel("any", provider=OpenAIProvider(openai_client=client), settings=settings)
        tools: list[Any] = [FileSearchTool(file_store_ids=[self._place.store]), WebSearchTool(), CodeExecutionTool()]
        return Agent(model, capabilities=[NativeTool(tool) for tool in tools])


def shown(message: ModelMessage) -> Answer:
    cited, calls, text, logs = Citations(), [], "", ""
    for part in message.parts:
        if isinstance(part, TextPart):
            text += part.content
            for annotation in (part.provider_details or {}).get("annotations", []):
                cited.add(annotation)
        elif isinstance(part, NativeToolCallPart):
            calls.append(_KINDS.get(part.tool_name, part.tool_name))
        elif isinstance(part, NativeToolReturnPart) and part.tool_name == "code_execution":
            logs += str(part.content)
    return Answer(text, calls, cited.urls, cited.files, cited.made, logs)
