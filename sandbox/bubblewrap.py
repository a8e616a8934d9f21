"""The bubblewrap driver, for machines without an engine: namespaces by ``bwrap``, limits by control groups.

A session is a process tree on an unpacked image (``python -m sandbox build --rootfs``), read-only, without network.
Nothing starts before a self-test has found that the boundaries hold on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from sandbox import DATA, SandboxUnavailable, Spec, selftest
from sandbox.build import IMAGE_SETTINGS
from sandbox.cgroups import Groups
from sandbox.session import StreamSession, told

USER = "10001"
TMP_BYTES = 64 * 2**20
OPEN_FILES = 4096
_READ_BYTES = 2**16
_END_SECONDS = 5

NO_BWRAP = "There is no bwrap command. Install the package bubblewrap."
NO_ROOTFS = "There is no image unpacked in {rootfs}. Do so: python -m sandbox build --rootfs {rootfs}"

_JOIN = """
ulimit -c 0
ulimit -n "$1"
shift
while [ "$1" != -- ]; do
    echo $$ >"$1" || exit 1
    shift
done
shift
exec "$@"
"""
"""Joins control groups before anything of the session runs."""


class BubblewrapSandbox:
    """``owner`` marks the control groups of one server, so that ``sweep`` after a crash touches no other's."""

    name = "bubblewrap"

    def __init__(self, rootfs: Path, owner: str) -> None:
        self._rootfs = rootfs
        self._owner = owner
        self._testing = asyncio.Lock()

    async def create(self, spec: Spec) -> StreamSession:
        await self._test()
        return await self._start(spec)

    async def sweep(self) -> int:
        left = await asyncio.to_thread(self._groups.left)
        for id in left:
            await asyncio.to_thread(self._groups.end, id)
        return len(left)

    async def probe(self) -> str:
        await self._test()
        return f"bubblewrap on {self._rootfs}, its boundaries tested"

    def taken_bytes(self, spec: Spec) -> int:
        return spec.memory_bytes

    async def aclose(self) -> None:
        pass

    async def _test(self) -> None:
        async with self._testing:
            await selftest.check_once(self._rootfs, self.name, self._start)

    async def _start(self, spec: Spec) -> StreamSession:
        id = uuid.uuid4().hex[:12]
        command = self._command(spec)
        groups = await asyncio.to_thread(self._groups.make, id, spec)
        try:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", _JOIN, "sh", str(OPEN_FILES), *map(str, groups), "--", *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except BaseException:
            await asyncio.to_thread(self._groups.end, id)
            raise
        stream = _Pipes(process, self._groups, id)
        session = StreamSession(id, stream, spec)
        await session.ready()
        return session

    @functools.cached_property
    def _groups(self) -> Groups:
        """Raises ``SandboxUnavailable``."""
        return Groups(self._owner)

    def _command(self, spec: Spec) -> list[str]:
        """Raises ``SandboxUnavailable``."""
        settings = self._settings()
        room = ("--perms", "0700", "--size")
        environment = [word for pair in settings["Env"] for word in ("--setenv", *pair.split("=", 1))]
        return [
            *_unprivileged(),
            *("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--uid", USER, "--gid", USER),
            *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
            *("--clearenv", *environment),
            *("--ro-bind", str(self._rootfs / "root"), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--ro-bind", "/dev/null", "/proc/keys", "--ro-bind", "/dev/null", "/proc/timer_list"),
            *("--size", str(TMP_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"),
            *(*room, str(spec.disk_bytes), "--tmpfs", DATA, *room, str(TMP_BYTES), "--tmpfs", "/tmp"),
            *("--chdir", DATA, "--", *settings["Entrypoint"]),
        ]

    def _settings(self) -> dict[str, Any]:
        """Of the image. Raises ``SandboxUnavailable``."""
        if shutil.which("bwrap") is None:
            raise SandboxUnavailable(NO_BWRAP)
        try:
            settings: dict[str, Any] = json.loads((self._rootfs / IMAGE_SETTINGS).read_text())
        except (OSError, ValueError):
            raise SandboxUnavailable(NO_ROOTFS.format(rootfs=self._rootfs)) from None
        return settings


class _Pipes:
    """The worker's stdin and stdout as a ``Stream``, and the control groups of its session."""

    def __init__(self, process: asyncio.subprocess.Process, groups: Groups, id: str) -> None:
        self._process = process
        self._groups = groups
        self._id = id

    async def ending(self) -> str:
        assert self._process.stderr is not None
        how = "it closed its streams"
        complaint = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                how = f"exit code {await self._process.wait()}"
                complaint = await self._process.stderr.read()
        if self._groups.out_of_memory(self._id):
            how += ", out of memory"
        return told(how, complaint)

    async def read(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.read(_READ_BYTES)

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def cpu_seconds(self) -> float:
        return self._groups.cpu_seconds(self._id)

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.to_thread(self._groups.end, self._id)
        await self._process.wait()


def _unprivileged() -> tuple[str, ...]:
    """So that whoever breaks out of a session of root's is nobody outside, too."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "--")
