"""Containers: the sandbox sessions that clients know by id, whom they belong to, and when they expire.

The database knows every container that was created or has had a session; ``sessions`` knows those in use. A container's
session begins when it is first needed. Its files are stored as they come and go, so that they outlive the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox import (
    DATA,
    CellResult,
    FileRefused,
    Sandbox,
    SandboxError,
    SandboxUnavailable,
    Session,
    SessionClosed,
)
from tools_runtime import ids
from tools_runtime.errors import ApiError, is_full, not_found
from tools_runtime.settings import Settings
from tools_runtime.stores import ContainerUsage, Cursor, NewContainer, Page, StoredContainer, StoredContainerFile
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.tools.code_interpreter.container import Container
from tools_runtime.tools.code_interpreter.options import ContainerOptions
from tools_runtime.tools.code_interpreter.quotas import Quotas
from tools_runtime.tools.code_interpreter.sessions import NO_SANDBOX, Sessions
from tools_runtime.tools.code_interpreter.transfer import FileTransfer

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 30
_NO_DISK = "The server's disk is full."


@dataclass(frozen=True)
class Executed:
    """A cell's result, the files of it that were stored, and the names of those that were not."""

    result: CellResult
    kept: Sequence[StoredContainerFile]
    left: Sequence[str]


class Containers:
    """All containers of this server: what clients do with them, and the cells that run there.

    ``sandbox`` is None where there is none: then nothing runs, and what is stored can be read.
    """

    def __init__(
        self,
        sandbox: Sandbox | None,
        settings: Settings,
        store: ContainerStore,
        files: ContainerFileStore,
        quotas: Quotas,
    ) -> None:
        self._sandbox = sandbox
        self._settings = settings
        self.store = store
        self.files = files
        self.quotas = quotas
        self.options = ContainerOptions(settings)
        self.transfer = FileTransfer(settings, files, quotas)
        self.sessions = Sessions(sandbox, settings, store, quotas, self.transfer)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Removes what a crashed server left behind, and begins to watch for idle containers.

        Raises ``SandboxUnavailable``.
        """
        if self._sandbox is not None:
            await self._sandbox.sweep()
        await self.store.start()
        await self.files.start()
        self._spawn(self._watch())

    async def aclose(self) -> None:
        """Ends all sessions. Their containers are found expired by the next server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sessions.settle()
        await self.flush()
        await self.sessions.aclose()

    async def flush(self) -> None:
        """Stores what was counted, and when each container in use was last used."""
        now = self.store.now()
        for container in self.sessions.known.values():
            if container.turn.locked():
                container.used_at = now
        await self.store.keep_active({id: container.used_at for id, container in self.sessions.known.items()})
        await self.quotas.flush()

    # --- what clients do ---------------------------------------------------------------------------------------------

    def require(self, param: str | None = None) -> None:
        """Raises ``ApiError`` where there is no sandbox."""
        if self._sandbox is None:
            raise ApiError(NO_SANDBOX, param=param, code="code_interpreter_unavailable")

    async def create(self, owner: str, options: NewContainer, files: Mapping[str, bytes]) -> StoredContainer:
        """A container with files in it, without a session yet. Raises ``ApiError`` when a quota is used up."""
        self.require()
        await self.quotas.check(owner)
        await self.quotas.check_containers(owner)
        size = sum(map(len, files.values()))
        if files:
            await self.quotas.check_storage(owner, size, "file_ids")
        stored = await self.store.create(owner, options)
        for name, data in files.items():
            await self.files.create(owner, stored.id, f"{DATA}/{name}", data, "user")
        self.quotas.record(owner, ContainerUsage(bytes_in=size, files=len(files)))
        return stored

    def new(self, owner: str, options: NewContainer, restores: str | None = None) -> Container:
        """A container in name only: it begins with its first cell."""
        return Container(ids.new("cntr"), owner, options, self.store.now(), restores, unused=True)

    async def page(self, owner: str, cursor: Cursor, *, name: str | None = None) -> Page[StoredContainer]:
        """A page of the owner's containers. Raises ``ApiError`` for an unknown cursor."""
        await self.flush()
        return await self.store.page(owner, cursor, name=name)

    async def touch(self, owner: str, id: str) -> StoredContainer | None:
        """The owner's container; unless it has expired, its idle time begins anew."""
        if known := self.sessions.fresh(owner, id):
            await self.store.keep_active({id: known.used_at})
            return await self.store.get(owner, id)
        known = self.sessions.known.get(id)
        if known is not None and known.owner == owner:
            await self.sessions.expire(known)
        return await self.store.touch(owner, id)

    async def find(self, owner: str, id: str) -> Container | None:
        """The owner's container, made ready for use; None when there is none or it has expired."""
        await self.sessions.agree([one for one in self.sessions.unused() if one.id == id])
        if known := self.sessions.fresh(owner, id):
            return known
        stored = await self.touch(owner, id)
        if stored is None or stored.expired:
            return None
        options = NewContainer(stored.name, stored.idle_minutes, stored.memory_limit, stored.network_policy)
        return self.sessions.known.setdefault(id, Container(id, owner, options, self.store.now(), stored=True))

    async def use(self, owner: str, id: str, param: str) -> Container:
        """As ``find``, but raises ``ApiError``: 404 naming ``param``, or 400 when it has expired."""
        container = await self.find(owner, id)
        if container is not None:
            return container
        if await self.store.get(owner, id) is None:
            raise not_found("container", id, param=param)
        raise ApiError("Container is expired.")

    async def delete(self, owner: str, id: str) -> bool:
        """Ends and forgets the container, and deletes its files. False when there is none."""
        blobs = await self.store.delete(owner, id)
        if blobs is None:
            return False
        container = self.sessions.known.pop(id, None)
        if container is not None:
            await self.sessions.close(container)
        await self.files.discard(blobs)
        return True

    async def upload(self, owner: str, id: str, name: str, data: bytes, param: str) -> StoredContainerFile:
        """Puts a file into the container, in place of one of the same name. Waits for the cell that runs there.

        Raises ``ApiError`` naming ``param``.
        """
        container = await self.use(owner, id, "container_id")
        await self.quotas.check(owner)
        await self.quotas.check_storage(owner, len(data), param)
        path = f"{DATA}/{name}"
        async with container.turn:
            others = sum(file.bytes for file in await self.transfer.files(container) if file.path != path)
            if others + len(data) > self._settings.sandbox_disk_bytes:
                raise ApiError("The file does not fit on the container's disk.", param=param)
            if container.running:
                await _put(container.running, name, data, param)
            container.names.add(name)
            container.pending.pop(name, None)
            file = await self.transfer.store(container, name, data, "user")
        if file is None:
            raise not_found("container", id, param="container_id")
        self.quotas.record(owner, ContainerUsage(bytes_in=len(data), files=1))
        return file

    async def remove(self, owner: str, id: str, file_id: str) -> bool:
        """Deletes a file, in the container too if it is the latest version. False when there is none."""
        await self.touch(owner, id)
        file = await self.files.delete(owner, id, file_id)
        container = self.sessions.known.get(id)
        if file is not None and file.current and container is not None:
            async with container.turn:
                if container.files is not None:
                    container.files.pop(file.path, None)
                if container.running:
                    with contextlib.suppress(FileRefused, SessionClosed):
                        await container.running.remove(file.path.removeprefix(f"{DATA}/"))
        return file is not None

    # --- cells -------------------------------------------------------------------------------------------------------

    def warm(self, container: Container) -> None:
        """Begins the container's session, if it has none, while the model still writes the code.

        What goes wrong is left for ``execute`` to meet again.
        """
        if not container.running and not container.turn.locked():
            self._spawn(self._warm(container))

    def cool(self, container: Container) -> None:
        """The code that ``warm`` was for is not going to run: a container that was made for it alone is ended."""
        if container.unused:
            self._spawn(self._cool(container))

    async def _cool(self, container: Container) -> None:
        async with container.turn:
            if container.unused and container.session is not None:
                await self.sessions.expire(container)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warm(self, container: Container) -> None:
        async with container.turn:
            if not container.running:
                with contextlib.suppress(SandboxError):
                    await self.sessions.open(container)

    async def execute(self, container: Container, code: str) -> Executed:
        """Runs a cell and stores the files that it made or changed. Cells of one container run one after another.

        A container that has expired while its response still runs begins again, with its stored files. Raises
        ``SandboxError``.
        """
        async with container.turn:
            container.unused = False
            container.used_at = self.store.now()
            taken = 0
            kept: list[StoredContainerFile] = []
            try:
                session = await self.sessions.of(container)
                taken = await self.transfer.put_pending(container, session)
                result = await self._run(container, session, code)
                left = await self.transfer.keep(container, session, result.files, kept)
                return Executed(result, kept, left)
            except SessionClosed:
                await self.sessions.close(container)
                await self.store.end(container.id)
                raise
            except OSError as error:
                if is_full(error):
                    raise SandboxUnavailable(_NO_DISK) from error
                raise
            finally:
                container.used_at = self.store.now()
                usage = ContainerUsage(
                    cells=1, bytes_in=taken, bytes_out=sum(file.bytes for file in kept), files=len(kept)
                )
                self.quotas.record(container.owner, usage)

    async def _run(self, container: Container, session: Session, code: str) -> CellResult:
        began = time.monotonic()
        try:
            return await session.execute(code, self._settings.sandbox_cell_seconds)
        finally:
            if container.meter is not None:
                container.meter.ran(time.monotonic() - began)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep()
            except Exception:
                logger.exception("idle containers could not be ended")

    async def sweep(self) -> None:
        """Ends the containers that are idle too long, and deletes those that ended long ago."""
        await self.sessions.agree(self.sessions.unused())
        now = self.store.now()
        for container in list(self.sessions.known.values()):
            if container.expired(now) and not await self.sessions.used_elsewhere(container, now):
                await self.sessions.expire(container)
        await self.flush()
        await self.files.discard(await self.store.purge(self._settings.sandbox_keep_days))


async def _put(session: Session, name: str, data: bytes, param: str) -> None:
    """Raises ``ApiError``."""
    try:
        await session.put(name, data)
    except FileRefused as error:
        raise ApiError(str(error), param=param) from None
    except SessionClosed:
        raise ApiError("Container is expired.") from None
