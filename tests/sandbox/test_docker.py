"""The Docker driver's own affairs: the containers behind its sessions. What sessions do: test_contract.py."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest
from sandboxes import SMALL, containers, run, serving, until, value

from sandbox import SandboxError, SandboxUnavailable, SessionClosed
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandbox.flags import INODES, flags

pytestmark = pytest.mark.docker

STUBBORN = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


async def test_a_closed_session_leaves_no_container(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    session = await driver.create(SMALL)
    assert session.alive and len(containers(owner)) == 1
    await session.close()
    await session.close()
    assert not session.alive and containers(owner) == []
    await driver.aclose()


async def test_the_number_of_files_is_limited(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    session = await driver.create(SMALL)
    code = "import os\n[os.statvfs(folder).f_files for folder in ('/mnt/data', '/tmp')]"
    assert value(await run(session, code)) == f"[{INODES}, {INODES}]"
    await session.close()
    await driver.aclose()


async def test_a_container_that_is_killed_in_a_cell_ends_the_session(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    session = await driver.create(SMALL)
    cell = asyncio.create_task(session.execute("while True: pass", 60))
    await asyncio.sleep(0.2)
    (container,) = containers(owner)
    container.kill()
    with pytest.raises(SessionClosed):
        await cell
    assert not session.alive
    await session.close()
    await driver.aclose()


async def test_an_engine_elsewhere_is_asked_for_processor_time(
    image: str, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.cgroups.accounting", lambda pid, id: None)
    driver = DockerSandbox(image, owner)
    session = await driver.create(SMALL)
    await run(session, "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass")
    assert 1 <= await session.cpu_seconds() < 2
    await session.close()
    with pytest.raises(SandboxError, match="cannot be told"):
        await session.cpu_seconds()
    await driver.aclose()


@pytest.mark.parametrize(
    "failure",
    [
        ("echo broken >&2; exit 3", SMALL.memory_bytes, "exit code 3: broken"),
        ("exec python -c 'x = bytearray(2**28)'", 64 * 2**20, "exit code 137(, out of memory)?"),
    ],
    ids=["it exits", "it needs more memory"],
)
async def test_why_a_container_did_not_start_is_said(
    image: str,
    owner: str,
    either_engine: Address,
    failure: tuple[str, int, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman does not tell that it was the memory."""
    command, memory_bytes, reason = failure
    if either_engine == Address():
        reason = reason.removesuffix("?")
    usual = {"entrypoint": ["sh", "-c", command]}
    monkeypatch.setattr("sandbox.docker.flags", lambda *args, **options: flags(*args, **options) | usual)
    driver = DockerSandbox(image, owner, "runc", either_engine)
    with pytest.raises(SandboxUnavailable, match=f"^The sandbox did not start: {reason}$"):
        await driver.create(replace(SMALL, memory_bytes=memory_bytes))
    await until(lambda: not containers(owner))
    await driver.aclose()


async def test_a_cancelled_create_leaves_no_container(image: str, owner: str) -> None:
    driver = DockerSandbox(image, owner)
    creating = asyncio.create_task(driver.create(SMALL))
    await until(lambda: containers(owner))
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    await until(lambda: not containers(owner))
    await driver.aclose()


@pytest.mark.parametrize(
    "code",
    ["1", "while True: pass", f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{STUBBORN}"],
    ids=["idle", "in a cell", "in a cell that ignores interrupts"],
)
async def test_no_container_outlives_a_killed_server(image: str, owner: str, code: str) -> None:
    server = await serving(image, owner, code)
    assert server.stdout is not None
    if code == "1":
        assert await server.stdout.readline() == b"idle\n"
    assert len(containers(owner)) == 1
    server.send_signal(signal.SIGKILL)
    await server.wait()
    await until(lambda: not containers(owner))


async def test_probe_tells_what_is_there_or_how_to_get_it(image: str) -> None:
    driver, imageless = DockerSandbox(image, owner="x"), DockerSandbox("tools-runtime-no-such-image:1", owner="x")
    assert image in await driver.probe()
    with pytest.raises(SandboxUnavailable, match="python -m sandbox build"):
        await imageless.probe()
    with pytest.raises(SandboxUnavailable, match="python -m sandbox build"):
        await imageless.create(SMALL)
    for each in (driver, imageless):
        await each.aclose()
