"""Cells by ipykernel and jupyter_client, in a container of the sandbox's own image, as a baseline.

The packages are installed into a folder of the host and mounted, so the container has no network. The client runs in
the container, too: its times are those of the kernel's protocol alone, without the way out that ours includes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

PACKAGES = ("ipykernel", "jupyter_client")
FOLDER = "/opt/jupyter"

_CLIENT = """
import json, sys, time
from jupyter_client.manager import KernelManager
manager = KernelManager(transport="ipc")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready()
for line in sys.stdin:
    shown = []
    start = time.perf_counter()
    reply = client.execute_interactive(json.loads(line), output_hook=lambda message: shown.append(message["content"]))
    taken = time.perf_counter() - start
    assert reply["content"]["status"] == "ok", reply
    kinds = [kind for content in shown for kind in content.get("data", {})]
    print(json.dumps({"ms": taken * 1000, "kinds": kinds}), flush=True)
manager.shutdown_kernel(now=True)
"""


def install(folder: Path, image: str, python: str) -> None:
    """The packages for the image's Python. It and the host's machine must be of one kind."""
    ask = ["docker", "run", "--rm", "--network=none", f"--entrypoint={python}", image, "-c"]
    version = subprocess.run(
        [*ask, "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    options = ["--target", str(folder), "--python-version", version, "--only-binary=:all:", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options, *PACKAGES], check=True
    )


class Notebook:
    """A kernel and its client. ``run`` gives the milliseconds that a cell took, and the MIME types that it showed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, code: str) -> tuple[float, list[str]]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(code).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer["ms"], answer["kinds"]


@asynccontextmanager
async def notebook(image: str, python: str, folder: Path) -> AsyncIterator[Notebook]:
    process = await asyncio.create_subprocess_exec(
        *("docker", "run", "--rm", "--interactive", "--network=none", "--cpus=1", "--memory=1g"),
        *(
            "--workdir=/tmp",
            "--volume",
            f"{folder}:{FOLDER}:ro",
            "--env",
            f"PYTHONPATH={FOLDER}",
            f"--entrypoint={python}",
        ),
        *(image, "-c", _CLIENT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Notebook(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
