"""The containers that a server has at an engine: what the ``docker`` command says of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from sandbox.engine import USUAL
from sandbox.flags import LABEL


def of(data: Path, engine: str = USUAL) -> list[str]:
    """The ids of those of the server on this folder."""
    return _listed(data, engine, "--all")


def running(data: Path, engine: str = USUAL) -> list[str]:
    """Those that run by now: one that was only made is not ended with its server, but by the next one."""
    return _listed(data, engine)


def _listed(data: Path, engine: str, *options: str) -> list[str]:
    (worker,) = [file.read_text() for file in data.glob("index/*/worker")]
    return docker(engine, "ps", *options, "--quiet", "--filter", f"label={LABEL}={worker}").split()


def kill(ids: Iterable[str], engine: str = USUAL) -> None:
    docker(engine, "kill", *ids)


def memory(ids: Iterable[str], engine: str = USUAL) -> set[int]:
    """Their limits of memory, in bytes."""
    return set(map(int, docker(engine, "inspect", "--format", "{{.HostConfig.Memory}}", *ids).split()))


def has(id: str, path: str, engine: str = USUAL) -> bool:
    """Whether there is such a file in the container."""
    command = ["docker", "--host", engine, "exec", id, "test", "-e", path]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def docker(engine: str, *arguments: str) -> str:
    command = ["docker", "--host", engine, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
