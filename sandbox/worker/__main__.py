"""The entry point of the image. Stdin and stdout carry frames; when stdin closes, the server is gone, and so are we."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sandbox.worker import confine, preload
from sandbox.worker.supervisor import Supervisor


def main() -> None:
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    confine.harden()
    shutil.copytree("/opt/matplotlib", "/tmp/matplotlib", dirs_exist_ok=True)
    preload.libraries()
    Supervisor(requests, replies, Path("/mnt/data")).run()


if __name__ == "__main__":
    main()
