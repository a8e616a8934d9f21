"""``openai``: plain and streamed, sync and async, by WebSocket, through ``previous_response_id``, a conversation or
replay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

from e2e.clients.script import INCLUDE, Answer, Place, from_output


class Sync:
    """The synchronous client, with ``previous_response_id``; streamed by the ``stream`` helper."""

    memory: Literal["calls"] = "calls"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._previous: str | None = None

    async def ask(self, question: str) -> Answer:
        response = await asyncio.to_thread(self._ask, question)
        self._previous = response.id
        return from_output([item.to_dict() for item in response.output])

    def _ask(self, question: str) -> Response:
        with OpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client:
            request: dict[str, Any] = {
                "model": "any",
                "input": question,
                "tools": self._place.tools,
                "include": INCLUDE,
                "previous_response_id": self._previous,
            }
            if not self._place.streaming:
                return client.responses.create(**request)
            with client.responses.stream(**request) as stream:
                for event in stream:
                    if event.type == "response.output_text.delta":
                        assert event.snapshot.endswith(event.delta)
                return stream.get_final_response()


class Async:
    """The asynchronous client, with a conversation; streamed by ``stream=True``."""

    memory: Literal["calls"] = "calls"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._conversation: str | None = None

    async def ask(self, question: str) -> Answer:
        async with AsyncOpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client:
            if self._conversation is None:
                self._conversation = (await client.conversations.create()).id
            response = await self._response(client, question)
        return from_output([item.to_dict() for item in response.output])

    async def _response(self, client: AsyncOpenAI, question: str) -> Response:
        request: dict[str, Any] = {
            "model": "any",
            "input": question,
            "tools": self._place.tools,
            "include": INCLUDE,
            "conversation": self._conversation,
        }
        if not self._place.streaming:
            plain: Response = await client.responses.create(**request)
            return plain
        deltas, items = "", {}
        async for event in await client.responses.create(stream=True, **request):
            if event.type == "response.output_text.delta":
                deltas += event.delta
            elif event.type == "response.output_item.done":
                items[event.output_index] = event.item
            elif event.type == "response.completed":
                assert event.response.output_text == deltas
                assert event.response.output == [items[index] for index in sorted(items)]
                return event.response
        raise AssertionError("the stream has no response.completed")


class Stateless(Async):
    """``store: false``: all items are sent back in the next turn, as they came."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._items: list[Any] = []

    async def ask(self, question: str) -> Answer:
        self._items.append({"role": "user", "content": question})
        async with AsyncOpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client:
            request: dict[str, Any] = {
                "model": "any",
                "input": self._items,
                "tools": self._place.tools,
                "include": INCLUDE,
                "store": False,
            }
            if self._place.streaming:
                async with client.responses.stream(**request) as stream:
                    response: Response = await stream.get_final_response()
            else:
                response = await client.responses.create(**request)
        self._items += [item.to_dict() for item in response.output]
        return from_output([item.to_dict() for item in response.output])


class Socket:
    """The WebSocket. ``streaming``: nothing is stored, and one connection, which remembers, has both turns; otherwise
    each turn has its own connection."""

    memory: Literal["calls"] = "calls"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._previous: str | None = None
        self._stack = contextlib.AsyncExitStack()
        self._connection: Any = None

    async def ask(self, question: str) -> Answer:
        if not self._place.streaming:
            async with self._connected() as connection:
                return await self._ask(connection, question)
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(self._connected())
        return await self._ask(self._connection, question)

    async def aclose(self) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        async with (
            AsyncOpenAI(base_url=self._place.url, api_key="none", max_retries=0) as client,
            client.responses.connect() as connection,
        ):
            yield connection

    async def _ask(self, connection: Any, question: str) -> Answer:
        request: dict[str, Any] = {"model": "any", "input": question, "tools": self._place.tools, "include": INCLUDE}
        if self._previous is not None:
            request["previous_response_id"] = self._previous
        await connection.response.create(store=not self._place.streaming, **request)
        deltas = ""
        async for event in connection:
            assert event.type not in ("error", "response.failed"), event
            if event.type == "response.output_text.delta":
                deltas += event.delta
            elif event.type == "response.completed":
                assert event.response.output_text == deltas
                self._previous = event.response.id
                return from_output([item.to_dict() for item in event.response.output])
        raise AssertionError("the connection ended")
