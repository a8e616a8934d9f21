"""The sessions of this process: which container has one, and which of them makes room for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sandbox import Sandbox, SandboxFull, SandboxUnavailable, Session
from tools_runtime.settings import Settings
from tools_runtime.stores import ContainerUsage
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.tools.code_interpreter.container import Container
from tools_runtime.tools.code_interpreter.meter import Meter
from tools_runtime.tools.code_interpreter.options import ContainerOptions
from tools_runtime.tools.code_interpreter.quotas import Quotas, exceeded
from tools_runtime.tools.code_interpreter.transfer import FileTransfer

NO_SANDBOX = (
    "code_interpreter is not available: this server has no sandbox. It needs a Docker Engine and the sandbox image; "
    "sandbox/engine.sh and python -m sandbox build provide them."
)
_FULL = "All sandboxes of this server are in use."
_RETRY_SECONDS = 5


class Sessions:
    """``known`` are the containers in use, by id. As many have sessions as the settings allow, in number and memory;
    the one longest unused makes room."""

    def __init__(
        self,
        sandbox: Sandbox | None,
        settings: Settings,
        store: ContainerStore,
        quotas: Quotas,
        transfer: FileTransfer,
    ) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self._store = store
        self._quotas = quotas
        self._transfer = transfer
        self._options = ContainerOptions(settings)
        self._live: dict[str, Container] = {}
        self.known: dict[str, Container] = {}

    async def settle(self) -> None:
        """Waits until all that the cells cost is counted."""
        await asyncio.gather(*(container.meter.settle() for container in self._live.values() if container.meter))

    async def aclose(self) -> None:
        """Ends all sessions."""
        for container in list(self._live.values()):
            await self.close(container)

    def check_room(self, container: Container) -> None:
        """Raises a 429 ``ApiError`` when the container would need a session and there is none to be had."""
        full = len(self._live) >= self._settings.sandbox_max_sessions
        if full and not container.running and not self.unused():
            raise exceeded(_FULL, _RETRY_SECONDS)

    def fresh(self, owner: str, id: str) -> Container | None:
        """The owner's container, if it is in use and has not expired; it is used thereby."""
        known, now = self.known.get(id), self._store.now()
        if known is None or known.owner != owner or known.expired(now):
            return None
        known.used_at = now
        return known

    async def of(self, container: Container) -> Session:
        """The container's session, with its files as they are stored; it begins if there is none."""
        session = container.running
        if session is not None:
            stored = await self._store.files_here(container.owner, container.id)
            if stored is None:
                await self._give_up(container, session)
            elif container.running:
                await self._transfer.refresh(container, session, stored)
                return session
        return await self.open(container)

    async def open(self, container: Container) -> Session:
        """Begins the session, with the files that are stored for the container. Raises ``SandboxError``."""
        if self._sandbox is None:
            raise SandboxUnavailable(NO_SANDBOX)
        await self._make_room(container.owner)
        self._live[container.id] = container
        try:
            session = await self._create(self._sandbox, container)
            try:
                await self._begin(container, session)
            except BaseException:
                await session.close()
                raise
            container.session, container.meter = session, self._meter(container.owner, session)
        finally:
            if not container.running:
                self._live.pop(container.id, None)
        self.known[container.id] = container
        # From here on ``delete`` finds it; if it came before, it found nothing to end.
        if await self._store.get(container.owner, container.id) is None:
            self.known.pop(container.id, None)
            await self.close(container)
            raise SandboxUnavailable("The container was deleted.")
        return session

    async def _create(self, sandbox: Sandbox, container: Container) -> Session:
        """A session. As long as there is no memory for it, containers that are not in use are ended."""
        while True:
            try:
                return await sandbox.create(self._options.spec(container.options))
            except SandboxFull:
                if not await self._end_unused(container.owner):
                    raise

    async def _begin(self, container: Container, session: Session) -> None:
        if not container.stored:
            await self._store.create(container.owner, container.options, id=container.id, started=True)
            container.stored = True
        elif not await self._store.begin(container.owner, container.id):
            raise SandboxUnavailable("The container was deleted.")
        await self._transfer.restore(container, session)

    def _meter(self, owner: str, session: Session) -> Meter:
        return Meter(
            session,
            self._settings.sandbox_cpus,
            lambda seconds: self._quotas.record(owner, ContainerUsage(cpu_seconds=seconds)),
        )

    def unused(self) -> list[Container]:
        """Those with a session that nothing runs in."""
        return [container for container in self._live.values() if not container.turn.locked()]

    async def agree(self, containers: Sequence[Container]) -> None:
        """Ends the sessions of those of the containers that were deleted, or begun again, by another process."""
        sessions = {container: container.running for container in containers if container.running}
        here = await self._store.here([container.id for container in sessions]) if sessions else set()
        for container, session in sessions.items():
            if container.id not in here:
                await self._give_up(container, session)

    async def _give_up(self, container: Container, session: Session) -> None:
        if container.session is session:
            self._forget(container)
            await session.close()

    def _forget(self, container: Container) -> Session | None:
        """A response that still runs may begin the container again at any time: from here on with another session.
        Returns the one that it had."""
        self.known.pop(container.id, None)
        self._live.pop(container.id, None)
        session, container.session = container.session, None
        return session

    async def _make_room(self, owner: str) -> None:
        """Ends containers that are not in use until there is a place for one more. Raises ``SandboxFull``."""
        while len(self._live) >= self._settings.sandbox_max_sessions:
            if not await self._end_unused(owner):
                raise SandboxFull(_FULL, _RETRY_SECONDS)

    async def _end_unused(self, owner: str) -> bool:
        """Ends a container whose machine has died, or the owner's that is longest unused, or else somebody else's.

        False when all are in use.
        """

        def need(container: Container) -> tuple[bool, bool, float]:
            return container.running is not None, container.owner != owner, container.used_at

        unused = self.unused()
        if unused:
            await self.expire(min(unused, key=need))
        return bool(unused)

    async def used_elsewhere(self, container: Container, now: float) -> bool:
        """Whether another process has used it so lately that it has not expired."""
        stored = await self._store.get(container.owner, container.id)
        if stored is not None and not stored.expired:
            container.used_at = max(container.used_at, stored.last_active_at)
        return not container.expired(now)

    async def expire(self, container: Container) -> None:
        """Ends the container, and its session if there is one. Its files stay."""
        session = self._forget(container)
        await self._store.end(container.id)
        if session is not None:
            await session.close()

    async def close(self, container: Container) -> None:
        """Ends the container's session, if there is one."""
        self._live.pop(container.id, None)
        if container.session is not None:
            await container.session.close()
