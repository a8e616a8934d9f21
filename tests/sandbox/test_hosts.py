"""Several machines with engines: where sessions go, and what becomes of them when a machine fails."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import certificates
import pytest
from engines import SecondEngine, engine
from sandboxes import SMALL, FakeSandbox, FakeSession, containers, run, serving, spend, until, value

from sandbox import SandboxFull, SandboxUnavailable, SessionClosed, Spec, hosts
from sandbox.docker import DockerSandbox
from sandbox.engine import Address, send
from sandbox.hosts import Host, Hosts
from sandbox.pool import WarmPool

GIB = 2**30


class Machine(FakeSandbox):
    """A driver without machines that may be ``down``."""

    def __init__(self, memory_bytes: int = 4 * GIB) -> None:
        super().__init__()
        self.memory_bytes = memory_bytes
        self.down = False

    async def create(self, spec: Spec) -> FakeSession:
        self.answer()
        return await super().create(spec)

    async def sweep(self) -> int:
        self.answer()
        return await super().sweep()

    async def probe(self) -> str:
        self.answer()
        return "there"

    def answer(self) -> None:
        if self.down:
            raise SandboxUnavailable("down")


async def of(*machines: Machine, warm: int = 0, room: int = 2 * GIB) -> Hosts:
    made = Hosts(
        [Host(f"host {n}", each, WarmPool(each, {SMALL: warm}, room)) for n, each in enumerate(machines, start=1)]
    )
    await made.sweep()
    return made


async def test_the_machine_with_the_smallest_share_of_its_memory_promised_is_taken() -> None:
    small, large = Machine(4 * GIB), Machine(12 * GIB)
    sandbox = await of(small, large, room=64 * GIB)
    for _ in range(8):
        await sandbox.create(SMALL)
    assert (len(small.sessions), len(large.sessions)) == (2, 6)
    await sandbox.aclose()


async def test_a_machine_without_room_is_passed_over() -> None:
    small, large = Machine(400 * GIB), Machine(2 * GIB)
    sandbox = await of(small, large, room=SMALL.memory_bytes)
    for _ in range(2):
        await sandbox.create(SMALL)
    assert (len(small.sessions), len(large.sessions)) == (1, 1)
    with pytest.raises(SandboxFull):
        await sandbox.create(SMALL)
    await sandbox.aclose()


async def test_a_machine_that_is_down_is_left_out_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "RETRY_SECONDS", 0.02)
    first, second = Machine(), Machine()
    first.down = True
    sandbox = await of(first, second)
    for _ in range(2):
        await sandbox.create(SMALL)
    assert (len(first.sessions), len(second.sessions), first.swept) == (0, 2, 0)
    assert await sandbox.probe() == "host 1: down; host 2: there"
    first.down = False
    await until(lambda: first.swept)
    await sandbox.create(SMALL)
    assert (len(first.sessions), first.swept, second.swept) == (1, 1, 1)
    await sandbox.aclose()


async def test_a_machine_that_fails_at_a_session_is_left_out_and_another_gives_it() -> None:
    first, second = Machine(), Machine()
    sandbox = await of(first, second)
    first.down = True
    for _ in range(2):
        await sandbox.create(SMALL)
    assert len(second.sessions) == 2
    second.down = True
    with pytest.raises(SandboxUnavailable, match="host 1: down host 2: down"):
        await sandbox.create(SMALL)
    await sandbox.aclose()


async def test_each_machine_keeps_sessions_warm() -> None:
    machines = Machine(), Machine()
    sandbox = await of(*machines, warm=1)
    await until(lambda: all(machine.sessions for machine in machines))
    await sandbox.aclose()
    assert not any(session.alive for machine in machines for session in machine.sessions)


# --- real engines ----------------------------------------------------------------------------------------------------


@dataclass
class Second:
    """The machine's engine is the first; this one is reached by TCP with TLS, as ``client`` or as nobody known."""

    engine: SecondEngine
    client: Path

    def driver(self, image: str, owner: str) -> DockerSandbox:
        return DockerSandbox(image, owner, "runc", Address(self.engine.tls_url, self.client))


@pytest.fixture(scope="module")
def second(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    server, client = certificates.make(tmp_path_factory.mktemp("hosts") / "certificates")
    with engine(image, server) as running:
        yield Second(running, client)


@pytest.mark.docker
async def test_sessions_run_through_tls(image: str, owner: str, second: Second) -> None:
    driver = second.driver(image, owner)
    session = await driver.create(SMALL)
    data = os.urandom(10 * 2**20)
    await session.put("data", data)
    assert value(await run(session, "len(open('data', 'rb').read())")) == str(len(data))
    assert await session.get("data") == data
    assert (await session.execute("while True: pass", 0.5)).status == "interrupted"
    await session.close()
    assert await driver.sweep() == 0
    await driver.aclose()


@pytest.mark.docker
async def test_processor_time_is_told_through_tls(
    image: str, owner: str, second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.cgroups.accounting", lambda pid, id: None)  # as if the machine were another
    driver = second.driver(image, owner)
    session = await driver.create(SMALL)
    used, counted = await spend(session)
    assert 1.5 <= used <= counted + 0.02 and counted <= 1.1 * used + 0.2
    await session.close()
    await driver.aclose()


@pytest.mark.docker
async def test_no_container_elsewhere_outlives_a_killed_server(image: str, owner: str, second: Second) -> None:
    server = await serving(image, owner, "while True: pass", Address(second.engine.tls_url, second.client))
    assert len(containers(owner, second.engine.url)) == 1
    server.kill()
    await server.wait()
    await until(lambda: not containers(owner, second.engine.url), 60)


@pytest.mark.docker
async def test_nobody_unknown_gets_in_by_tls(image: str, owner: str, second: Second, tmp_path: Path) -> None:
    _, stranger = certificates.make(tmp_path / "others")
    (stranger / "ca.pem").write_bytes((second.client / "ca.pem").read_bytes())
    for certificate in (stranger, None):
        driver = DockerSandbox(image, owner, "runc", Address(second.engine.tls_url, certificate))
        with pytest.raises(SandboxUnavailable, match="No Docker Engine answers at tcp://"):
            await driver.probe()
        await driver.aclose()


@pytest.mark.docker
async def test_an_engine_of_another_authority_is_not_trusted(
    image: str, owner: str, second: Second, tmp_path: Path
) -> None:
    _, others = certificates.make(tmp_path / "others")
    driver = DockerSandbox(image, owner, "runc", Address(second.engine.tls_url, others))
    with pytest.raises(SandboxUnavailable, match="certificate verify failed"):
        await driver.probe()
    await driver.aclose()


@pytest.mark.docker
async def test_a_machine_without_the_image_says_how_to_get_it_there(owner: str, second: Second) -> None:
    driver = second.driver("tools-runtime-no-such-image:1", owner)
    for work in (driver.probe(), driver.create(SMALL)):
        with pytest.raises(SandboxUnavailable, match=f"python -m sandbox build .*--host {second.engine.tls_url}"):
            await work
    await driver.aclose()


@pytest.mark.docker
def test_an_image_is_sent_to_another_machine(second: Second, owner: str, tmp_path: Path) -> None:
    image = f"tools-runtime-{owner[:12]}:1"
    subprocess.run(["tar", "-cf", tmp_path / "empty.tar", "-T", "/dev/null"], check=True)
    subprocess.run(["docker", "import", tmp_path / "empty.tar", image], check=True, capture_output=True)
    try:
        to = Address(second.engine.tls_url, second.client)
        assert send(image, to) == f"{image} sent to {to.url}"
        assert send(image, to) == f"{to.url} has {image}"
    finally:
        subprocess.run(["docker", "rmi", image], check=True, capture_output=True)


@pytest.mark.docker
async def test_the_death_of_an_engine_ends_its_sessions_and_no_other(
    image: str, owner: str, second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "RETRY_SECONDS", 0.2)
    drivers = {"first": DockerSandbox(image, owner, "runc"), "second": second.driver(image, owner)}
    sandbox = Hosts([Host(name, each, WarmPool(each, {}, 4 * GIB)) for name, each in drivers.items()])
    await sandbox.sweep()
    sessions = [await sandbox.create(SMALL) for _ in range(2)]
    cells = [asyncio.create_task(session.execute("import time; time.sleep(5); 'done'", 60)) for session in sessions]
    await asyncio.sleep(0.3)
    second.engine.kill()
    results = await asyncio.gather(*cells, return_exceptions=True)
    assert sorted(isinstance(result, SessionClosed) for result in results) == [False, True]
    assert [session.alive for session in sessions] == [not isinstance(result, SessionClosed) for result in results]

    replacement = await sandbox.create(SMALL)
    assert value(await run(replacement, "1 + 1")) == "2"
    assert "second: No Docker Engine answers at tcp://" in await sandbox.probe()

    await asyncio.to_thread(second.engine.start)
    await until(lambda: sandbox.names == ["first", "second"])
    again = await sandbox.create(SMALL)
    assert value(await run(again, "1 + 1")) == "2"
    for session in (*sessions, replacement, again):
        await session.close()
    assert await drivers["second"].sweep() == 0
    await sandbox.aclose()
