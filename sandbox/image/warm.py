"""Runs once while the image is built: importing compiles the modules to bytecode and makes matplotlib's font cache."""

import importlib

import matplotlib.font_manager
from libraries import COMMON  # type: ignore[import-not-found]  # of sandbox/worker; the build puts it beside this

for name in (
    *COMMON,
    "openpyxl",
    "PIL.Image",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sympy",
):
    importlib.import_module(name)

assert matplotlib.font_manager.fontManager.ttflist
