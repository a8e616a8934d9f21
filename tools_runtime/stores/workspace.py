"""A process's own folder for what it keeps beside the database."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from tools_runtime import ids


class Workspace:
    """A folder below ``parent`` that no other process uses while this one lives: the first free one of ``0``, ``1`` …
    A later process takes over what an earlier one left in it, its ``worker`` name included."""

    def __init__(self, parent: Path) -> None:
        self.folder, self._lock = _claim(parent)
        file = self.folder / "worker"
        if not file.exists() or not file.read_text():
            file.write_text(ids.new("worker"))
        self.worker = file.read_text()
        """Names whoever uses this folder; one at a time."""

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.close()


def _claim(parent: Path) -> tuple[Path, IO[str]]:
    number = 0
    while True:
        folder = parent / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            number += 1
        else:
            return folder, lock
