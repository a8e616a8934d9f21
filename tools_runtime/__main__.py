"""``python -m tools_runtime`` is ``tools-runtime``."""

from tools_runtime.cli import main

main()
