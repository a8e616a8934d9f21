"""A Docker Engine of the tests' own, beside the machine's, with gVisor among its runtimes.

It has a network namespace to itself: a second engine in the machine's would take away the first one's bridge. Its
images lie in memory: on some disks it takes a minute to delete the many files of one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60
GVISOR = {"path": shutil.which("runsc") or "runsc", "runtimeArgs": ["--platform=ptrace", "--network=none"]}


@contextlib.contextmanager
def engine(image: str) -> Iterator[dict[str, str]]:
    """The variables by which the ``docker`` command reaches an engine that has ``image``."""
    with tempfile.TemporaryDirectory(prefix="engine", ignore_cleanup_errors=True) as name, _memory(Path(name) / "data"):
        folder = Path(name)
        host = f"unix://{folder}/socket"
        (folder / "daemon.json").write_text(json.dumps({"runtimes": {"runsc": GVISOR}}))
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(_command(folder, host), stdout=log, stderr=log)
        try:
            _wait(host, folder / "log")
            with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
                subprocess.run(["docker", "--host", host, "load", "--quiet"], stdin=saved.stdout, check=True)
            assert saved.returncode == 0
            yield {"DOCKER_HOST": host}
        finally:
            daemon.terminate()
            daemon.wait(START_SECONDS)


@contextlib.contextmanager
def _memory(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _command(folder: Path, host: str) -> list[str]:
    # The containerd that runs already may serve both, each under its own names.
    return [
        *("unshare", "--net", "dockerd", "--config-file", f"{folder}/daemon.json", "--host", host),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
        *("--bridge=none", "--iptables=false"),
        *("--containerd-namespace", folder.name, "--containerd-plugins-namespace", f"{folder.name}-plugins"),
    ]


def _wait(host: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while subprocess.run(["docker", "--host", host, "info"], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > end:
            raise RuntimeError(f"The second engine did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)
