"""The Docker driver: a session is a container without network, capabilities or a writable root.

Why each flag is there: docs/sandbox.md. How the engine is reached: ``sandbox.engine``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from sandbox import SandboxUnavailable, Spec, cgroups, selftest
from sandbox.engine import USUAL, Address, Engine
from sandbox.flags import GVISOR, LABEL, flags, memory_bytes
from sandbox.session import StreamSession, told

_STDOUT = 1
_CHUNK_HEADER = struct.Struct(">BxxxI")
"""Docker's own framing of a container's output: stream, three zeros, length."""
_EVENT_SECONDS = 3
"""That the engine may take to take note of a container's end."""
_MEASUREMENTS = 2
"""That an engine is asked for at a time: it may take a second for each, and they wait in threads."""

NO_RUNTIME = "The Docker Engine has no runtime {runtime}; it offers {offered}."
NO_IMAGE = "There is no image {image}{where}. Build it: python -m sandbox build --tag {image}{option}"

logger = logging.getLogger(__name__)


class DockerSandbox:
    """``owner`` marks the containers of one server, so that ``sweep`` after a crash touches no other's.

    ``runtime`` is one of those that the engine offers. Without it, gVisor where it is offered and the self-test of its
    boundaries passes, else the engine's usual one. Without ``address`` the engine is the ``docker`` command's.
    """

    name = "docker"

    def __init__(self, image: str, owner: str, runtime: str | None = None, address: Address | None = None) -> None:
        self._image = image
        self._owner = owner
        self._wanted_runtime = runtime
        self._engine = Engine(address or Address.of(os.environ))
        self._starting: set[asyncio.Future[Any]] = set()
        self._choosing = asyncio.Lock()
        self._runtime: str | None = None
        self._podman = False
        self._remark = ""
        self._left: set[str] = set()
        self._measuring = asyncio.Semaphore(_MEASUREMENTS)
        self.memory_bytes = 1
        """What the engine's machine has; known after ``probe``."""

    async def create(self, spec: Spec) -> StreamSession:
        return await self._create(spec, await self._chosen())

    async def sweep(self) -> int:
        return await asyncio.to_thread(self._sweep)

    async def probe(self) -> str:
        found = await asyncio.to_thread(self._probe)
        return f"{found}, runtime {await self._chosen()}{self._remark}"

    def taken_bytes(self, spec: Spec) -> int:
        """Known after ``probe``, as the runtime is."""
        return memory_bytes(spec, self._runtime or "")

    async def aclose(self) -> None:
        if self._starting:
            await asyncio.wait(self._starting)
        await asyncio.to_thread(self._engine.close)

    # --- the runtime -------------------------------------------------------------------------------------------------

    async def _chosen(self) -> str:
        """Raises ``SandboxUnavailable``, also when the runtime that was asked for is not there."""
        async with self._choosing:
            if self._runtime is None:
                usual, offered = await asyncio.to_thread(self._offered)
                if self._wanted_runtime not in (None, *offered):
                    raise SandboxUnavailable(
                        NO_RUNTIME.format(runtime=self._wanted_runtime, offered=", ".join(offered))
                    )
                self._runtime = self._wanted_runtime or (await self._strongest(usual, offered))
        return self._runtime

    async def _strongest(self, usual: str, offered: Sequence[str]) -> str:
        if GVISOR not in offered or self._podman:  # Podman names all that it has heard of
            return usual
        try:
            await selftest.check_once(
                (self._engine.address.url, self._image),
                GVISOR,
                lambda spec: self._create(spec, GVISOR),
                counts_processes=False,
            )
        except SandboxUnavailable as error:
            logger.warning("sandboxes run on %s and not on %s, which is offered: %s", usual, GVISOR, error)
            self._remark = f" (not {GVISOR}: {error})"
            return usual
        return GVISOR

    # --- a container -------------------------------------------------------------------------------------------------

    async def _create(self, spec: Spec, runtime: str) -> StreamSession:
        starting = asyncio.ensure_future(self._start(spec, runtime))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            id, stream = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        session = StreamSession(id, stream, spec)
        await session.ready()
        return session

    async def _start(self, spec: Spec, runtime: str) -> tuple[str, _Attachment]:
        container = await asyncio.to_thread(self._make, spec, runtime)
        try:
            # Attached before the start, so that no byte is missed.
            connection = await self._engine.attach(container.id)
            # Asked for when it runs: then it has a process, by which the group is found.
            group = functools.cache(lambda: cgroups.accounting(container.attrs["State"]["Pid"], container.id))
            measure = functools.partial(self._cpu_seconds, container, group)
            end = functools.partial(self._end, container.id)
            stream = _Attachment(*connection, measure, end, lambda: self._remove(container.id))
        except BaseException:
            await asyncio.to_thread(self._remove, container.id)
            raise
        try:
            await asyncio.to_thread(self._launch, container)
        except BaseException:
            await stream.close()
            raise
        return container.short_id, stream

    def _make(self, spec: Spec, runtime: str) -> Any:
        with self._engine.requests() as client:
            try:
                container = client.containers.create(
                    self._image, **flags(spec, self._owner, runtime, podman=self._podman)
                )
            except ImageNotFound:
                raise self._no_image() from None
            except APIError as error:
                raise SandboxUnavailable(f"The Docker Engine made no container: {error}") from error
        for id in tuple(self._left):
            self._remove(id)
        return container

    def _launch(self, container: Any) -> None:
        with self._engine.requests():
            try:
                container.start()
            except APIError as error:
                raise SandboxUnavailable(f"The Docker Engine did not start the container: {error}") from error
            with contextlib.suppress(APIError):
                container.reload()  # now it has a process

    async def _cpu_seconds(self, container: Any, group: Callable[[], Path | None]) -> float:
        """By the kernel's count where the engine runs on this machine, else by the engine's. Raises ``OSError``."""
        here = group()
        if here is not None:
            return cgroups.cpu_seconds(here)
        async with self._measuring:
            return await asyncio.to_thread(self._counted_seconds, container)

    def _counted_seconds(self, container: Any) -> float:
        try:
            with self._engine.requests():
                stats = container.stats(stream=False, one_shot=True)
            return int(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9
        except (SandboxUnavailable, KeyError) as error:
            raise OSError("the engine does not tell") from error

    def _end(self, id: str) -> str:
        """How a container ended. The engine remembers its last events, also of containers that are removed."""
        seen: dict[str, dict[str, str]] = {}
        with self._engine.requests() as client:
            now = datetime.fromisoformat(client.info()["SystemTime"]).timestamp()
            until = int(now) + _EVENT_SECONDS
            # Podman knows the names by which it reports events as none to ask for.
            for event in client.api.events(since=1, until=until, filters={"container": id}, decode=True):
                seen[event["Action"]] = event["Actor"]["Attributes"]
                if "die" in seen:
                    break
        code = seen.get("die", {}).get("exitCode")
        return ("it ended" if code is None else f"exit code {code}") + (", out of memory" if "oom" in seen else "")

    def _remove(self, id: str) -> None:
        """What the engine cannot be told now is told it later."""
        try:
            # The engine may refuse: the container has removed itself, or is about to.
            with self._engine.requests() as client, contextlib.suppress(APIError):
                client.api.remove_container(id, force=True)
            self._left.discard(id)
        except SandboxUnavailable:
            self._left.add(id)

    # --- the engine, which blocks ------------------------------------------------------------------------------------

    def _offered(self) -> tuple[str, list[str]]:
        """The engine's usual runtime, and all that it has."""
        with self._engine.requests() as client:
            info, version = client.info(), client.version()
        self._podman = _is_podman(version)
        self.memory_bytes = int(info["MemTotal"])
        return str(info["DefaultRuntime"]), sorted(info["Runtimes"])

    def _sweep(self) -> int:
        with self._engine.requests() as client:
            ours = {"label": f"{LABEL}={self._owner}"}
            left = client.containers.list(all=True, filters=ours, ignore_removed=True)
        for container in left:
            self._remove(container.id)
        return len(left)

    def _probe(self) -> str:
        with self._engine.requests() as client:
            found = client.version()
            try:
                size = client.images.get(self._image).attrs["Size"]
            except ImageNotFound:
                raise self._no_image() from None
        name = "Podman" if _is_podman(found) else "Docker Engine"
        return f"{name} {found['Version']}, image {self._image} ({size / 1e6:.0f} MB)"

    def _no_image(self) -> SandboxUnavailable:
        url = self._engine.address.url
        there = ("", "") if url == USUAL else (f" at {url}", f" --host {url}")
        return SandboxUnavailable(NO_IMAGE.format(image=self._image, where=there[0], option=there[1]))


class _Attachment:
    """A container's stdin and stdout as a ``Stream``. What it says on stderr is kept for ``ending``.

    ``measure`` tells its processor time. ``end`` tells how the container ended, and ``remove`` ends it; both block.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        measure: Callable[[], Awaitable[float]],
        end: Callable[[], str],
        remove: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._measure = measure
        self._end = end
        self._remove = remove
        self._stderr = b""

    async def read(self) -> bytes:
        while True:
            try:
                stream, size = _CHUNK_HEADER.unpack(await self._reader.readexactly(_CHUNK_HEADER.size))
                data = await self._reader.readexactly(size)
            except asyncio.IncompleteReadError:
                return b""
            if stream == _STDOUT:
                return data
            self._stderr = (self._stderr + data)[-2000:]

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def cpu_seconds(self) -> float:
        return await self._measure()

    async def ending(self) -> str:
        try:
            how = await asyncio.to_thread(self._end)
        except SandboxUnavailable as error:
            how = str(error)
        return told(how, self._stderr)

    def hang_up(self) -> None:
        # Nothing is said any more that would have to arrive; TLS would wait for the far end's farewell.
        self._writer.transport.abort()

    async def close(self) -> None:
        self.hang_up()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(self._remove)


def _is_podman(version: Mapping[str, Any]) -> bool:
    return any(part["Name"] == "Podman Engine" for part in version.get("Components", ()))


def _abandon(starting: asyncio.Future[tuple[str, _Attachment]]) -> None:
    """A container that nobody waits for any more ends itself when its stdin closes."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()[1].hang_up()
