"""The engine: takes requests, runs them as tasks, and lets them be cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tools_runtime.engine.admission import Admission
from tools_runtime.engine.leases import Leases
from tools_runtime.engine.log import EventLog
from tools_runtime.engine.prepare import Prepared
from tools_runtime.engine.recent import Recent
from tools_runtime.engine.run import Archive, Limits, Run
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.request import CreateResponse


@dataclass(frozen=True)
class Running:
    """A run that has been started. Its log is read by whoever has asked for it."""

    prepared: Prepared
    task: asyncio.Task[None]

    @property
    def log(self) -> EventLog:
        return self.prepared.log

    @property
    def items(self) -> list[Item]:
        """The whole chain as it is now: what the model was given, and this response's output."""
        return [*self.prepared.old_items, *self.prepared.new_items, *self.log.response.output]

    def cancel(self) -> None:
        """Stops the model, the searches and the cells. Does nothing when the run has ended."""
        self.task.cancel()


class Engine:
    """Starts runs and keeps hold of them until they end."""

    def __init__(self, admission: Admission, leases: Leases, archive: Archive, limits: Limits) -> None:
        self._admission = admission
        self._leases = leases
        self._archive = archive
        self._limits = limits
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self, request: CreateResponse, owner: str, recent: Recent | None = None, *, generate: bool = True
    ) -> Running:
        """Begins a run. Raises ``ApiError`` for a request that is refused. ``recent`` and ``generate``: as in
        ``Preparer.prepare``."""
        prepared = await self._admission.admit(request, owner, recent, generate=generate)
        run = Run(prepared, self._archive, self._limits).execute()
        task = asyncio.create_task(run if prepared.lease is None else self._leases.during(prepared.lease, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Running(prepared, task)

    async def aclose(self) -> None:
        """Cancels what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
