"""Containers: the sandbox sessions that clients know by id, whom they belong to, and when they expire."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox import CellResult, FileRefused, Sandbox, SandboxError, SandboxUnavailable, Session, SessionClosed, Spec
from tools_runtime import ids
from tools_runtime.settings import Settings

_SWEEP_SECONDS = 30
_REMEMBERED = 10_000
"""Expired containers whose ids are still told from ids that never were."""


@dataclass(eq=False)
class Container:
    """An id that was given out, and the session behind it once there is one.

    ``files`` wait to be written before the next cell; ``held`` are the names of all that were ever put in.
    """

    id: str
    owner: str
    spec: Spec
    session: Session | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    used_at: float = field(default_factory=time.monotonic)

    @property
    def alive(self) -> bool:
        return self.session is not None and self.session.alive

    def add_files(self, files: Mapping[str, bytes]) -> None:
        """Files that the container had before are not put in again: code may have changed them."""
        fresh = {name: data for name, data in files.items() if name not in self.held}
        self.files.update(fresh)
        self.held.update(fresh)


class Containers:
    """All containers of this server. As many run as the settings allow; the one longest unused makes room."""

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self._sandbox = sandbox
        self._cell_seconds = settings.sandbox_cell_seconds
        self._idle_seconds = settings.sandbox_idle_minutes * 60
        self._limit = settings.sandbox_max_sessions
        self._live: dict[str, Container] = {}
        self._expired: OrderedDict[str, str] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Removes what a crashed server left behind, and begins to watch for idle containers.

        Raises ``SandboxUnavailable``.
        """
        await self._sandbox.sweep()
        self._spawn(self._sweep())

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for container in list(self._live.values()):
            await self._expire(container)

    def new(self, owner: str, spec: Spec) -> Container:
        """A container in name only: its session begins with its first cell."""
        return Container(ids.new("cntr"), owner, spec)

    def get(self, owner: str, id: str) -> Container | None:
        """The owner's container, if its session is alive. To ask counts as using it."""
        container = self._live.get(id)
        if container is None or container.owner != owner or not container.alive:
            return None
        container.used_at = time.monotonic()
        return container

    def has_expired(self, owner: str, id: str) -> bool:
        """Whether the owner once had this container."""
        container = self._live.get(id)
        return self._expired.get(id) == owner or (container is not None and container.owner == owner)

    def warm(self, container: Container) -> None:
        """Begins the container's session, if it has none, while the model still writes the code.

        What goes wrong is left for ``execute`` to meet again.
        """
        if container.session is None and not container.turn.locked():
            self._spawn(self._warm(container))

    async def _warm(self, container: Container) -> None:
        async with container.turn:
            if container.session is None:
                with contextlib.suppress(SandboxError):
                    await self._open(container)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def execute(self, container: Container, code: str) -> CellResult:
        """Runs a cell, in a new session if there is none. Cells of one container run one after another.

        Raises ``SandboxError``: a session that has ended is gone for good, the next cell begins a new one.
        """
        async with container.turn:
            container.used_at = time.monotonic()
            try:
                session = container.session or await self._open(container)
                while container.files:
                    name, data = container.files.popitem()
                    with contextlib.suppress(FileRefused):
                        await session.put(name, data)
                return await session.execute(code, self._cell_seconds)
            except SessionClosed:
                await self._close(container)
                raise
            finally:
                container.used_at = time.monotonic()

    async def _open(self, container: Container) -> Session:
        await self._make_room()
        self._expired.pop(container.id, None)
        self._live[container.id] = container
        try:
            container.session = await self._sandbox.create(container.spec)
        finally:
            if container.session is None:
                del self._live[container.id]
        return container.session

    async def _make_room(self) -> None:
        while len(self._live) >= self._limit:
            unused = [container for container in self._live.values() if not container.turn.locked()]
            if not unused:
                raise SandboxUnavailable("All sandboxes of this server are in use.")
            await self._expire(min(unused, key=lambda container: container.used_at))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            oldest = time.monotonic() - self._idle_seconds
            for container in list(self._live.values()):
                idle = container.used_at < oldest or not container.alive
                if idle and not container.turn.locked():
                    await self._expire(container)

    async def _expire(self, container: Container) -> None:
        self._live.pop(container.id, None)
        self._expired[container.id] = container.owner
        while len(self._expired) > _REMEMBERED:
            self._expired.popitem(last=False)
        await self._close(container)

    async def _close(self, container: Container) -> None:
        session, container.session = container.session, None
        container.held.clear()
        if session is not None:
            await session.close()
