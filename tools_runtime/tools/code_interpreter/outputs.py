"""A cell's result as the item's outputs, and the outputs as text for a model."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from sandbox import DATA, CellResult, Display, FileInfo
from tools_runtime.protocol.items import CodeOutput, ImageOutput, LogsOutput

IMAGE_SHOWN = "[image shown to the user]"

_IMAGE_TYPES = ("image/png", "image/jpeg")
_MAX_FILES = 20
_GAP_CHARS = 60
_LOST = f"Python was started anew: all variables and imports are lost, files in {DATA} are kept."
_NOTES = {
    "interrupted": "[Stopped at the time limit of {seconds:g} s. Variables are kept.]",
    "killed_timeout": "[Killed at the time limit of {seconds:g} s. {lost}]",
    "kernel_died": "[Python died: out of memory, a crash, or an exit. {lost}]",
    "output_flood": "[Stopped: too much output.]",
}


def of_result(result: CellResult, seconds: float) -> list[CodeOutput]:
    """Logs and images in the order in which they came about; notes on what went wrong are part of the logs."""
    outputs: list[CodeOutput] = []
    for output in result.outputs:
        if not isinstance(output, Display):
            _log(outputs, output.text)
        elif image := next((mime for mime in _IMAGE_TYPES if mime in output.data), None):
            data = base64.b64encode(output.data[image]).decode()
            outputs.append(ImageOutput(url=f"data:{image};base64,{data}"))
        elif "text/plain" in output.data:
            _log(outputs, output.data["text/plain"].decode("utf-8", "replace"), own_line=True)
    for note in _notes(result, seconds):
        _log(outputs, note, own_line=True)
    return outputs


def _log(outputs: list[CodeOutput], text: str, *, own_line: bool = False) -> None:
    if not outputs or not isinstance(outputs[-1], LogsOutput):
        outputs.append(LogsOutput(logs=text))
        return
    logs = outputs[-1].logs
    outputs[-1].logs = logs + ("\n" if own_line and logs and not logs.endswith("\n") else "") + text


def _notes(result: CellResult, seconds: float) -> list[str]:
    notes = []
    if result.dropped:
        notes.append(f"[{result.dropped} bytes of output were left out.]")
    if result.status in _NOTES:
        notes.append(_NOTES[result.status].format(seconds=seconds, lost=_LOST))
    if result.restarted and result.status not in ("killed_timeout", "kernel_died"):
        notes.append(f"[{_LOST}]")
    return notes


def as_text(outputs: Sequence[CodeOutput], max_chars: int, files: Sequence[FileInfo] = ()) -> str:
    """What a model is told, in at most ``max_chars``: of long logs their beginning and their end."""
    pieces = [output.logs if isinstance(output, LogsOutput) else IMAGE_SHOWN for output in outputs]
    text = "\n".join(piece.rstrip("\n") for piece in pieces if piece.strip()) or "(no output)"
    written = _written(files)
    half = max(0, (max_chars - len(written) - _GAP_CHARS) // 2)
    if len(text) > 2 * half + _GAP_CHARS:
        text = f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[len(text) - half :]}"
    return text + written


def _written(files: Sequence[FileInfo]) -> str:
    if not files:
        return ""
    listed = ", ".join(f"{DATA}/{file.name} ({file.size} bytes)" for file in files[:_MAX_FILES])
    return f"\n[Files written: {listed}{', …' if len(files) > _MAX_FILES else ''}]"
