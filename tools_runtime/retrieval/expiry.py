"""Deletes what has expired, in the background."""

from __future__ import annotations

import asyncio
import logging
import time

from tools_runtime.retrieval.library import Library
from tools_runtime.stores.uploads import UploadStore

_log = logging.getLogger(__name__)


class Sweeper:
    """Deletes expired files, uploads and contents of vector stores, every ``seconds``. Until then they are there but
    refused: each reader of them looks at the time, too."""

    def __init__(self, library: Library, uploads: UploadStore, *, seconds: float) -> None:
        self._library = library
        self._uploads = uploads
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self, now: float) -> None:
        """Deletes what has expired by ``now``, in seconds since 1970."""
        await self._library.expire(now)
        await self._uploads.expire(now)

    async def _work(self) -> None:
        while True:
            try:
                await self.sweep(time.time())
            except Exception:
                _log.exception("deleting what has expired failed")
            await asyncio.sleep(self._seconds)
