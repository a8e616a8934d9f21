"""Server-sent events: bytes in, payloads out. Knows nothing of HTTP, JSON or models.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations


class EventTooLarge(ValueError):
    """One event holds more bytes than the parser was told to accept."""


class EventParser:
    """Collects the ``data`` of each event, whatever the chunks it arrives in.

    Event names, ids and retry times are ignored: every server that we speak to names its events inside the data.
    Works on bytes, so that a character split over two chunks needs no care.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0  # bytes since the last blank line, give or take a chunk
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads of the events that this chunk completes. Raises ``EventTooLarge``."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        self._held += len(chunk)
        lines = chunk.splitlines()
        unfinished = None if chunk.endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
        payloads = self._read(lines)
        if unfinished is not None:
            self._line.append(unfinished)
        if self._held > self._max_bytes:
            raise EventTooLarge(f"An event of more than {self._max_bytes} bytes.")
        return payloads

    def end(self) -> list[bytes]:
        """What the end of the stream completes. The specification drops an event that lacks its closing blank line;
        servers that forget the line after their last event are common enough to accept it."""
        lines = [b"".join(self._line), b""]
        self._line.clear()
        return self._read(lines)

    def _read(self, lines: list[bytes]) -> list[bytes]:
        payloads = []
        for line in lines:
            if not line:
                self._held = 0
                if self._data:
                    payloads.append(b"\n".join(self._data))
                    self._data.clear()
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line == b"data":
                self._data.append(b"")
        return payloads
