"""Pages as a model can read them: fetched, turned into lines, opened at a line, searched."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import tools_runtime
from tools_runtime.search import FetchError, Page
from tools_runtime.settings import Settings

_log = logging.getLogger(__name__)

_ROOT = Path(tools_runtime.__file__).parents[1]
_HTML = ("text/html", "application/xhtml+xml")
_TEXT = ("text/plain", "text/markdown", "text/csv", "application/json", "application/xml", "text/xml")
_MAX_PROCESSES = 2
_MAX_MATCHES = 20
_CUT = "(The rest of the page is left out: it is too long.)"

ReadPdf = Callable[[bytes], Awaitable[str]]
"""The text of a PDF. Raises ``FetchError``."""


@dataclass(frozen=True)
class WebDocument:
    """A page as lines: at least one, clean, without line breaks. ``url`` is the one that was asked for."""

    url: str
    title: str
    lines: tuple[str, ...]

    def window(self, first: int, chars: int) -> tuple[int, int]:
        """The lines from ``first`` (counted from 1) that fit into ``chars``: first and last; at least one."""
        first = min(max(first, 1), len(self.lines))
        last, room = first, chars - len(self.lines[first - 1])
        while last < len(self.lines) and room > len(self.lines[last]):
            room -= len(self.lines[last]) + 1
            last += 1
        return first, last

    def find(self, pattern: str) -> list[int]:
        """The lines at which ``pattern`` begins, small and capital letters alike; also where it runs over lines."""
        words = [re.escape(word) for word in pattern.split()]
        if not words:
            return []
        starts, position = [], 0
        for line in self.lines:
            starts.append(position)
            position += len(line) + 1
        found: dict[int, None] = {}
        for match in re.finditer(r"\s+".join(words), "\n".join(self.lines), re.IGNORECASE):
            found[bisect_right(starts, match.start())] = None
            if len(found) == _MAX_MATCHES:
                break
        return list(found)

    def numbered(self, first: int, last: int) -> Iterator[str]:
        for number in range(first, min(last, len(self.lines)) + 1):
            yield f"L{number}: {self.lines[number - 1]}"


@dataclass(frozen=True)
class _Extracted:
    """What the process prints."""

    title: str
    lines: list[str]
    cut: bool


class PageReader:
    """Turns fetched pages into documents. Each is read by a fresh process with limits on time and memory."""

    def __init__(self, settings: Settings, read_pdf: ReadPdf) -> None:
        self._seconds = settings.page_seconds
        self._limits = (str(settings.page_memory_bytes), str(settings.page_seconds), str(settings.page_max_chars))
        self._read_pdf = read_pdf
        self._slots = asyncio.Semaphore(_MAX_PROCESSES)

    async def read(self, page: Page) -> WebDocument:
        """Raises ``FetchError`` for what is not text, or takes too long."""
        data, kind, charset = page.body, "text", page.charset or ""
        if page.content_type in _HTML:
            kind = "html"
        elif page.content_type == "application/pdf" or data.startswith(b"%PDF-"):
            data, charset = (await self._read_pdf(data)).encode(errors="replace"), "utf-8"
        elif page.content_type not in _TEXT:
            raise FetchError("unsupported_content_type", "The document is neither HTML nor text nor PDF.")
        async with self._slots:
            found = await self._extract(kind, page.final_url, charset, data)
        if not found.lines:
            raise FetchError("unsupported_content_type", "The page holds no text.")
        lines = found.lines + ([_CUT] if found.cut else [])
        title = found.title or urlsplit(page.final_url).path.rpartition("/")[2] or page.final_url
        return WebDocument(page.url, title, tuple(lines))

    async def _extract(self, kind: str, url: str, charset: str, data: bytes) -> _Extracted:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-E", "-s", "-m", "tools_runtime.search.extraction"),
            *(kind, url, charset, *self._limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            env={},
        )
        try:
            async with asyncio.timeout(self._seconds):
                out, err = await process.communicate(data)
        except TimeoutError:
            raise FetchError("timeout", f"Reading the page took more than {self._seconds:g} seconds.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            _log.warning("reading %s ended with %s: %s", url, process.returncode, err.decode(errors="replace")[-500:])
            raise FetchError("unsupported_content_type", "The page is damaged or takes too much memory to read.")
        return _Extracted(**json.loads(out))
