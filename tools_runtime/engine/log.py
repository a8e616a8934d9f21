"""The event log of one run. Replies, streams, and what records background runs, are all readers of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from tools_runtime.engine.accumulator import Accumulator
from tools_runtime.errors import ApiError
from tools_runtime.protocol.events import TERMINAL, Event
from tools_runtime.protocol.response import Response


class EventLog:
    """Numbered events, from ``response.created`` to the terminal one."""

    def __init__(self, response: Response) -> None:
        self.accumulator = Accumulator(response)
        self.error: ApiError | None = None
        """Why the run failed, if it did: the reply to a client that does not stream."""
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._ended = False

    @property
    def response(self) -> Response:
        return self.accumulator.response

    @property
    def told(self) -> Sequence[Event]:
        """The events so far."""
        return tuple(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Numbers, folds and publishes an event."""
        self.accumulator.fold(event)
        self._events.append(event)
        if isinstance(event, TERMINAL):
            self._ended = True
        self._news.set()

    def abandon(self) -> None:
        """Lets readers go without a terminal event: the run was cancelled and nobody is to be told more."""
        self._ended = True
        self._news.set()

    async def follow(self, after: int = -1, idle_seconds: float | None = None) -> AsyncIterator[Sequence[Event]]:
        """Batches of events behind sequence number ``after``: those that are there, then those that come, to the end.
        An empty batch says that nothing has come for ``idle_seconds``."""
        position = after + 1
        while True:
            if position < len(self._events):
                batch = self._events[position:]
                position += len(batch)
                yield batch
            elif self._ended:
                return
            else:
                # Whoever waits already is woken by the next event all the same: clearing concerns those who come.
                self._news.clear()
                try:
                    async with asyncio.timeout(idle_seconds):
                        await self._news.wait()
                except TimeoutError:
                    yield ()

    async def finished(self) -> Response:
        """The final response. Raises the run's error if it failed."""
        while not self._ended:
            self._news.clear()
            await self._news.wait()
        if self.error is not None:
            raise self.error
        return self.response
