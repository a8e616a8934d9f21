"""Reads files in a process of their own, so that a hostile file can hurt nothing but its own reading."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tools_runtime.retrieval import Document, Unreadable
from tools_runtime.retrieval.readers.limits import ReadLimits

_BYTES_A_CHARACTER = 6
"""At most, of UTF-8 or an escape in JSON."""
_SLACK = 2**20
_log = logging.getLogger(__name__)


class SubprocessReader:
    """Reads each file in a fresh Python process with limits on memory and time; see ``readers`` for the types. The
    process gets none of the server's environment."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits

    async def read(self, path: Path, filename: str) -> Document:
        """The file's text; that in images only where there is no other. Raises ``Unreadable``."""
        result = await self._run(path, filename, recognise=False, seconds=self._limits.seconds)
        if "scanned" in result:
            result = await self._run(path, filename, recognise=True, seconds=self._limits.ocr_seconds)
        if "code" in result:
            raise Unreadable(result["code"], result["message"])
        starts = result["page_starts"]
        return Document(result["text"], None if starts is None else tuple(starts), result["marked"])

    async def _run(self, path: Path, filename: str, *, recognise: bool, seconds: float) -> dict[str, Any]:
        """What the reading process says of the file. Raises ``Unreadable`` when it is stopped or dies."""
        until = asyncio.get_running_loop().time() + seconds
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "tools_runtime.retrieval.readers"),
            *(str(path), filename, self._limits.dump(), "yes" if recognise else "no"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            start_new_session=True,  # with the programs that it calls, it can be ended as one
        )
        try:
            async with asyncio.timeout_at(until):
                out, err = await self._output(process)
        except TimeoutError:
            raise Unreadable("invalid_file", f"Reading the file took more than {seconds:g} seconds.") from None
        finally:
            await _end(process)
        if out is None or process.returncode != 0:
            _log.warning("reading %s ended with %s: %s", path.name, process.returncode, err.decode(errors="replace"))
            raise Unreadable("invalid_file", "The file takes too much memory or time to read, or is damaged.")
        # In a thread: of a large file this takes a second.
        return await asyncio.to_thread(_parse, out)

    async def _output(self, process: asyncio.subprocess.Process) -> tuple[bytes | None, bytes]:
        """All that the process writes; None for more than a text of the allowed length can be."""
        assert process.stdout is not None and process.stderr is not None
        most = self._limits.chars * _BYTES_A_CHARACTER + _SLACK
        out, err = await asyncio.gather(_bounded(process.stdout, most), _bounded(process.stderr, _SLACK))
        if out is not None and err is not None:
            await process.wait()
        return out, err or b""


async def _bounded(stream: asyncio.StreamReader, most: int) -> bytes | None:
    data = bytearray()
    while piece := await stream.read(_SLACK):
        data += piece
        if len(data) > most:
            return None
    return bytes(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what it may have left running
    await process.wait()


def _parse(out: bytes) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(out[out.rindex(b"\n", 0, -1) :])
    return result
