"""Frames: what server and worker, and worker and kernel, say to each other over a byte stream.

A frame is ``u32 header length | u32 blob length | header (a JSON object) | blob``, integers big-endian. Text that a
program wrote travels in blobs, so that no byte of it is ever parsed. The same file runs at both ends; whoever parses
treats every byte as hostile.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_HEADER_BYTES = 2**20
MAX_BLOB_BYTES = 16 * 2**20

_LENGTHS = struct.Struct(">II")


class FrameError(Exception):
    """The bytes are not frames. The stream cannot be trusted or followed any longer."""


@dataclass(frozen=True)
class Frame:
    """``size`` is how many bytes it took."""

    header: dict[str, Any]
    blob: bytes = b""
    size: int = field(default=0, compare=False)

    def text(self, key: str) -> str:
        """The header's string ``key``, safe to encode as UTF-8 (JSON can smuggle in lone surrogates).

        Raises ``FrameError`` when it is not a string.
        """
        value = self.header.get(key)
        if not isinstance(value, str):
            raise FrameError(f"the header's {key} is not a string")
        return value.encode("utf-8", "replace").decode()


def encode(header: dict[str, Any], blob: bytes = b"") -> bytes:
    """The frame's bytes. Raises ``FrameError`` for a frame that no parser would accept."""
    head = json.dumps(header, separators=(",", ":")).encode()
    _check(len(head), len(blob))
    return _LENGTHS.pack(len(head), len(blob)) + head + blob


def _check(header_bytes: int, blob_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES or blob_bytes > MAX_BLOB_BYTES:
        raise FrameError(f"a frame of {header_bytes} + {blob_bytes} bytes is too large")


class Parser:
    """Bytes in, frames out. After a ``FrameError`` it must not be fed again."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yields the frames that ``data`` completes. Raises ``FrameError``.

        Holds at most one frame and ``data`` in memory: a length is refused before its bytes are awaited.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTHS.size:
            header_bytes, blob_bytes = _LENGTHS.unpack_from(self._buffer)
            _check(header_bytes, blob_bytes)
            blob_start = _LENGTHS.size + header_bytes
            end = blob_start + blob_bytes
            if len(self._buffer) < end:
                return
            head, blob = bytes(self._buffer[_LENGTHS.size : blob_start]), bytes(self._buffer[blob_start:end])
            del self._buffer[:end]
            yield Frame(_object(head), blob, end)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number of a million digits, a million brackets
        raise FrameError("a frame's header is not JSON") from None
    if not isinstance(value, dict):
        raise FrameError("a frame's header is not an object")
    return value
