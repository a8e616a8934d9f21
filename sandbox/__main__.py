"""``python -m sandbox build``: builds the image, or says that it is up to date. What ``make run`` calls.

With ``--rootfs FOLDER`` it also unpacks the image, for bubblewrap. With ``--host URL`` it also sends
it to another engine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox import SandboxUnavailable
from sandbox.build import BASE_IMAGE, BuildError, build, export
from sandbox.engine import Address, send


def main() -> int:
    parser = argparse.ArgumentParser(prog="sandbox", description="The sandbox of tools-runtime.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="build the image, unless it is up to date")
    command.add_argument("--tag", default="tools-runtime-sandbox:latest")
    command.add_argument("--base", default=BASE_IMAGE, help="the image to build on (default: %(default)s)")
    command.add_argument("--rootfs", type=Path, metavar="FOLDER", help="unpack the image here as well, for bubblewrap")
    command.add_argument("--host", metavar="URL", help="send the image to this Docker Engine as well")
    command.add_argument("--certificates", type=Path, metavar="FOLDER", help="for a host at tcp://: TLS with these")
    arguments = parser.parse_args()
    try:
        print(f"sandbox: {build(arguments.tag, arguments.base)}")
        if arguments.rootfs is not None:
            print(f"sandbox: {export(arguments.tag, arguments.rootfs)}")
        if arguments.host is not None:
            print(f"sandbox: {send(arguments.tag, Address(arguments.host, arguments.certificates))}")
    except (BuildError, SandboxUnavailable) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
