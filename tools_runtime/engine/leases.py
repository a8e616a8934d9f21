"""The leases of this process's runs: renewed while they run, and an end to the runs whose lease is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tools_runtime.stores import Lease
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.runs import RunStore

logger = logging.getLogger(__name__)


class Leases:
    """Renews three times in the time of a lease, and looks every ``poll_seconds`` whether each is still held: another
    process may have taken one over, because its response is cancelled or deleted."""

    def __init__(self, runs: RunStore, *, poll_seconds: float) -> None:
        self._runs = runs
        self._poll_seconds = poll_seconds
        self._held: dict[Lease, Callable[[], object]] = {}
        self._task: asyncio.Task[None] | None = None

    def hold(self, lease: Lease, lost: Callable[[], object]) -> None:
        """Renews the lease until ``drop``, which must come before it is given up in the database; calls ``lost`` once
        if somebody else has it."""
        self._held[lease] = lost
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def drop(self, lease: Lease) -> None:
        self._held.pop(lease, None)

    async def during(self, lease: Lease, run: Coroutine[Any, Any, None]) -> None:
        """Runs with the lease, and gives it up; cancelled when it is lost."""
        task = asyncio.current_task()
        assert task is not None
        self.hold(lease, task.cancel)
        try:
            await run
        finally:
            run.close()
            if lease in self._held:
                await self.release(lease)

    async def release(self, lease: Lease) -> None:
        """Ends a run of which nothing is kept."""
        self.drop(lease)
        await self._runs.release(lease)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._poll_seconds)
            if not (leases := [*self._held]):
                continue
            due = time.monotonic() - renewed >= self._runs.lease_seconds / 3
            try:
                held = await (self._runs.renew(leases) if due else self._runs.held(leases))
            except Unavailable:
                continue  # which the database has said
            except Exception:
                logger.exception("leases of runs cannot be looked after; it is tried again")
                continue
            renewed = time.monotonic() if due else renewed
            for lease in set(leases) - held:
                if (lost := self._held.pop(lease, None)) is not None:
                    lost()
