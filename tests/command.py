"""The command ``tools-runtime`` as a process of its own, with settings of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools_runtime.settings import PREFIX

COMMAND = (sys.executable, "-m", "tools_runtime")


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
    )


@contextlib.contextmanager
def serving(
    log: Path,
    command: Sequence[str] = (*COMMAND, "serve"),
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[str]:
    """A server on a free port: its address. It has ended, by a signal, when the context is left. ``variables`` are for
    its environment beside the settings."""
    url = f"http://127.0.0.1:{(port := _free_port())}"
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            env=environment(port=port, **settings) | dict(variables or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait_until_ready(url, process, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)


@contextlib.contextmanager
def killable(
    log: Path, command: Sequence[str] = (*COMMAND, "serve"), **settings: object
) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server as by ``serving``, and what kills it without warning, as it must have been when the context is left."""
    url = f"http://127.0.0.1:{(port := _free_port())}"
    with (
        log.open("a") as output,
        subprocess.Popen(
            command, env=environment(port=port, **settings), stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_ready(url, process, log)
            yield url, process.kill
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
                assert response.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server ended:\n{log.read_text()}")
