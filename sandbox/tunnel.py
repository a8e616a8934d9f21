"""The unix socket of another machine's engine, as one of this machine, by the ``ssh`` command.

Who the other machine is and how we log in there is the affair of ssh's own configuration: nothing is asked.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

REMOTE_SOCKET = "/var/run/docker.sock"
OPEN_SECONDS = 20
ALIVE_SECONDS = 10
"""How often the other machine is asked for a sign of life; after three without one the tunnel ends."""


class Tunnel:
    """``url``: ``ssh://[USER@]HOST[:PORT][/PATH/OF/ITS/SOCKET]``. ``socket``: the near end, once it is open."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="tools-runtime-ssh-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = self._folder / "engine"

    def open(self) -> None:
        """Opens the tunnel unless it stands. Blocks. Raises ``OSError`` with what ssh complains of."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._end()
                self._begin()

    def close(self) -> None:
        with self._lock:
            self._end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        with (self._folder / "complaint").open("wb") as complaint:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaint
            )
        end = time.monotonic() + OPEN_SECONDS
        while not self.socket.exists():
            if self._process.poll() is not None:
                raise OSError(f"ssh: {(self._folder / 'complaint').read_text(errors='replace').strip()[-500:]}")
            if time.monotonic() > end:
                self._end()
                raise OSError(f"ssh did not connect in {OPEN_SECONDS} s")
            time.sleep(0.02)

    def _command(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            "ConnectTimeout": str(OPEN_SECONDS),
            "ServerAliveInterval": str(ALIVE_SECONDS),
            "StreamLocalBindMask": "0177",
        }
        port = ("-p", str(self._url.port)) if self._url.port else ()
        user = ("-l", self._url.username) if self._url.username else ()
        return [
            *_mortal(),
            *("ssh", "-N", "-T", "-L", f"{self.socket}:{self._url.path.rstrip('/') or REMOTE_SOCKET}"),
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
            *port,
            *user,
            *("--", self._url.hostname or ""),
        ]

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None
        self.socket.unlink(missing_ok=True)


def _mortal() -> tuple[str, ...]:
    """So that the tunnel of a server that is killed does not stand for ever."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
