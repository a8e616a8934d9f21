"""gVisor as the engine's runtime: what it adds, and when it is chosen. What sessions do: test_contract.py."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from engines import SecondEngine
from sandboxes import SMALL, run, value

from sandbox import SandboxUnavailable, Session, selftest
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandbox.flags import GVISOR, GVISOR_BYTES

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver(image: str, gvisor: SecondEngine) -> AsyncIterator[DockerSandbox]:
    """One that may choose."""
    driver = DockerSandbox(image, "test-gvisor", None, Address(gvisor.url))
    yield driver
    await driver.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(driver: DockerSandbox) -> AsyncIterator[Session]:
    session = await driver.create(SMALL)
    yield session
    await session.close()


async def test_it_is_chosen_where_it_is_offered_and_its_boundaries_hold(driver: DockerSandbox) -> None:
    assert "runtime runsc" in await driver.probe()


async def test_the_memory_of_its_own_kernel_counts(driver: DockerSandbox) -> None:
    await driver.probe()
    assert driver.taken_bytes(SMALL) == SMALL.memory_bytes + GVISOR_BYTES


async def test_processor_time_is_what_the_same_work_takes_elsewhere(
    image: str, gvisor: SecondEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside, it cannot be read: there, time that is waited counts too."""
    counted = {}
    for runtime in ("runc", GVISOR):
        driver = DockerSandbox(image, "test-gvisor", runtime, Address(gvisor.url))
        session = await driver.create(SMALL)
        await run(session, "total = 0\nfor number in range(30_000_000): total += number", 120)
        counted[runtime] = await session.cpu_seconds()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("sandbox.cgroups.accounting", lambda pid, id: None)
            assert await session.cpu_seconds() == pytest.approx(counted[runtime], abs=0.2)
        await run(session, "import time; time.sleep(2)")
        assert await session.cpu_seconds() < counted[runtime] + 0.5
        await session.close()
        await driver.aclose()
    assert 0.5 < counted[GVISOR] / counted["runc"] < 2.5, counted


async def test_it_is_not_chosen_where_a_boundary_is_open(
    image: str, gvisor: SecondEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(selftest, "_INSIDE", 'print(\'{{"rights": false, "number of processes": true}}\')#{port}')
    monkeypatch.setattr(selftest, "_passed", set())
    driver = DockerSandbox(image, "test-gvisor", None, Address(gvisor.url))
    with caplog.at_level(logging.WARNING):
        line = await driver.probe()
    assert "runtime runc (not runsc: runsc does not confine here: rights.)" in line
    assert "does not confine here: rights" in caplog.text
    await driver.aclose()


async def test_the_one_that_is_asked_for_is_taken(image: str, gvisor: SecondEngine) -> None:
    driver = DockerSandbox(image, "test-gvisor", "runc", Address(gvisor.url))
    assert (await driver.probe()).endswith("runtime runc")
    await driver.aclose()


async def test_programs_see_a_kernel_that_is_not_the_machines(session: Session) -> None:
    seen = value(await run(session, "import os; os.uname().release, os.path.exists('/proc/config.gz')"))
    assert os.uname().release not in seen and "False" in seen


async def test_threads_do_not_use_up_the_address_space(session: Session) -> None:
    code = (
        "import threading\nstop = threading.Event(); held = []\n"
        "def work(): held.append(bytearray(10_000)); stop.wait()\n"
        "threads = [threading.Thread(target=work) for _ in range(100)]\n"
        "for thread in threads: thread.start()\nstop.set()\nlen(threads)"
    )
    assert value(await run(session, code)) == "100"


async def test_a_runtime_that_is_not_offered_is_an_error(image: str, gvisor: SecondEngine) -> None:
    driver = DockerSandbox(image, "test-gvisor", "kata", Address(gvisor.url))
    with pytest.raises(SandboxUnavailable, match=r"no runtime kata; it offers .*runsc"):
        await driver.probe()
    await driver.aclose()
