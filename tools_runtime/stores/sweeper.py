"""Deletes what has expired, in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from tools_runtime.stores.connections import Unavailable

_log = logging.getLogger(__name__)

Task = Callable[[float], Awaitable[None]]
"""Deletes what has expired by a time in seconds since 1970: some at a time, so that nobody waits long to write."""


class Sweeper:
    """Does all ``tasks``, one after another, every ``seconds``. Until then what has expired is there but refused: each
    reader of it looks at the time, too. One that fails keeps no other from its work."""

    def __init__(self, tasks: Sequence[Task], *, seconds: float) -> None:
        self._tasks = tasks
        self._seconds = seconds
        self._working: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._working = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def sweep(self, now: float) -> None:
        """Deletes what has expired by ``now``, in seconds since 1970."""
        for task in self._tasks:
            try:
                await task(now)
            except Unavailable:
                return  # which the database has said
            except Exception:
                _log.exception("deleting what has expired failed")

    async def _work(self) -> None:
        while True:
            await self.sweep(time.time())
            await asyncio.sleep(self._seconds)
