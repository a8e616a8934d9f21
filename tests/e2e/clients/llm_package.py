"""``llm``, Simon Willison's: replays messages only. It has no file search of its own, but takes any hosted tool."""

from __future__ import annotations

import asyncio
from typing import Literal

import llm
from llm.default_plugins.openai_models import CodeInterpreter, Responses, WebSearch
from llm.parts import ToolCallPart

from e2e.clients.script import Answer, Place, from_output


class Llm:
    memory: Literal["messages"] = "messages"

    def __init__(self, place: Place) -> None:
        self._streaming = place.streaming
        model = Responses(model_id="any", model_name="any", api_base=place.url)
        tools = [
            llm.ServerSideTool(place.tools[0]),
            WebSearch(include_sources=True),
            CodeInterpreter(container=place.container),
        ]
        self._conversation = model.conversation(tools=tools)

    async def ask(self, question: str) -> Answer:
        return await asyncio.to_thread(self._ask, question)

    def _ask(self, question: str) -> Answer:
        response = self._conversation.prompt(question, stream=self._streaming, key="none")
        text = "".join(response)
        run = [part for message in response.messages() for part in message.parts if isinstance(part, ToolCallPart)]
        assert [part.name for part in run] == ["web_search", "code_interpreter"]
        answer = from_output(response.json()["output"])
        assert answer.text == text
        return answer
