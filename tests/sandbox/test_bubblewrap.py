"""The bubblewrap driver's own affairs, and its self-test. What sessions do: test_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sandboxes import SMALL, FakeSandbox, until

from sandbox import CellResult, Sandbox, SandboxUnavailable, Text, selftest
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.cgroups import Groups
from sandbox.selftest import check, check_once


async def test_without_an_image_it_says_how_to_get_one(tmp_path: Path, owner: str) -> None:
    with pytest.raises(SandboxUnavailable, match=r"package bubblewrap|python -m sandbox build --rootfs"):
        await BubblewrapSandbox(tmp_path, owner).probe()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('{"network": false, "rights": true, "disk": false}', "network, disk, memory"),
        ('{"network": true}', "memory"),
        ("", "everything"),
    ],
)
async def test_boundaries_that_do_not_hold_are_named(said: str, complaint: str) -> None:
    async def cell(code: str) -> CellResult:
        return CellResult("ok", [Text("stdout", said)], False, [])

    sandbox = FakeSandbox(cell)
    with pytest.raises(SandboxUnavailable, match=rf"open does not confine here: {complaint}\."):
        await check("open", sandbox.create)
    assert not sandbox.sessions[0].alive


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="module")
async def test_the_boundaries_of_every_driver_hold(driver: Sandbox, kind: str) -> None:
    await check(driver.name, driver.create, counts_processes=kind != "gvisor")


@pytest.mark.docker
@pytest.mark.parametrize(
    ("memory_bytes", "reason"),
    [(2**20, r"exit code -?\d+, out of memory"), (SMALL.memory_bytes, "exit code 1: .*No module named 'no'")],
)
async def test_why_a_session_did_not_start_is_said(
    bubblewrap: Callable[[str], Sandbox], owner: str, memory_bytes: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = bubblewrap(owner)
    await driver.probe()
    if memory_bytes == SMALL.memory_bytes:
        broken = {"Env": [], "Entrypoint": ["/opt/venv/bin/python", "-m", "no.such.worker"]}
        monkeypatch.setattr(BubblewrapSandbox, "_settings", lambda self: broken)
    with pytest.raises(SandboxUnavailable, match=f"^The sandbox did not start: {reason}"):
        await driver.create(replace(SMALL, memory_bytes=memory_bytes))
    assert Groups(owner).left() == set()


async def test_the_self_test_runs_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "_passed", set())
    results = [CellResult("ok", [Text("stdout", text)], False, []) for text in ("{", '{"number of processes": true}')]

    async def cell(code: str) -> CellResult:
        if "bytearray" in code:
            return CellResult("kernel_died", [], True, [])
        return results.pop(0)

    sandbox = FakeSandbox(cell)
    with pytest.raises(SandboxUnavailable, match="everything"):
        await check_once("here", "fake", sandbox.create)
    for _ in range(2):
        await check_once("here", "fake", sandbox.create)
    assert len(sandbox.sessions) == 2


@pytest.mark.docker
async def test_outside_the_worker_is_nobody_and_leaves_nothing(
    bubblewrap: Callable[[str], Sandbox], owner: str
) -> None:
    driver, groups = bubblewrap(owner), Groups(owner)
    session = await driver.create(SMALL)
    assert groups.left() == {session.id}
    (file, *_) = groups.make(session.id, SMALL)
    running = [Path(f"/proc/{pid}") for pid in file.read_text().split()]
    assert running and {process.stat().st_uid for process in running} == {10001}
    await session.close()
    assert groups.left() == set()
    await until(lambda: not any(process.exists() for process in running))
