"""Which database a test's folder goes with: a file in it, unless the fixture ``each_database`` has said another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_elsewhere: dict[Path, str] = {}


def url(folder: Path) -> str:
    return _elsewhere.get(folder, f"sqlite:///{folder}/test.db")


@contextlib.contextmanager
def assigned(folder: Path, url: str) -> Iterator[None]:
    _elsewhere[folder] = url
    try:
        yield
    finally:
        del _elsewhere[folder]
