"""Control groups of both versions, in folders that look like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import SandboxUnavailable, Spec
from sandbox.cgroups import Groups, accounting

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
    with_files(tmp_path / "cpuacct/tools-runtime-me-1", "cpuacct.usage")
    there = groups(tmp_path, "4:memory:/mine\n3:pids:/of/the/host\n2:cpu:/\n1:cpuacct:/\n0::/")
    made = there.make("1", SPEC)
    folders = ("memory/mine", "pids", "cpu", "cpuacct")
    assert made == [tmp_path / folder / "tools-runtime-me-1" / "cgroup.procs" for folder in folders]
    (made[3].parent / "cpuacct.usage").write_text("1500000000\n")
    assert there.cpu_seconds("1") == 1.5
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
    (file.parent / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    assert there.cpu_seconds("1") == 2.5
    with pytest.raises(OSError):
        there.cpu_seconds("2")


@pytest.mark.parametrize(
    ("cgroup", "group"),
    [
        ("3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n", "cpuacct/docker/abc"),
        ("0::/system.slice/docker-abc.scope\n", "system.slice/docker-abc.scope"),
        ("0::/system.slice/docker-def.scope\n", None),
        ("0::/system.slice/docker-abc-elsewhere.scope\n", None),
    ],
    ids=["version 1", "version 2", "somebody else's process", "not there"],
)
def test_a_containers_group_is_found_by_its_process_and_its_name(
    tmp_path: Path, cgroup: str, group: str | None
) -> None:
    for each in ("cpuacct/docker/abc", "system.slice/docker-abc.scope", "system.slice/docker-def.scope", "proc/7"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(cgroup)
    found = accounting(7, "abc", tmp_path, tmp_path / "proc")
    assert found == (None if group is None else tmp_path / group)
    assert accounting(8, "abc", tmp_path, tmp_path / "proc") is None


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
