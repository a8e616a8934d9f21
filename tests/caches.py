"""Where tests keep what takes long to make, from run to run and outside the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tools-runtime"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One process at a time prepares the cache."""
    with (folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
