"""Files for a container: those that the request names, and those in the messages of the conversation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Sequence

from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import InputFile, InputImage, Item, Message

LoadFile = Callable[[str, str], Awaitable[tuple[str, bytes]]]
"""``load_file(owner, file_id)`` gives an uploaded file's (name, bytes). Raises ``ApiError``."""

_MAX_NAME_CHARS = 120
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


async def named(load: LoadFile, owner: str, file_ids: Sequence[str], param: str, room: int) -> dict[str, bytes]:
    """The files of ``container.file_ids`` by the names that they get: at most ``room`` bytes in all.

    Raises ``ApiError`` naming the field.
    """
    files: dict[str, bytes] = {}
    for index, file_id in enumerate(file_ids):
        try:
            name, data = await load(owner, file_id)
        except ApiError as error:
            raise ApiError(error.message, status=error.status, param=f"{param}[{index}]", code=error.code) from None
        room -= len(data)
        if room < 0:
            raise ApiError("The files do not fit on the container's disk.", param=f"{param}[{index}]")
        _add(files, name, data)
    return files


async def of_messages(load: LoadFile, owner: str, history: Sequence[Item], room: int) -> dict[str, bytes]:
    """The files and images that messages hold, as data or by id. What is gone or finds no room is left out."""
    files: dict[str, bytes] = {}
    for part in _parts(history):
        try:
            name, data = await _content(load, owner, part)
        except (ApiError, ValueError):
            continue
        if 0 < len(data) <= room:
            room -= len(data)
            _add(files, name, data)
    return files


def safe_name(name: str) -> str:
    """A plain, printable file name, whatever a client called the file."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char if char.isprintable() else "_" for char in last.encode("utf-8", "replace").decode())
    stem, dot, extension = kept.strip().lstrip(".-").rpartition(".")
    shortened = f"{stem[: _MAX_NAME_CHARS - len(extension) - 1]}{dot}{extension}"[-_MAX_NAME_CHARS:]
    return shortened.encode()[:240].decode("utf-8", "ignore") or "file"


def _add(files: dict[str, bytes], name: str, data: bytes) -> None:
    """Two different files of one name both get in, the later one under another name."""
    plain = unique = safe_name(name)
    count = 1
    while files.get(unique, data) != data:
        count += 1
        stem, dot, extension = plain.rpartition(".")
        unique = f"{stem}-{count}{dot}{extension}" if stem else f"{plain}-{count}"
    files[unique] = data


def _parts(history: Sequence[Item]) -> Iterator[InputFile | InputImage]:
    for item in history:
        if isinstance(item, Message) and not isinstance(item.content, str):
            for part in item.content:
                if isinstance(part, InputFile | InputImage):
                    yield part


async def _content(load: LoadFile, owner: str, part: InputFile | InputImage) -> tuple[str, bytes]:
    """Raises ``ApiError`` and ``ValueError``. Empty for a part that is only a URL."""
    if part.file_id is not None:
        name, data = await load(owner, part.file_id)
        return (part.filename or name if isinstance(part, InputFile) else name), data
    if isinstance(part, InputFile):
        return part.filename or "file", _decoded(part.file_data or "")
    media_type = (part.image_url or "").removeprefix("data:").partition(";")[0]
    if media_type not in _EXTENSIONS:
        return "", b""
    return f"image.{_EXTENSIONS[media_type]}", _decoded(part.image_url or "")


def _decoded(text: str) -> bytes:
    """Base64, bare or in a ``data:`` URL. Raises ``ValueError``."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
