"""Runs once while the image is built: importing compiles the modules to bytecode and makes matplotlib's font cache."""

import importlib

import matplotlib.font_manager

for name in (
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
    "openpyxl",
    "pandas",
    "PIL.Image",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sympy",
):
    importlib.import_module(name)

assert matplotlib.font_manager.fontManager.ttflist
