"""What a cell has put out so far, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.frames import Frame, FrameError

TEXT_BYTES = 2**20
"""Printed text and tracebacks that are kept of one cell: its first bytes."""
DISPLAY_BYTES = 8 * 2**20
DISPLAY_HEADER_BYTES = 4096
DISPLAYS = 64
FLOOD_BYTES = 64 * 2**20
"""A cell of which this much was dropped is stopped."""


class Outputs:
    """Collects in order; neighbouring text of one stream becomes one piece."""

    def __init__(self) -> None:
        self.dropped = 0
        self._entries: list[tuple[dict[str, Any], bytearray]] = []
        self._text_left = TEXT_BYTES
        self._display_left = DISPLAY_BYTES
        self._displays_left = DISPLAYS

    @property
    def flooded(self) -> bool:
        return self.dropped >= FLOOD_BYTES

    def add(self, event: str, frame: Frame) -> None:
        """Adds what a kernel's frame says. Raises ``FrameError`` for a frame that is not an output."""
        if event == "text":
            self.text("stderr" if frame.header.get("stream") == "stderr" else "stdout", frame.blob)
        elif event == "traceback":
            self._append({"event": "traceback"}, self._fitting(frame.blob))
        elif event == "display":
            self._display(frame)
        else:
            raise FrameError("no such event")

    def text(self, stream: str, data: bytes) -> None:
        kept = self._fitting(data)
        header = {"event": "text", "stream": stream}
        if self._entries and self._entries[-1][0] == header:
            self._entries[-1][1].extend(kept)
        elif kept:
            self._append(header, kept)

    def _fitting(self, data: bytes) -> bytes:
        kept = data[: self._text_left]
        self._text_left -= len(kept)
        self.dropped += len(data) - len(kept)
        return kept

    def _display(self, frame: Frame) -> None:
        if len(frame.blob) > self._display_left or not self._displays_left:
            self.dropped += max(len(frame.blob), 1024)
            return
        parts, result = frame.header.get("parts"), bool(frame.header.get("result"))
        if frame.size - len(frame.blob) > DISPLAY_HEADER_BYTES:
            raise FrameError("a display's header is too long")
        self._display_left -= len(frame.blob)
        self._displays_left -= 1
        self._append({"event": "display", "parts": parts, "result": result}, frame.blob)

    def _append(self, header: dict[str, Any], data: bytes) -> None:
        self._entries.append((header, bytearray(data)))

    def frames(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        for header, data in self._entries:
            yield header, bytes(data)
