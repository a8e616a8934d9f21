"""What cells cost in processor time, as the machine outside counts it: what runs inside may say anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sandbox import SandboxError, Session


class Meter:
    """Of one session. ``record`` is given the seconds as they are known, soon after each cell.

    The count is read beside the cells, not between them: some engines take a second for it. Where it cannot be read,
    because the session has ended, its last cells count as if they had kept all ``cpus`` busy for as long as they ran.
    """

    def __init__(self, session: Session, cpus: float, record: Callable[[float], None]) -> None:
        self._session = session
        self._cpus = cpus
        self._record = record
        self._counted = 0.0
        self._unread = 0.0
        self._reading: asyncio.Task[None] | None = None

    def ran(self, seconds: float) -> None:
        """A cell has ended that took ``seconds`` by the clock."""
        self._unread += seconds
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    async def settle(self) -> None:
        """Waits until all is recorded."""
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        await asyncio.sleep(0)  # after whoever waits for the cell
        while self._unread:
            seconds, self._unread = self._unread, 0.0
            try:
                counted = await self._session.cpu_seconds()
            except SandboxError:
                self._record(seconds * self._cpus)
            else:
                self._record(max(0.0, counted - self._counted))
                self._counted = max(counted, self._counted)
        self._reading = None
