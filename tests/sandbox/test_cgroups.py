"""Control groups of both versions, in folders that look like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import SandboxUnavailable, Spec
from sandbox.cgroups import Groups

SPEC = Spec(memory_bytes=2**28, cpus=0.5, pids=40)


def groups(mount: Path, own: str) -> Groups:
    file = mount / "own"
    file.write_text(own)
    return Groups("me", mount, file)


def with_files(group: Path, *names: str) -> None:
    """The kernel makes a new group's files; here they are there before."""
    group.mkdir(parents=True)
    for name in names:
        (group / name).touch()


def test_version_one_has_a_group_for_each_controller(tmp_path: Path) -> None:
    with_files(tmp_path / "memory/mine/tools-runtime-me-1", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    with_files(tmp_path / "pids/tools-runtime-me-1", "pids.max")
    with_files(tmp_path / "cpu/tools-runtime-me-1", "cpu.cfs_period_us", "cpu.cfs_quota_us")
    made = groups(tmp_path, "4:memory:/mine\n3:pids:/of/the/host\n2:cpu,cpuacct:/\n0::/").make("1", SPEC)
    assert made == [
        tmp_path / folder / "tools-runtime-me-1" / "cgroup.procs" for folder in ("memory/mine", "pids", "cpu")
    ]
    assert (made[0].parent / "memory.limit_in_bytes").read_text() == str(2**28)
    assert (made[0].parent / "memory.memsw.limit_in_bytes").read_text() == str(2**28)
    assert (made[1].parent / "pids.max").read_text() == "40"
    assert (made[2].parent / "cpu.cfs_quota_us").read_text() == "50000"


def test_version_two_uses_the_nearest_group_that_passes_on_its_controllers(tmp_path: Path) -> None:
    with_files(tmp_path / "system.slice/us.service", "cgroup.subtree_control")
    (tmp_path / "system.slice/cgroup.subtree_control").write_text("cpu io memory pids")
    with_files(tmp_path / "system.slice/tools-runtime-me-1", "memory.max", "memory.swap.max", "pids.max", "cpu.max")
    there = groups(tmp_path, "0::/system.slice/us.service\n")
    (file,) = there.make("1", SPEC)
    assert file == tmp_path / "system.slice/tools-runtime-me-1/cgroup.procs"
    written = {name: (file.parent / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.max")}
    assert written == {"memory.max": str(2**28), "memory.swap.max": "0", "cpu.max": "50000 100000"}
    assert there.left() == {"1"}


@pytest.mark.parametrize("own", ["0::/", "4:memory:/\n3:pids:/\n"])
def test_without_all_controllers_there_is_no_sandbox(tmp_path: Path, own: str) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("memory pids")
    with pytest.raises(SandboxUnavailable, match="control groups"):
        groups(tmp_path, own)


def test_where_none_can_be_made_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("memory pids cpu")
    there = groups(tmp_path, "0::/")
    (tmp_path / "tools-runtime-me-1").touch()
    with pytest.raises(SandboxUnavailable, match="delegated"):
        there.make("1", SPEC)
