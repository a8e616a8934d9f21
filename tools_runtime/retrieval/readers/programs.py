"""Programs that read what no library here does. Each is used where it is installed, under the reading process's own
limits, which it inherits; it gets a file or its standard input, and writes to a pipe only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OMP_THREAD_LIMIT": "1", "HOME": "/nonexistent"}


class ProgramFailed(Exception):
    """A program that ended with an error."""


def find(*names: str) -> str | None:
    """The path of the first of the programs that is installed."""
    return next(filter(None, (shutil.which(name, path=os.defpath) for name in names)), None)


def run(*command: str, data: bytes = b"") -> str:
    """What the program writes, given ``data``. Raises ``ProgramFailed``."""
    done = subprocess.run(command, input=data, capture_output=True, env=_ENVIRONMENT, cwd="/", check=False)
    if done.returncode:
        print(command[0], done.returncode, done.stderr[-500:], file=sys.stderr)
        raise ProgramFailed(command[0])
    return done.stdout.decode("utf-8", "replace")
