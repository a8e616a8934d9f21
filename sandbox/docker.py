"""The Docker driver: a session is a container without network, capabilities or a writable root.

Why each flag is there: docs/sandbox.md. The ``docker`` package blocks, so it runs in threads; the attached stdin and
stdout of a container are one socket, which asyncio drives.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from docker.types import LogConfig, Ulimit

from sandbox import DATA, SandboxUnavailable, SessionClosed, Spec
from sandbox.session import StreamSession

USER = 10001
TMP_BYTES = 64 * 2**20
SHM_BYTES = 64 * 2**20
INODES = 20_000
OPEN_FILES = 4096
LABEL = "tools-runtime.owner"

GVISOR = "runsc"
GVISOR_PIDS = 2048
"""With gVisor the engine's limit counts threads of its own kernel too, which dies where it may not make them."""

_STDOUT = 1
_CHUNK_HEADER = struct.Struct(">BxxxI")
"""Docker's own framing of a container's output: stream, three zeros, length."""
_READ_BYTES = 2**16

NO_ENGINE = "No Docker Engine answers. Start it, or let sandbox/engine.sh start or install it."
NO_RUNTIME = "The Docker Engine has no runtime {runtime}; it offers {offered}."
NO_IMAGE = "There is no image {image}. Build it: python -m sandbox build --tag {image}"


class DockerSandbox:
    """``owner`` marks the containers of one server, so that ``sweep`` after a crash touches no other's.

    ``runtime`` is one of those that the engine offers; without it, the engine's usual one. ``environment`` says which
    engine, with the variables of the ``docker`` command; without it, the process's own does.
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

    async def create(self, spec: Spec) -> StreamSession:
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, spec))
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
        return await asyncio.to_thread(self._probe)

    async def aclose(self) -> None:
        if self._starting:
            await asyncio.wait(self._starting)
        if "_client" in self.__dict__:
            await asyncio.to_thread(self._client.close)

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

    @functools.cached_property
    def _runtime(self) -> str:
        """Raises ``SandboxUnavailable``, also when the runtime that was asked for is not there."""
        try:
            info = self._client.info()
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        offered = sorted(info["Runtimes"])
        runtime = self._wanted_runtime or str(info["DefaultRuntime"])
        if runtime not in offered:
            raise SandboxUnavailable(NO_RUNTIME.format(runtime=runtime, offered=", ".join(offered)))
        return runtime

    def _start(self, spec: Spec) -> tuple[Any, socket.socket]:
        try:
            container = self._client.containers.create(self._image, **self._flags(spec))
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

    def _flags(self, spec: Spec) -> dict[str, Any]:
        room = f"nr_inodes={INODES},mode=0700,uid={USER},gid={USER}"
        return {
            "runtime": self._runtime,
            "labels": {LABEL: self._owner},
            "stdin_open": True,
            "auto_remove": True,
            "log_config": LogConfig(type=LogConfig.types.NONE),
            "hostname": "sandbox",
            "use_config_proxy": False,
            "network_mode": "none",
            "read_only": True,
            "tmpfs": {DATA: f"size={spec.disk_bytes},{room}", "/tmp": f"size={TMP_BYTES},{room}"},
            "user": f"{USER}:{USER}",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "ipc_mode": "private",
            "shm_size": SHM_BYTES,
            "mem_limit": spec.memory_bytes,
            "memswap_limit": spec.memory_bytes,
            "nano_cpus": int(spec.cpus * 1e9),
            "pids_limit": max(spec.pids, GVISOR_PIDS) if self._runtime == GVISOR else spec.pids,
            "ulimits": [
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            ],
        }

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
            version, runtime = self._client.version()["Version"], self._runtime
            size = self._client.images.get(self._image).attrs["Size"]
        except ImageNotFound:
            raise SandboxUnavailable(NO_IMAGE.format(image=self._image)) from None
        except (DockerException, OSError) as error:
            raise SandboxUnavailable(NO_ENGINE) from error
        return f"Docker Engine {version}, runtime {runtime}, image {self._image} ({size / 1e6:.0f} MB)"


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
