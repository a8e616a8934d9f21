"""The engine: takes requests, runs them as tasks, and lets them be cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tools_runtime.engine.log import EventLog
from tools_runtime.engine.prepare import Preparer
from tools_runtime.engine.run import Archive, Limits, Run
from tools_runtime.protocol.request import CreateResponse


@dataclass(frozen=True)
class Running:
    """A run that has been started. Its log can be read by anyone, at any time."""

    log: EventLog
    task: asyncio.Task[None]

    def cancel(self) -> None:
        """Stops the model, the searches and the cells. Does nothing when the run has ended."""
        self.task.cancel()


class Engine:
    """Starts runs and keeps hold of them until they end."""

    def __init__(self, preparer: Preparer, archive: Archive, limits: Limits) -> None:
        self._preparer = preparer
        self._archive = archive
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, request: CreateResponse, owner: str) -> Running:
        """Begins a run. Raises ``ApiError`` for a request that is refused."""
        prepared = await self._preparer.prepare(request, owner)
        task = asyncio.create_task(Run(prepared, self._archive, self._limits).execute())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Running(prepared.log, task)

    async def aclose(self) -> None:
        """Cancels what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
