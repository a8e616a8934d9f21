"""The bubblewrap driver's own affairs, and its self-test. What sessions do: test_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sandboxes import SMALL, FakeSandbox, until

from sandbox import CellResult, Sandbox, SandboxUnavailable, Text
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.cgroups import Groups
from sandbox.selftest import check


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
