"""A worker's replies as what they mean. The worker is untrusted: what makes no sense raises ``FrameError``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from sandbox import CellResult, Display, FileInfo, Output, Status, Text, Traceback
from sandbox.frames import Frame, FrameError
from sandbox.worker.files import parts

_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}
_MIME_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def cell_result(frames: Sequence[Frame], last: Frame) -> CellResult:
    status, dropped = _STATUSES.get(last.text("status")), last.header.get("dropped")
    if status is None or not isinstance(dropped, int):
        raise FrameError("not the end of a cell")
    return CellResult(
        status=status,
        outputs=[_output(frame) for frame in frames],
        restarted=bool(last.header.get("restarted")),
        files=files(last),
        dropped=dropped,
    )


def _output(frame: Frame) -> Output:
    match frame.text("event"):
        case "text":
            return Text(
                "stderr" if frame.header.get("stream") == "stderr" else "stdout", frame.blob.decode("utf-8", "replace")
            )
        case "traceback":
            return Traceback(_TERMINAL_CODES.sub("", frame.blob.decode("utf-8", "replace")))
        case "display":
            return Display(_parts(frame), bool(frame.header.get("result")))
    raise FrameError("not an output")


def _parts(frame: Frame) -> dict[str, bytes]:
    """Cuts the blob into the lengths that the header gives."""
    data: dict[str, bytes] = {}
    start = 0
    for mime, length in _pairs(frame, "parts"):
        if not _MIME_TYPE.fullmatch(mime):
            raise FrameError("not a MIME type")
        data[mime] = frame.blob[start : start + length]
        start += length
    return data


def files(frame: Frame) -> list[FileInfo]:
    found = []
    for name, size in _pairs(frame, "files"):
        try:
            parts(name)
        except ValueError:
            raise FrameError("not a file's name") from None
        found.append(FileInfo(name, size))
    return found


def _pairs(frame: Frame, key: str) -> list[tuple[str, int]]:
    """A header's list of strings with sizes."""
    match frame.header.get(key):
        case list() as pairs if len(pairs) <= 10_000:
            for pair in pairs:
                match pair:
                    case [str(), int(size)] if size >= 0:
                        continue
                raise FrameError(f"the header's {key} is malformed")
            return [(name, size) for name, size in pairs]
    raise FrameError(f"the header's {key} is malformed")
