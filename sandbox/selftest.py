"""Tries a session's boundaries from inside. For drivers that depend on what the machine allows them."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Awaitable, Callable, Hashable

from sandbox import SandboxError, SandboxUnavailable, Session, Spec, Text

SPEC = Spec(memory_bytes=256 * 2**20, disk_bytes=16 * 2**20, cpus=1.0, pids=32)

_INSIDE = """
import ctypes, json, os, socket, subprocess, time
def fails(attempt):
    try: attempt()
    except (OSError, subprocess.SubprocessError): return True
    return False
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
started = 0
try:
    for _ in range({forks}):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError: pass
processes = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
room = os.statvfs("/mnt/data")
print(json.dumps({{
    "network": [name for _, name in socket.if_nameindex()] == ["lo"]
               and fails(lambda: socket.create_connection(("127.0.0.1", {port}), 2)),
    "files of the host": not os.path.exists({marker!r}) and fails(lambda: open("/written", "w")),
    "processes of the host": processes[:2] == [1, os.getpid()],
    "rights": not int(status["CapEff"], 16) and not int(status["CapBnd"], 16)
              and ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 1 and fails(lambda: os.setuid(0)),
    "system calls": status["Seccomp"].strip() == "2"
                    and fails(lambda: subprocess.run(["unshare", "-U", "true"], check=True, capture_output=True)),
    "number of processes": started < {pids},
    "disk": room.f_blocks * room.f_frsize <= {disk},
}}))
"""


_passed: set[Hashable] = set()


async def check_once(
    where: Hashable, driver: str, create: Callable[[Spec], Awaitable[Session]], *, counts_processes: bool = True
) -> None:
    """As ``check``, which takes seconds; passes at once where it has passed in this process before."""
    if where not in _passed:
        await check(driver, create, counts_processes=counts_processes)
        _passed.add(where)


async def check(driver: str, create: Callable[[Spec], Awaitable[Session]], *, counts_processes: bool = True) -> None:
    """Raises ``SandboxUnavailable`` that names the boundaries that do not hold.

    ``counts_processes``: whether the sessions' own limit of processes is held. gVisor's is one of threads on the host.
    """
    session = await create(SPEC)
    try:
        open_ = await _open_boundaries(session, counts_processes)
    except SandboxError as error:
        raise SandboxUnavailable(f"The self-test of {driver} came to no end: {error}") from error
    finally:
        await session.close()
    if open_:
        raise SandboxUnavailable(f"{driver} does not confine here: {', '.join(open_)}.")


async def _open_boundaries(session: Session, counts_processes: bool) -> list[str]:
    with tempfile.NamedTemporaryFile() as marker, socket.create_server(("127.0.0.1", 0)) as listener:
        code = _INSIDE.format(
            port=listener.getsockname()[1],
            marker=marker.name,
            forks=3 * SPEC.pids if counts_processes else 0,
            pids=SPEC.pids,
            disk=SPEC.disk_bytes,
        )
        result = await session.execute(code, 20)
    try:
        held = json.loads("".join(output.text for output in result.outputs if isinstance(output, Text)))
    except ValueError:
        return ["everything"]
    if not counts_processes:
        del held["number of processes"]
    memory = await session.execute(f"held = bytearray({2 * SPEC.memory_bytes})", 20)
    held["memory"] = memory.status == "kernel_died" or "MemoryError" in str(memory.outputs)
    return [name for name, holds in held.items() if not holds]
