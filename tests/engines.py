"""A Docker Engine of the tests' own, beside the machine's, with gVisor among its runtimes.

It has a network namespace to itself: a second engine in the machine's would take away the first one's bridge. Its
images lie in memory: on some disks it takes a minute to delete the many files of one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 240
GVISOR = {"path": shutil.which("runsc") or "runsc", "runtimeArgs": ["--platform=ptrace", "--network=none"]}


class SecondEngine:
    """``url`` is its unix socket; with a server's ``certificates``, ``tls_url`` is a port of 127.0.0.1 with TLS."""

    def __init__(self, folder: Path, certificates: Path | None) -> None:
        self._folder = folder
        self._log = folder / "log"
        self._certificates = certificates
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._daemon: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{folder}/socket"
        self.tls_url = "tcp://{}:{}".format(*self._listener.getsockname())
        (folder / "daemon.json").write_text(json.dumps({"runtimes": {"runsc": GVISOR}}))

    def start(self) -> None:
        """On a busy machine an engine may give up on its own parts, which it waits for some seconds; it gets another
        try then."""
        end = time.monotonic() + START_SECONDS
        while not _answers(self.url):
            if time.monotonic() > end:
                raise RuntimeError(f"The engine did not start: {self._log.read_text()[-2000:]}")
            if self._daemon is None or self._daemon.poll() is not None:
                self._launch()
            time.sleep(0.2)

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                self._command(), stdout=log, stderr=log, pass_fds=[self._listener.fileno()], process_group=0
            )

    def load(self, image: str) -> None:
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "--host", self.url, "load", "--quiet"], stdin=saved.stdout, check=True)
        assert saved.returncode == 0

    def kill(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()
        self._daemon = None

    def stop(self) -> None:
        """One that was killed is started first: it ends what it has left running."""
        if self._daemon is None:
            self.start()
        assert self._daemon is not None
        self._daemon.terminate()
        self._daemon.wait(START_SECONDS)
        self._listener.close()

    def _command(self) -> list[str]:
        folder = self._folder
        # A namespace must not end with an underscore or have two in a row, which folders of tempfile's may.
        namespace = folder.name.replace("_", "-u")
        options = [
            *("--config-file", f"{folder}/daemon.json", "--host", self.url, "--bridge=none", "--iptables=false"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
            # The containerd that runs already may serve both, each under its own names.
            *("--containerd-namespace", namespace, "--containerd-plugins-namespace", f"{namespace}-plugins"),
        ]
        if self._certificates is None:
            return ["unshare", "--net", "dockerd", *options]
        files = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}
        options += ["--tlsverify", *(f"--{name}={self._certificates / file}" for name, file in files.items())]
        # A port of the machine's, handed over as systemd does it: as descriptor 3.
        hand_over = f'exec 3<&{self._listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec unshare --net dockerd "$@"'
        return ["bash", "-c", hand_over, "bash", *options, "--host", "fd://"]


@contextlib.contextmanager
def engine(image: str, certificates: Path | None = None) -> Iterator[SecondEngine]:
    """One that runs and has ``image``."""
    with tempfile.TemporaryDirectory(prefix="engine", ignore_cleanup_errors=True) as name, _memory(Path(name) / "data"):
        engine = SecondEngine(Path(name), certificates)
        try:
            engine.start()
            engine.load(image)
            yield engine
        finally:
            engine.stop()


@contextlib.contextmanager
def podman(image: str) -> Iterator[str]:
    """The URL of Podman's API, with ``image``."""
    with tempfile.TemporaryDirectory(prefix="podman", ignore_cleanup_errors=True) as name, _memory(Path(name) / "data"):
        url = f"unix://{name}/socket"
        # Debian's crun knows no machine with both versions of control groups.
        command = [
            *("podman", "--root", f"{name}/data/root", "--runroot", f"{name}/data/run", "--storage-driver", "overlay"),
            *("--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "file"),
        ]
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run([*command, "load", "--quiet"], stdin=saved.stdout, check=True, capture_output=True)
        path = Path(name) / "log"
        with path.open("wb") as log:
            # Where it is started, it leaves a file for each container that ran out of memory.
            service = subprocess.Popen(
                [*command, "system", "service", "--time=0", url], stdout=log, stderr=log, cwd=name
            )
        try:
            end = time.monotonic() + START_SECONDS
            while not _answers(url):
                if time.monotonic() > end:
                    raise RuntimeError(f"Podman did not start: {path.read_text()[-2000:]}")
                time.sleep(0.2)
            yield url
        finally:
            service.terminate()
            service.wait(START_SECONDS)


@contextlib.contextmanager
def _memory(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _answers(url: str) -> bool:
    return subprocess.run(["docker", "--host", url, "info"], capture_output=True, check=False).returncode == 0
