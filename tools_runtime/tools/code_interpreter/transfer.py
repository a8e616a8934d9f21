"""Files on their way between a session and the store, as far as limits and quotas go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Literal

from sandbox import DATA, FileInfo, FileRefused, Session, SessionClosed
from tools_runtime import ids
from tools_runtime.errors import is_full
from tools_runtime.settings import Settings
from tools_runtime.stores import StoredContainerFile
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.tools.code_interpreter.container import Container
from tools_runtime.tools.code_interpreter.quotas import Quotas


class FileTransfer:
    """Moves the files of all containers."""

    def __init__(self, settings: Settings, store: ContainerFileStore, quotas: Quotas) -> None:
        self._max_files = settings.sandbox_call_files
        self._max_bytes = settings.sandbox_call_bytes
        self._store = store
        self._quotas = quotas

    async def files(self, container: Container) -> list[StoredContainerFile]:
        """What is stored for the container, as far as this process knows."""
        if container.files is None:
            container.files = {file.path: file for file in await self.current(container)}
        return list(container.files.values())

    async def current(self, container: Container) -> list[StoredContainerFile]:
        """What is stored for the container, or for the one that it is going to take the place of."""
        id = container.restores or (container.id if container.stored else None)
        return [] if id is None else await self._store.current(container.owner, id)

    async def store(
        self, container: Container, name: str, data: bytes, source: Literal["user", "assistant"]
    ) -> StoredContainerFile | None:
        """Stores a file of the container; None when that was deleted meanwhile."""
        file = await self._store.create(container.owner, container.id, f"{DATA}/{name}", data, source)
        if file is not None and container.files is not None:
            container.files[file.path] = file
        return file

    async def _store_if_it_fits(
        self, container: Container, name: str, data: bytes, source: Literal["user", "assistant"]
    ) -> StoredContainerFile | None:
        """As ``store``, and None when the server's disk is full."""
        try:
            return await self.store(container, name, data, source)
        except OSError as error:
            if is_full(error):
                return None
            raise

    async def restore(self, container: Container, session: Session) -> None:
        """Puts in what is stored for the container, and for the one that it takes the place of."""
        restores, container.restores = container.restores, None
        if restores is not None:
            await self._store.adopt(container.owner, restores, container.id)
        container.files = None
        await self.refresh(container, session, await self.current(container))

    async def refresh(self, container: Container, session: Session, stored: Iterable[StoredContainerFile]) -> None:
        """Does in the session what other processes have done to the container's files since the last cell."""
        known = container.files or {}
        container.files = current = {file.path: file for file in stored}
        for path in known.keys() - current.keys():
            with contextlib.suppress(FileRefused):
                await session.remove(path.removeprefix(f"{DATA}/"))
        for path, file in current.items():
            if path not in known or known[path].id != file.id:
                with contextlib.suppress(FileRefused, OSError):
                    await session.put(path.removeprefix(f"{DATA}/"), await self._store.read(file))

    async def keep_image(self, container: Container, extension: str, data: bytes) -> StoredContainerFile | None:
        """Stores what a cell has shown as a file; None when there is no room for it."""
        files, room = await self._quotas.room(container.owner)
        if files < 1 or len(data) > room:
            return None
        return await self._store_if_it_fits(container, f"{ids.new('image')}.{extension}", data, "assistant")

    async def put_pending(self, container: Container, session: Session) -> int:
        """Puts in, and stores, the files that wait for it; returns how many bytes those were."""
        size = 0
        for name, data in list(container.pending.items()):
            with contextlib.suppress(FileRefused):
                await session.put(name, data)
                size += len(data)
                files, room = await self._quotas.room(container.owner)
                if files > 0 and len(data) <= room:
                    await self._store_if_it_fits(container, name, data, "user")
            container.pending.pop(name, None)
        return size

    async def keep(
        self, container: Container, session: Session, files: Sequence[FileInfo], kept: list[StoredContainerFile]
    ) -> list[str]:
        """Stores ``files`` as far as the limits go, which fills ``kept``; returns the names of the others."""
        if not files:
            return []
        left = []
        count, room = await self._quotas.room(container.owner)
        count, room = min(count, self._max_files), min(room, self._max_bytes)
        for file in files:
            stored = None
            if len(kept) < count and file.size <= room:
                with contextlib.suppress(FileRefused, SessionClosed):
                    data = await session.get(file.name)
                    if len(data) <= room:
                        stored = await self._store_if_it_fits(container, file.name, data, "assistant")
            if stored is None:
                left.append(file.name)
            else:
                kept.append(stored)
                room -= stored.bytes
        return left
