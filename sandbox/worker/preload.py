"""What the supervisor imports before the first fork, so that no cell waits for it."""

from __future__ import annotations

import importlib

from sandbox.worker.libraries import COMMON


def libraries() -> None:
    for name in (*COMMON, "sandbox.worker.kernel"):
        importlib.import_module(name)
