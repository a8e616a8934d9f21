"""Writes down what happens in a background run, as it happens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from tools_runtime.engine.archive import dump_events, stored_response
from tools_runtime.engine.conclusion import Conclusion
from tools_runtime.engine.feed import Feed
from tools_runtime.engine.prepare import Prepared
from tools_runtime.protocol.events import TERMINAL
from tools_runtime.stores import Lease
from tools_runtime.stores.runs import RunStore

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class LeaseLost(Exception):
    """Somebody else has taken the run over, or may."""


class Recorder:
    """A reader of one run's log that stores each batch; the last one in one transaction with the final response."""

    def __init__(self, runs: RunStore, feed: Feed, conclusion: Conclusion) -> None:
        self._runs = runs
        self._feed = feed
        self._conclusion = conclusion

    async def record(self, prepared: Prepared, lease: Lease) -> None:
        """Stores the events to the end of the log. Raises ``LeaseLost``."""
        async for batch in prepared.log.follow():
            events = dump_events(batch)
            if isinstance(batch[-1], TERMINAL):
                final, until = stored_response(prepared), self._conclusion.events_until()
                await self._write(lambda: self._runs.finish(lease, final, events, until))  # noqa: B023
            else:
                await self._write(lambda: self._runs.record(lease, events))  # noqa: B023
            self._feed.notify(lease.response_id)

    async def _write(self, write: Callable[[], Awaitable[bool]]) -> None:
        """A database that refuses, because its disk is full, say, is tried again for as long as a lease lasts. Until
        then nobody has read what is not stored."""
        until = time.monotonic() + self._runs.lease_seconds
        while True:
            try:
                held = await write()
            except Exception:
                logger.exception("events of a background response cannot be stored")
                if time.monotonic() > until:
                    raise LeaseLost from None
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if not held:
                    raise LeaseLost
                return
