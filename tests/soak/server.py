"""The server as ``tools-runtime serve`` runs it, with one route more: ``GET /state`` counts what must not grow."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from pathlib import Path

import uvicorn

from tools_runtime.app import create_app
from tools_runtime.settings import Settings


async def state() -> dict[str, int]:
    return _counts()


def _counts() -> dict[str, int]:
    """After a full collection; ``rss`` in bytes, after the allocator has given back what is free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
        "objects": len(gc.get_objects()),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
    }


if __name__ == "__main__":
    settings = Settings()
    app = create_app(settings)
    app.add_api_route("/state", state)
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_level="warning")
