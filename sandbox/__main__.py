"""``python -m sandbox build``: builds the image, or says that it is up to date. What ``make run`` calls.

With ``--rootfs FOLDER`` it also unpacks the image, for bubblewrap.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox.build import BASE_IMAGE, BuildError, build, export


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox", description="The sandbox of tools-runtime.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="build the image, unless it is up to date")
    command.add_argument("--tag", default="tools-runtime-sandbox:latest")
    command.add_argument("--base", default=BASE_IMAGE, help="the image to build on (default: %(default)s)")
    command.add_argument("--rootfs", type=Path, metavar="FOLDER", help="unpack the image here as well, for bubblewrap")
    arguments = parser.parse_args()
    try:
        print(f"sandbox: {build(arguments.tag, arguments.base)}")
        if arguments.rootfs is not None:
            print(f"sandbox: {export(arguments.tag, arguments.rootfs)}")
    except BuildError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
