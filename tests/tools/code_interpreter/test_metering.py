"""What cells cost their owner: processor time as the machine outside counts it, bytes and files."""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import suppress

import interpreters
import pytest
import sandboxes
from sandboxes import FakeSandbox

from sandbox import CellResult, SandboxError
from sandbox.docker import DockerSandbox
from tools_runtime import metrics
from tools_runtime.stores import ContainerUsage, NewContainer
from tools_runtime.tools.code_interpreter.containers import Containers

SPIN = "import time\nend = time.process_time() + 1.5\nwhile time.process_time() < end: pass"


async def run(containers: Containers, *cells: str, owner: str = "me") -> ContainerUsage:
    """What the owner has used once the cells have run in a container of their own."""
    container = containers.new(owner, NewContainer("x", 20, None, {"type": "disabled"}))
    for code in cells:
        with suppress(SandboxError):
            await containers.execute(container, code)
    if container.meter is not None:
        await container.meter.settle()
    return await containers.quotas.used(owner)


def shown() -> float:
    """What ``/metrics`` says."""
    (value,) = re.findall(r"^tools_runtime_container_cpu_seconds_total (.+)$", metrics.text().decode(), re.MULTILINE)
    return float(value)


async def test_each_cell_counts_what_it_added() -> None:
    sandbox = FakeSandbox()

    async def cell(code: str) -> CellResult:
        sandbox.sessions[-1].cpu = float(code)
        return CellResult("ok", [], False, [])

    sandbox.cell = cell
    before = shown()
    async with interpreters.serving(sandbox) as containers:
        assert await run(containers, "0.5", "2", "2", "3.5") == ContainerUsage(cells=4, cpu_seconds=3.5)
    assert shown() == before + 3.5


@pytest.mark.parametrize("dies", [True, False], ids=["the session has died", "the engine does not tell"])
async def test_what_cannot_be_counted_is_taken_for_busy_all_the_time(dies: bool) -> None:
    sandbox = FakeSandbox()

    async def cell(_code: str) -> CellResult:
        sandbox.sessions[-1].cpu = None
        sandbox.sessions[-1].alive = not dies
        await asyncio.sleep(0.1)
        return CellResult("ok", [], False, [])

    sandbox.cell = cell
    async with interpreters.serving(sandbox, sandbox_cpus=3.0) as containers:
        assert (await run(containers, "x")).cpu_seconds >= 0.3


async def test_a_count_that_goes_back_takes_nothing_off() -> None:
    sandbox = FakeSandbox()

    async def cell(code: str) -> CellResult:
        sandbox.sessions[-1].cpu = float(code)
        return CellResult("ok", [], False, [])

    sandbox.cell = cell
    async with interpreters.serving(sandbox) as containers:
        assert (await run(containers, "2", "0", "3")).cpu_seconds == 3


@pytest.mark.docker
async def test_who_computes_pays_and_who_sleeps_does_not() -> None:
    sandbox = DockerSandbox(sandboxes.image(), f"test-{uuid.uuid4().hex}")
    async with interpreters.serving(sandbox) as containers:
        busy = await run(containers, SPIN, owner="busy")
        idle = await run(containers, "import time; time.sleep(1.5)", owner="idle")
        child = await run(containers, f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''{SPIN}'''])")
    await sandbox.aclose()
    assert 1.5 <= busy.cpu_seconds < 3 and idle.cpu_seconds < 0.5 and child.cpu_seconds >= 1.5
