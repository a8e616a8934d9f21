"""The warm pool: any driver, with sessions that are there before they are asked for, and a limit on their memory.

A warm session is handed out once. It never comes back: whoever got it closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Protocol

from sandbox import Sandbox, SandboxFull, SandboxUnavailable, Session, Spec

WATCH_SECONDS = 1.0
"""How often the pool looks for warm sessions that have died, and for room that has come free."""
FAILURE_SECONDS = 10.0
"""Pause after a warm session could not be started."""
RETRY_AFTER_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Driver(Sandbox, Protocol):
    """A sandbox that can be pooled."""

    def taken_bytes(self, spec: Spec) -> int:
        """The most that a session of this size can take of its machine's memory."""
        ...


class WarmPool:
    """``warm``: how many sessions of which size are kept ready. ``memory_bytes``: of all sessions, by their limits.

    At most half as many sessions as there are processors start at a time; those that somebody waits for go first.
    The pool begins to fill with ``sweep``.
    """

    def __init__(self, sandbox: Driver, warm: Mapping[Spec, int], memory_bytes: int) -> None:
        self.name = sandbox.name
        self._sandbox = sandbox
        self._warm = warm
        self._memory_bytes = memory_bytes
        parallel = max(1, (os.cpu_count() or 1) // 2)
        self._starts = asyncio.Semaphore(parallel)
        self._fillers: list[asyncio.Task[None]] = []
        self._parallel = parallel
        self._wanted = asyncio.Event()
        self._filled = asyncio.Event()
        self._made: list[tuple[Spec, Session]] = []
        self._idle: list[tuple[Spec, Session]] = []
        self._reserved: list[Spec] = []
        self._filling: list[Spec] = []

    @property
    def ready(self) -> int:
        """Sessions that are warm now."""
        return sum(session.alive for _, session in self._idle)

    async def create(self, spec: Spec) -> Session:
        session = self._take(spec) or await self._cold(spec)
        self._wanted.set()
        return session

    async def sweep(self) -> int:
        removed = await self._sandbox.sweep()
        if not self._fillers and any(self._warm.values()):
            self._fillers = [asyncio.create_task(self._fill()) for _ in range(self._parallel)]
        return removed

    async def probe(self) -> str:
        return await self._sandbox.probe()

    async def aclose(self) -> None:
        for filler in self._fillers:
            filler.cancel()
        await asyncio.gather(*self._fillers, return_exceptions=True)
        await asyncio.gather(*(session.close() for _, session in self._idle))
        await self._sandbox.aclose()

    def _take(self, spec: Spec) -> Session | None:
        """A warm session that is alive. Dead ones are left to the fillers."""
        for entry in self._idle:
            if entry[0] == spec and entry[1].alive:
                self._idle.remove(entry)
                return entry[1]
        return None

    async def _cold(self, spec: Spec) -> Session:
        """A session that is started now, unless one that was to be kept warm is ready before."""
        with _listed(spec, self._reserved):
            while self.promised_bytes > self._memory_bytes:
                await self._make_room()
                if session := self._take(spec):
                    return session
            async with self._starts:
                return self._take(spec) or await self._start(spec)

    async def _start(self, spec: Spec) -> Session:
        session = await self._sandbox.create(spec)
        self._made.append((spec, session))
        return session

    @property
    def promised_bytes(self) -> int:
        """Memory of all sessions, those that are about to start included."""
        self._made = [(spec, session) for spec, session in self._made if session.alive]
        specs = [*self._reserved, *(spec for spec, _ in self._made)]
        return sum(map(self._sandbox.taken_bytes, specs))

    async def _make_room(self) -> None:
        """Ends a warm session, or waits for one that is being started. Raises ``SandboxFull`` when there is none."""
        if self._idle:
            _, session = self._idle.pop(0)
            await session.close()
        elif self._filling:
            self._filled.clear()
            await self._filled.wait()
        else:
            raise SandboxFull("All the memory for sandboxes is in use.", RETRY_AFTER_SECONDS)

    # --- keeping warm ------------------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        while True:
            self._wanted.clear()
            await self._bury()
            spec = self._missing()
            pause = WATCH_SECONDS
            if spec is not None:
                try:
                    await self._add(spec)
                    continue
                except SandboxUnavailable as error:
                    logger.warning("no warm sandbox: %s", error)
                    pause = FAILURE_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()

    async def _add(self, spec: Spec) -> None:
        try:
            with _listed(spec, self._filling), _listed(spec, self._reserved):
                async with self._starts:
                    self._idle.append((spec, await self._start(spec)))
        finally:
            self._filled.set()

    async def _bury(self) -> None:
        dead = [entry for entry in self._idle if not entry[1].alive]
        self._idle = [entry for entry in self._idle if entry[1].alive]
        for _, session in dead:
            await session.close()

    def _missing(self) -> Spec | None:
        """A size of which a session should be started now. None while somebody waits for a start, or without room."""
        if self._starts.locked():
            return None
        warm = [*self._filling, *(spec for spec, _ in self._idle)]
        for spec, count in self._warm.items():
            room = self._memory_bytes - self.promised_bytes
            if warm.count(spec) < count and self._sandbox.taken_bytes(spec) <= room:
                return spec
        return None


@contextlib.contextmanager
def _listed(spec: Spec, specs: list[Spec]) -> Iterator[None]:
    specs.append(spec)
    try:
        yield
    finally:
        specs.remove(spec)
