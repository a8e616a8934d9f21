"""The Docker driver: a session is a container without network, capabilities or a writable root.

Why each flag is there: docs/sandbox.md. The ``docker`` package blocks, so it runs in threads; the attached stdin and
stdout of a container are one socket, which asyncio drives.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound

from sandbox import SandboxUnavailable, SessionClosed, Spec, selftest
from sandbox.flags import GVISOR, LABEL, flags
from sandbox.session import StreamSession

_STDOUT = 1
_CHUNK_HEADER = struct.Struct(">BxxxI")
"""Docker's own framing of a container's output: stream, three zeros, length."""
_READ_BYTES = 2**16

NO_ENGINE = "No Docker Engine answers. Start it, or let sandbox/engine.sh start or install it."
NO_RUNTIME = "The Docker Engine has no runtime {runtime}; it offers {offered}."
NO_IMAGE = "There is no image {image}. Build it: python -m sandbox build --tag {image}"

logger = logging.getLogger(__name__)


class DockerSandbox:
    """``owner`` marks the containers of one server, so that ``sweep`` after a crash touches no other's.

    ``runtime`` is one of those that the engine offers. Without it, gVisor where it is offered and the self-test of its
    boundaries passes, else the engine's usual one. ``environment`` says which engine, with the variables of the
    ``docker`` command; without it, the process's own does.
    """

    name = "docker"

    def __init__(
        self, image: str, owner: str, runtime: str | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._image = image
        self._owner = owner
        self._wanted_runtime = runtime
        self._environment = environment
        self._starting: set[asyncio.Future[Any]] = set()
        self._choosing = asyncio.Lock()
        self._runtime: str | None = None
        self._remark = ""

    async def create(self, spec: Spec) -> StreamSession:
        return await self._create(spec, await self._chosen())

    async def _create(self, spec: Spec, runtime: str) -> StreamSession:
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, spec, runtime))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            container, attached = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        stream = await _Attachment.open(container, attached)
        session = StreamSession(container.short_id, stream, spec)
        try:
            await session.ready()
        except SessionClosed:
            raise SandboxUnavailable(f"The sandbox did not start. {stream.complaint}".strip()) from None
        except BaseException:
            await session.close()
            raise
        return session

    async def sweep(self) -> int:
        return await asyncio.to_thread(self._sweep)

    async def probe(self) -> str:
        found = await asyncio.to_thread(self._probe)
        return f"{found}, runtime {await self._chosen()}{self._remark}"

    async def aclose(self) -> None:
        if self._starting:
            await asyncio.wait(self._starting)
        if "_client" in self.__dict__:
            await asyncio.to_thread(self._client.close)

    async def _chosen(self) -> str:
        """The runtime. Raises ``SandboxUnavailable``, also when the one that was asked for is not there."""
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
        if GVISOR not in offered:
            return usual
        try:
            await selftest.check(GVISOR, lambda spec: self._create(spec, GVISOR), counts_processes=False)
        except SandboxUnavailable as error:
            logger.warning("sandboxes run on %s and not on %s, which is offered: %s", usual, GVISOR, error)
            self._remark = f" (not {GVISOR}: {error})"
            return usual
        return GVISOR

    # --- blocking ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _client(self) -> Any:
        """The engine that the ``docker`` command would use. Raises ``SandboxUnavailable``."""
        try:
            client = docker.from_env(environment=self._environment)
        except DockerException as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        # With trust_env, requests prefers a CA bundle from the environment to the one that the engine's TLS needs.
        client.api.trust_env = False
        return client

    def _offered(self) -> tuple[str, list[str]]:
        """The engine's usual runtime, and all that it has. Raises ``SandboxUnavailable``."""
        try:
            info = self._client.info()
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        return str(info["DefaultRuntime"]), sorted(info["Runtimes"])

    def _start(self, spec: Spec, runtime: str) -> tuple[Any, socket.socket]:
        try:
            container = self._client.containers.create(self._image, **flags(spec, self._owner, runtime))
        except ImageNotFound:
            raise SandboxUnavailable(NO_IMAGE.format(image=self._image)) from None
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(f"The Docker Engine made no container: {error}") from error
        try:
            # Attached before the start, so that no byte is missed; "stream" is the way to get the socket itself.
            file = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            attached = socket.socket(fileno=socket.dup(file.fileno()))
            file._response.close()
            file.close()
            container.start()
        except (DockerException, OSError) as error:
            _remove(container)
            raise SandboxUnavailable(f"The Docker Engine did not start the container: {error}") from error
        return container, attached

    def _sweep(self) -> int:
        try:
            left = self._client.containers.list(
                all=True, filters={"label": f"{LABEL}={self._owner}"}, ignore_removed=True
            )
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        for container in left:
            _remove(container)
        return len(left)

    def _probe(self) -> str:
        try:
            version = self._client.version()["Version"]
            size = self._client.images.get(self._image).attrs["Size"]
        except ImageNotFound:
            raise SandboxUnavailable(NO_IMAGE.format(image=self._image)) from None
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        return f"Docker Engine {version}, image {self._image} ({size / 1e6:.0f} MB)"


class _Attachment:
    """A container's stdin and stdout as a ``Stream``. What it says on stderr is kept for ``complaint``."""

    def __init__(self, container: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._container = container
        self._reader = reader
        self._writer = writer
        self._stderr = b""

    @classmethod
    async def open(cls, container: Any, attached: socket.socket) -> _Attachment:
        attached.setblocking(False)
        connect = asyncio.open_unix_connection if attached.family == socket.AF_UNIX else asyncio.open_connection
        return cls(container, *await connect(sock=attached))

    @property
    def complaint(self) -> str:
        return self._stderr.decode("utf-8", "replace").strip()

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

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.to_thread(_remove, self._container)


def _remove(container: Any) -> None:
    # It may have removed itself, or be about to.
    with contextlib.suppress(DockerException, OSError):
        container.remove(force=True)


def _abandon(starting: asyncio.Future[tuple[Any, socket.socket]]) -> None:
    """A container that nobody waits for any more ends itself when its stdin closes."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()[1].close()
