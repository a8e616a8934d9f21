"""Content parts made fit for a model: images become ``data:`` URLs, files become text.

A part may bring its bytes (base64), name an uploaded file, or name a URL, which goes through the guarded fetcher.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import ContentPart, InputFile, InputImage, InputText

T = TypeVar("T")

_IMAGE_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


@dataclass(frozen=True)
class ContentLoader:
    """Where the bytes of parts come from. Each callable raises ``ApiError``.

    ``load(owner, file_id)`` gives an uploaded file's (name, bytes); ``fetch(url)`` a URL's bytes;
    ``read(name, bytes)`` the text of a document.
    """

    load: Callable[[str, str], Awaitable[tuple[str, bytes]]]
    fetch: Callable[[str], Awaitable[bytes]]
    read: Callable[[str, bytes], Awaitable[str]]
    max_file_chars: int

    async def resolve(self, owner: str, part: ContentPart, param: str) -> ContentPart:
        """``part`` as a model can take it. Raises ``ApiError`` that names the field below ``param``."""
        if isinstance(part, InputImage):
            return await self._image(owner, part, param)
        if isinstance(part, InputFile):
            return await self._file(owner, part, param)
        return part

    async def _image(self, owner: str, part: InputImage, param: str) -> InputImage:
        if part.file_id is not None:
            _, data = await self._named(self.load(owner, part.file_id), f"{param}.file_id")
            where = f"{param}.file_id"
        elif part.image_url is not None:
            where = f"{param}.image_url"
            data = await self._url(part.image_url, where)
        else:
            raise ApiError("An input_image needs 'image_url' or 'file_id'.", param=param)
        media_type = image_type(data)
        if media_type is None:
            raise ApiError("The image is not a PNG, JPEG, GIF or WebP.", param=where, code="invalid_image")
        return InputImage(image_url=_data_url(media_type, data), detail=part.detail)

    async def _file(self, owner: str, part: InputFile, param: str) -> InputText | InputImage:
        name, data, where = await self._file_bytes(owner, part, param)
        media_type = image_type(data)
        if media_type is not None:
            return InputImage(image_url=_data_url(media_type, data))
        text = await self._named(self.read(name, data), where)
        if len(text) > self.max_file_chars:
            raise ApiError(
                f"The file's text has {len(text)} characters; at most {self.max_file_chars} fit into the input. "
                "Put it into a vector store and use file_search instead.",
                param=where,
            )
        return InputText(text=f"<file name={name!r}>\n{text}\n</file>")

    async def _file_bytes(self, owner: str, part: InputFile, param: str) -> tuple[str, bytes, str]:
        if part.file_id is not None:
            name, data = await self._named(self.load(owner, part.file_id), f"{param}.file_id")
            return part.filename or name, data, f"{param}.file_id"
        if part.file_data is not None:
            data = _decode(part.file_data, f"{param}.file_data")
            return part.filename or "file", data, f"{param}.file_data"
        if part.file_url is not None:
            data = await self._url(part.file_url, f"{param}.file_url")
            name = unquote(urlsplit(part.file_url).path.rsplit("/", 1)[-1]) or "file"
            return part.filename or name, data, f"{param}.file_url"
        raise ApiError("An input_file needs 'file_id', 'file_data' or 'file_url'.", param=param)

    async def _url(self, url: str, param: str) -> bytes:
        if url.startswith("data:"):
            return _decode(url, param)
        return await self._named(self.fetch(url), param)

    @staticmethod
    async def _named(work: Awaitable[T], param: str) -> T:
        try:
            return await work
        except ApiError as error:
            error.param = param
            raise


def image_type(data: bytes) -> str | None:
    """The media type of an image that models take, told by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in _IMAGE_MAGIC if data.startswith(magic)), None)


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _decode(text: str, param: str) -> bytes:
    """The bytes of a base64 ``data:`` URL or of bare base64."""
    head, comma, body = text.partition(",")
    if text.startswith("data:") and not (comma and head.endswith(";base64")):
        raise ApiError("A data URL must be base64: 'data:<media type>;base64,<data>'.", param=param)
    try:
        return base64.b64decode(body if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("The data is not valid base64.", param=param) from None
