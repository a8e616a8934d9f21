"""Files' bytes on disk. Names are ids that we minted, never anything that a client wrote."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import BinaryIO

ORPHAN_SECONDS = 3600
_PARTIAL = ".partial"


class TooLarge(Exception):
    """The data is longer than the limit that the caller set."""


class BlobStore:
    """One folder of blobs. A blob appears whole or not at all, and is on disk once ``write`` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, id: str) -> Path:
        """Where the blob lies, or would lie."""
        return self._folder / id

    async def write(self, id: str, data: AsyncIterator[bytes], max_bytes: int) -> int:
        """Writes a new blob and returns its size in bytes. Raises ``TooLarge``; then, as after any failure, nothing is
        left behind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{id}{_PARTIAL}"
        size = 0
        try:
            with partial.open("xb") as file:
                async for piece in data:
                    size += len(piece)
                    if size > max_bytes:
                        raise TooLarge
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(_sync, file)
            partial.rename(self.path(id))
            await asyncio.to_thread(_sync_folder, self._folder)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return size

    def delete(self, id: str) -> None:
        self.path(id).unlink(missing_ok=True)

    def sweep(self, keep: Collection[str]) -> None:
        """Removes what a crash left behind: all but the blobs in ``keep``. What was written in the last hour stays:
        another process may be about to note it down."""
        oldest = time.time() - ORPHAN_SECONDS
        if self._folder.exists():
            for path in self._folder.iterdir():
                if path.name not in keep and path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
