"""What the supervisor imports before the first fork, so that no cell waits for it."""

from __future__ import annotations

import importlib

_MODULES = (
    "IPython.core.application",
    "IPython.core.completerlib",
    "IPython.core.crashhandler",
    "IPython.core.interactiveshell",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "numpy",
    "pandas",
    "sandbox.worker.kernel",
)


def libraries() -> None:
    for name in _MODULES:
        importlib.import_module(name)
