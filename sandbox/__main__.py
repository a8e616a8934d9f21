"""``python -m sandbox build``: builds the image, or says that it is up to date. What ``make run`` calls."""

from __future__ import annotations

import argparse
import sys

from sandbox.build import BASE_IMAGE, BuildError, build


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox", description="The sandbox of tools-runtime.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="build the image, unless it is up to date")
    command.add_argument("--tag", default="tools-runtime-sandbox:latest")
    command.add_argument("--base", default=BASE_IMAGE, help="the image to build on (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        print(f"sandbox: {build(arguments.tag, arguments.base)}")
    except BuildError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
