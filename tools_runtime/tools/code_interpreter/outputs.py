"""A cell's result as the item's outputs, and the outputs as text for a model."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from sandbox import DATA, CellResult, Display
from tools_runtime.protocol.items import CodeOutput, ImageOutput, LogsOutput
from tools_runtime.stores import StoredContainerFile

IMAGE_SHOWN = "[image shown to the user]"

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}
"""Of the images that are shown as such, the best first."""
_MAX_FILES = 20
_GAP_CHARS = 60
_NO_BRACKETS = str.maketrans("[]", "()")
_LOST = f"Python was started anew: all variables and imports are lost, files in {DATA} are kept."
_NOTES = {
    "interrupted": "[Stopped at the time limit of {seconds:g} s. Variables are kept.]",
    "killed_timeout": "[Killed at the time limit of {seconds:g} s. {lost}]",
    "kernel_died": "[Python died: out of memory, a crash, or an exit. {lost}]",
    "output_flood": "[Stopped: too much output.]",
}


def of_result(result: CellResult, seconds: float, urls: Iterable[str]) -> list[CodeOutput]:
    """Logs and images in the order in which they came about; notes on what went wrong are part of the logs. ``urls``
    are those of the ``images``."""
    outputs: list[CodeOutput] = []
    url = iter(urls)
    for output in result.outputs:
        if not isinstance(output, Display):
            _log(outputs, output.text)
        elif _image(output) is not None:
            outputs.append(ImageOutput(url=next(url)))
        elif "text/plain" in output.data:
            _log(outputs, output.data["text/plain"].decode("utf-8", "replace"), own_line=True)
    for note in _notes(result, seconds):
        _log(outputs, note, own_line=True)
    return outputs


def images(result: CellResult) -> Iterator[tuple[str, bytes]]:
    """The media type and bytes of each image that was shown."""
    for output in result.outputs:
        media_type = _image(output) if isinstance(output, Display) else None
        if isinstance(output, Display) and media_type is not None:
            yield media_type, output.data[media_type]


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _image(output: Display) -> str | None:
    return next((media_type for media_type in EXTENSIONS if media_type in output.data), None)


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


def as_text(outputs: Sequence[CodeOutput], max_chars: int, files: str = "") -> str:
    """What a model is told, in at most ``max_chars``: of long logs their beginning and their end, then ``files``."""
    pieces = [output.logs if isinstance(output, LogsOutput) else IMAGE_SHOWN for output in outputs]
    text = "\n".join(piece.rstrip("\n") for piece in pieces if piece.strip()) or "(no output)"
    half = max(0, (max_chars - len(files) - _GAP_CHARS) // 2)
    if len(text) > 2 * half + _GAP_CHARS:
        text = f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[len(text) - half :]}"
    return text + files


def written(kept: Sequence[StoredContainerFile], left: Sequence[str]) -> str:
    """Tells a model of the files that its code wrote, each as the link by which the user gets it."""
    lines = ""
    if kept:
        lines += f"\n[Files written, as links for the user: {_listed([_link(file) for file in kept])}]"
    if left:
        paths = _listed([f"{DATA}/{name}" for name in left])
        lines += f"\n[Files written that the user cannot get, being too large or too many: {paths}]"
    return lines


def _link(file: StoredContainerFile) -> str:
    label = file.path.rsplit("/", 1)[-1].translate(_NO_BRACKETS)
    return f"[{label}](sandbox:{quote(file.path)}) ({file.bytes} bytes)"


def _listed(files: Sequence[str]) -> str:
    return ", ".join(files[:_MAX_FILES]) + (", …" if len(files) > _MAX_FILES else "")
