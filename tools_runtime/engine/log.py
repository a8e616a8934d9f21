"""The event log of one run. Replies, streams, and what records background runs, are all readers of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from tools_runtime.engine.accumulator import Accumulator
from tools_runtime.errors import ApiError
from tools_runtime.protocol.events import TERMINAL, DeltaEvent, Event
from tools_runtime.protocol.response import Response

_BATCH = 500
"""Events that a reader is given at once, so that a slow one holds no more of them."""
_EVENT_BYTES = 1000
"""What an event takes in memory, without the text of its delta."""


class EventLog:
    """Numbered events, from ``response.created`` to the terminal one. It has one reader at a time, and holds what that
    one has not taken yet: a run may tell much more than is to be kept of it."""

    def __init__(self, response: Response) -> None:
        self.accumulator = Accumulator(response)
        self.error: ApiError | None = None
        """Why the run failed, if it did: the reply to a client that does not stream."""
        self._unread: deque[Event] = deque()
        self._unread_bytes = 0
        self._told = 0
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False
        self._silent = False

    @property
    def response(self) -> Response:
        return self.accumulator.response

    def __len__(self) -> int:
        """How many events there have been."""
        return self._told

    def append(self, event: Event) -> None:
        """Numbers, folds and publishes an event."""
        self.accumulator.fold(event)
        self._told += 1
        if isinstance(event, TERMINAL):
            self._ended = True
        if self._silent and not self._ended:
            return
        self._unread.append(event)
        self._unread_bytes += _weight(event)
        self._news.set()

    def abandon(self) -> None:
        """Lets the reader go without a terminal event: the run was cancelled and nobody is to be told more."""
        self._ended = True
        self._news.set()

    def take(self) -> Sequence[Event]:
        """The oldest events that nobody has taken yet; they are forgotten here."""
        batch = [self._unread.popleft() for _ in range(min(len(self._unread), _BATCH))]
        self._unread_bytes -= sum(map(_weight, batch))
        self._taken.set()
        return batch

    async def room(self, most: int) -> None:
        """Returns when the events that nobody has taken yet have at most so many bytes."""
        while self._unread_bytes > most:
            self._taken.clear()
            await self._taken.wait()

    async def follow(self, idle_seconds: float | None = None) -> AsyncIterator[Sequence[Event]]:
        """Batches of events: those that are there, then those that come, to the end. An empty batch says that nothing
        has come for ``idle_seconds``."""
        while True:
            if batch := self.take():
                yield batch
            elif self._ended:
                return
            else:
                self._news.clear()
                try:
                    async with asyncio.timeout(idle_seconds):
                        await self._news.wait()
                except TimeoutError:
                    yield ()

    async def finished(self) -> Response:
        """The final response; this is a reader, too, for whom events before the last are not kept. Raises the run's
        error if it failed."""
        self._silent = True
        async for _ in self.follow():
            pass
        if self.error is not None:
            raise self.error
        return self.response


def _weight(event: Event) -> int:
    return _EVENT_BYTES + (len(event.delta) if isinstance(event, DeltaEvent) else 0)
