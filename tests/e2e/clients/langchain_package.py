"""``langchain-openai``: replays its own messages, or goes on by ``previous_response_id``."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI

from e2e.clients.script import INCLUDE, KINDS, Answer, Citations, Place


class LangChain:
    memory: Literal["calls"] = "calls"
    by_id = False

    def __init__(self, place: Place) -> None:
        self._place = place
        self._messages: list[BaseMessage] = []
        model = ChatOpenAI(
            model="any",
            base_url=place.url,
            api_key="none",
            max_retries=0,
            include=INCLUDE,
            output_version="responses/v1",
            use_previous_response_id=self.by_id,
        )
        self._model = model.bind_tools(place.tools)

    async def ask(self, question: str) -> Answer:
        self._messages.append(HumanMessage(question))
        # Its asynchronous transport is shared between event loops, of which each test has its own.
        message = await asyncio.to_thread(self._message)
        self._messages.append(message)
        return shown(message)

    def _message(self) -> AIMessage:
        if not self._place.streaming:
            return self._model.invoke(self._messages)
        whole: Any = None
        for chunk in self._model.stream(self._messages):
            whole = chunk if whole is None else whole + chunk
        return AIMessage(content=whole.content, response_metadata=whole.response_metadata, id=whole.id)


class LangChainById(LangChain):
    by_id = True


def shown(message: AIMessage) -> Answer:
    cited, calls, logs = Citations(), [], ""
    for block in message.content:
        assert isinstance(block, dict)
        if block["type"] == "text":
            for annotation in block.get("annotations", []):
                cited.add(annotation)
        elif block["type"].endswith("_call"):
            calls.append(block["type"].removesuffix("_call"))  # streamed: in the order in which they were done
            logs += "".join(output.get("logs", "") for output in block.get("outputs") or [])
    return Answer(message.text, sorted(calls, key=KINDS.index), cited.urls, cited.files, cited.made, logs)
