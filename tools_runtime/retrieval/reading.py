"""Reads files in a process of their own, so that a hostile file can hurt nothing but its own reading."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from tools_runtime.retrieval import Document, Unreadable

_log = logging.getLogger(__name__)


class SubprocessReader:
    """Reads each file in a fresh Python process with limits on memory and time; see ``readers`` for the types.

    The process gets none of the server's environment. ``seconds`` bounds its CPU time and its stay;
    ``max_unpacked`` is in bytes, of documents that are archives.
    """

    def __init__(self, *, seconds: float, memory_bytes: int, max_chars: int, max_unpacked: int) -> None:
        self._seconds = seconds
        self._limits = (str(memory_bytes), str(seconds), str(max_chars), str(max_unpacked))

    async def read(self, path: Path, filename: str) -> Document:
        """The file's text. Raises ``Unreadable``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            "tools_runtime.retrieval.readers",
            str(path),
            filename,
            *self._limits,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
        )
        try:
            async with asyncio.timeout(self._seconds):
                out, err = await process.communicate()
        except TimeoutError:
            raise Unreadable("invalid_file", f"Reading the file took more than {self._seconds:g} seconds.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            _log.warning("reading %s ended with %s: %s", path.name, process.returncode, err.decode(errors="replace"))
            raise Unreadable("invalid_file", "The file takes too much memory or time to read, or is damaged.")
        result = json.loads(out.splitlines()[-1])
        if "code" in result:
            raise Unreadable(result["code"], result["message"])
        starts = result["page_starts"]
        return Document(result["text"], None if starts is None else tuple(starts), result["marked"])
