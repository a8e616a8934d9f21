"""Control groups, for drivers without an engine: limits on the memory, processes and processors of one session.

Both versions of the kernel's interface. The groups are made below the group of this process, or, in version 2, below
the nearest one above it that passes its controllers on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from sandbox import SandboxUnavailable, Spec

MOUNT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu")
ACCOUNTING = "cpuacct"
"""Version 1 counts processor time with a controller of its own, which may be mounted with ``cpu`` or by itself."""
PERIOD_MICROSECONDS = 100_000
_END_SECONDS = 5.0

NOT_WRITABLE = "No control groups can be made here ({error}): run as root, or in a group that was delegated."


class Groups:
    """The groups of one owner's sessions. Everything here blocks, for milliseconds, except ``end``."""

    def __init__(self, owner: str, mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")) -> None:
        self._prefix = f"tools-runtime-{owner}-"
        self._version, self._folders = _folders(mount, own.read_text())

    def make(self, id: str, spec: Spec) -> list[Path]:
        """Makes a session's groups. Returns the files into which a process writes its number to join them.

        Raises ``SandboxUnavailable``.
        """
        files = []
        for folder in self._folders:
            group = folder / f"{self._prefix}{id}"
            try:
                group.mkdir(exist_ok=True)
                for name, value in self._limits(spec).items():
                    if (group / name).exists():
                        (group / name).write_text(value)
            except OSError as error:
                self.end(id)
                raise SandboxUnavailable(NOT_WRITABLE.format(error=error)) from error
            files.append(group / "cgroup.procs")
        return files

    def _limits(self, spec: Spec) -> dict[str, str]:
        memory, quota = str(spec.memory_bytes), str(int(spec.cpus * PERIOD_MICROSECONDS))
        if self._version == 2:
            limits = {"memory.max": memory, "memory.swap.max": "0", "memory.oom.group": "0"}
            return limits | {"pids.max": str(spec.pids), "cpu.max": f"{quota} {PERIOD_MICROSECONDS}"}
        limits = {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory, "pids.max": str(spec.pids)}
        return limits | {"cpu.cfs_period_us": str(PERIOD_MICROSECONDS), "cpu.cfs_quota_us": quota}

    def cpu_seconds(self, id: str) -> float:
        """What the session's processes used. Raises ``OSError``."""
        return cpu_seconds(self._folders[-1] / f"{self._prefix}{id}")

    def out_of_memory(self, id: str) -> bool:
        """Whether the kernel killed anything of the session's for want of memory."""
        group = self._folders[0] / f"{self._prefix}{id}"
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                counts = dict(line.split(" ", 1) for line in (group / name).read_text().splitlines())
                return int(counts["oom_kill"]) > 0
        return False

    def left(self) -> set[str]:
        """The ids of sessions whose groups are still there."""
        found = (group.name for folder in self._folders for group in folder.glob(f"{self._prefix}*"))
        return {name.removeprefix(self._prefix) for name in found}

    def end(self, id: str) -> None:
        """Kills all that is in a session's groups, and removes them. May be called again."""
        for folder in self._folders:
            group = folder / f"{self._prefix}{id}"
            deadline = time.monotonic() + _END_SECONDS
            while group.exists() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    for pid in (group / "cgroup.procs").read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
                    group.rmdir()
                    break
                time.sleep(0.01)


def cpu_seconds(group: Path) -> float:
    """What the processes of a group used: of version 1, a group of ``cpuacct``. Raises ``OSError``."""
    with contextlib.suppress(FileNotFoundError):
        return int((group / "cpuacct.usage").read_text()) / 1e9
    counts = dict(line.split(" ", 1) for line in (group / "cpu.stat").read_text().splitlines())
    return int(counts["usage_usec"]) / 1e6


def accounting(pid: int, id: str, mount: Path = MOUNT, proc: Path = Path("/proc")) -> Path | None:
    """The group that counts a container's processor time; None unless ``pid`` is its first process here, which its
    group's name tells: with an engine elsewhere, that number is another process."""
    try:
        paths = _paths((proc / str(pid) / "cgroup").read_text())
    except OSError:
        return None
    path = paths.get(ACCOUNTING, paths.get("", ""))
    group = mount / ACCOUNTING / path if ACCOUNTING in paths else mount / path
    return group if id in path and group.is_dir() else None


def _paths(cgroup: str) -> dict[str, str]:
    """The groups of a process by controller, from its ``/proc/…/cgroup``; that of version 2 by an empty name."""
    paths: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= {controller: path.strip("/") for controller in controllers.split(",")}
    return paths


def _folders(mount: Path, own: str) -> tuple[int, list[Path]]:
    """The version in use, and the folders in which groups are made; the last one counts processor time.

    Raises ``SandboxUnavailable``.
    """
    paths = _paths(own)
    wanted = (*CONTROLLERS, ACCOUNTING)
    if all(controller in paths for controller in wanted):
        # Inside a container the path is the host's, and its end is mounted as the root.
        folders = [mount / name / paths[name] for name in wanted]
        return 1, [folder if folder.is_dir() else mount / name for name, folder in zip(wanted, folders, strict=True)]
    group = mount / paths.get("", "")
    for folder in (group, *group.parents):
        passed_on = folder / "cgroup.subtree_control"
        if passed_on.is_file() and set(CONTROLLERS) <= set(passed_on.read_text().split()):
            return 2, [folder]
        if folder == mount:
            break
    raise SandboxUnavailable("The control groups here have no limits of memory, pids and cpu to give on.")
