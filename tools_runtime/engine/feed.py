"""The events of background responses, for readers in any process: from the database, where they are written before
anybody can read them, so that no reader knows of one that a crash has unsaid."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from weakref import WeakValueDictionary

from tools_runtime.protocol.codec import load_event
from tools_runtime.protocol.events import Event
from tools_runtime.stores.events import EventStore

_BATCH = 100
"""Events that are read at once; a slow reader holds no more of them."""


class Feed:
    """Follows responses. Who writes events in this process says so (``notify``); what others write is looked for every
    ``poll_seconds``."""

    def __init__(self, events: EventStore, *, poll_seconds: float) -> None:
        self.events = events
        self._poll_seconds = poll_seconds
        self._bells: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def notify(self, response_id: str) -> None:
        """There are new events, or there will be none."""
        if (bell := self._bells.get(response_id)) is not None:
            bell.set()

    async def follow(
        self, owner: str, response_id: str, after: int = -1, idle_seconds: float | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        """As ``EventLog.follow``: batches of events behind sequence number ``after``, to the end; an empty one when
        nothing has come for ``idle_seconds``."""
        bell = self._bells.setdefault(response_id, asyncio.Event())
        heard = time.monotonic()
        while True:
            # Readers share the bell: one that is cleared while another reads is made up for by the next poll.
            bell.clear()
            batch, ended = await self.events.after(owner, response_id, after, _BATCH)
            if batch:
                after, heard = batch[-1].number, time.monotonic()
                yield [load_event(event.data) for event in batch]
            if ended:
                return
            if not batch:
                await self._wait(bell)
            if idle_seconds is not None and time.monotonic() - heard >= idle_seconds:
                heard = time.monotonic()
                yield ()

    async def ended(self, owner: str, response_id: str) -> None:
        """Returns when the response's run has ended."""
        async for _ in self.follow(owner, response_id):
            pass

    async def _wait(self, bell: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await bell.wait()
        except TimeoutError:
            pass
