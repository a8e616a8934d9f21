"""Sandboxes for tests: the real image, and a driver without machines whose cells are functions of the code."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import docker

from sandbox import CellResult, Display, FileInfo, Network, Sandbox, SandboxError, Session, SessionClosed, Spec, Text
from sandbox.build import build
from sandbox.engine import USUAL, Address
from sandbox.flags import LABEL

IMAGE = "tools-runtime-sandbox:latest"
SMALL = Spec(memory_bytes=384 * 2**20, disk_bytes=32 * 2**20, cpus=1.0, pids=64)

Cell = Callable[[str], Awaitable[CellResult]]


@functools.cache
def image() -> str:
    """The image's name, once an engine answers and the image is up to date."""
    root = Path(__file__).parents[1]
    subprocess.run(["sh", str(root / "sandbox" / "engine.sh")], check=True)
    build(IMAGE)
    return IMAGE


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Waits for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def run(session: Session, code: str, seconds: float = 20) -> CellResult:
    """A cell that must end well."""
    result = await session.execute(code, seconds)
    assert result.status == "ok", result
    return result


def printed(result: CellResult, stream: str = "stdout") -> str:
    return "".join(output.text for output in result.outputs if isinstance(output, Text) and output.stream == stream)


def value(result: CellResult) -> str:
    """The one value that the cell shows, as text."""
    (display,) = [output for output in result.outputs if isinstance(output, Display) and output.result]
    return display.data["text/plain"].decode()


async def spend(session: Session, seconds: float = 1.5) -> tuple[float, float]:
    """Has a cell compute for ``seconds`` of processor time, half of them in a process that it starts. Returns what the
    system inside says that it was, and what the session is said to have used."""
    code = (
        "import resource, subprocess, sys\n"
        "def used(*whose): return sum(sum(resource.getrusage(who)[:2]) for who in whose)\n"
        "both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN; began = used(*both)\n"
        "while used(both[0]) < began + {half}: pass\n"
        "work = 'import time\\nwhile time.process_time() < %r: pass' % {half}\n"
        "subprocess.run([sys.executable, '-c', work], check=True)\n"
        "used(*both) - began"
    )
    before = await session.cpu_seconds()
    used = float(value(await run(session, code.format(half=seconds / 2), 120)))
    return used, await session.cpu_seconds() - before


async def settle(session: Session) -> None:
    """Waits until the machine has forgotten the processes of the last cell: a killed one counts a little longer."""
    code = (
        "import os, subprocess\nleft = [name for name in os.listdir('/proc') if name.isdigit()]\n"
        "many = ['sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do sleep 0 & done; wait']\n"
        "assert len(left) == 2 and subprocess.run(many, cwd='/').returncode == 0"
    )
    async with asyncio.timeout(5):
        while (await session.execute(code, 5)).status != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


SERVER = """
import asyncio, sys
from pathlib import Path
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandboxes import SMALL
async def serve(image, owner, code, url, *certificates):
    session = await DockerSandbox(image, owner, "runc", Address(url, *map(Path, certificates))).create(SMALL)
    print("serving", flush=True)
    await session.execute(code, 600)
    print("idle", flush=True)
    await asyncio.sleep(600)
asyncio.run(serve(*sys.argv[1:]))
"""


def containers(owner: str, url: str = USUAL) -> list[Any]:
    """Those of this owner, as the engine knows them."""
    client = docker.DockerClient(base_url=url)
    try:
        return list(client.containers.list(all=True, filters={"label": f"{LABEL}={owner}"}, ignore_removed=True))
    finally:
        client.close()


async def serving(image: str, owner: str, code: str, address: Address | None = None) -> asyncio.subprocess.Process:
    """A process of its own that runs a cell. On its stdout it says ``idle`` when the cell has ended."""
    address = address or Address()
    certificates = () if address.certificates is None else (str(address.certificates),)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, image, owner, code, address.url, *certificates),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": os.environ["PATH"]},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"serving\n"
    return process


class Shared:
    """A session for one test after another. One that has ended is replaced, so that its end fails one test only."""

    def __init__(self, driver: Sandbox) -> None:
        self._driver = driver
        self._session: Session | None = None

    async def session(self) -> Session:
        if self._session is None or not self._session.alive:
            await self.close()
            self._session = await self._driver.create(SMALL)
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def nothing(code: str) -> CellResult:
    """A cell that is run and puts nothing out."""
    return CellResult("ok", [], False, [])


class FakeSession:
    def __init__(self, id: str, spec: Spec, cell: Cell) -> None:
        self.id = id
        self.spec = spec
        self.alive = True
        self.cells: list[str] = []
        self.stored: dict[str, bytes] = {}
        self.network: Network | None = None
        self.cpu: float | None = 0.0
        self._cell = cell

    async def execute(self, code: str, timeout_seconds: float) -> CellResult:
        if not self.alive:
            raise SessionClosed("The sandbox has ended.")
        self.cells.append(code)
        return await self._cell(code)

    async def open_network(self, network: Network) -> None:
        self.network = network

    async def put(self, name: str, data: bytes) -> None:
        self.stored[name] = data

    async def get(self, name: str) -> bytes:
        return self.stored[name]

    async def remove(self, name: str) -> None:
        del self.stored[name]

    async def files(self) -> list[FileInfo]:
        return [FileInfo(name, len(data)) for name, data in self.stored.items()]

    async def cpu_seconds(self) -> float:
        if self.cpu is None or not self.alive:
            raise SandboxError("The sandbox's processor time cannot be told.")
        return self.cpu

    async def close(self) -> None:
        self.alive = False


class FakeSandbox:
    name = "fake"
    overhead = 0
    """What a session takes of its machine beyond its size."""

    def __init__(self, cell: Cell = nothing) -> None:
        self.sessions: list[FakeSession] = []
        self.swept = 0
        self.cell = cell

    async def create(self, spec: Spec) -> FakeSession:
        session = FakeSession(f"fake-{len(self.sessions)}", spec, lambda code: self.cell(code))
        self.sessions.append(session)
        return session

    async def sweep(self) -> int:
        self.swept += 1
        return 0

    async def probe(self) -> str:
        return "fake"

    def taken_bytes(self, spec: Spec) -> int:
        return spec.memory_bytes + self.overhead

    async def aclose(self) -> None:
        pass
