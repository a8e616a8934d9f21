"""Multipart forms with one file."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tools_runtime.errors import ApiError

_FORM_BYTES = 64 * 2**10
"""What a multipart body may have beside the file."""
_PIECE = 2**20
_NESTED = re.compile(r"(\w+)\[(\w+)\]")


@asynccontextmanager
async def form(request: Request, name: str, max_bytes: int) -> AsyncGenerator[tuple[UploadFile, dict[str, Any]], None]:
    """The file in the field ``name`` and the other fields, of which ``a[b]`` become objects. The file is spooled to
    disk, and gone at the end. Raises ``ApiError``, as soon as too much has come."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError("The request must be multipart/form-data.")

    async def body() -> AsyncGenerator[bytes, None]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > max_bytes + _FORM_BYTES:
                raise too_large(name, max_bytes)
            yield piece

    try:
        data = await MultiPartParser(request.headers, body(), max_files=1, max_fields=16).parse()
    except MultiPartException as error:
        raise ApiError(f"We could not parse the multipart body of your request: {error.message}") from None
    except KeyError:
        raise ApiError("The multipart body of your request has no boundary.") from None
    try:
        file = data.get(name)
        if not isinstance(file, UploadFile):
            raise ApiError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
        yield file, _fields((key, value) for key, value in data.multi_items() if key != name)
    finally:
        await data.close()


async def pieces(file: UploadFile) -> AsyncIterator[bytes]:
    """The file's bytes."""
    while piece := await file.read(_PIECE):
        yield piece


def too_large(name: str, max_bytes: int) -> ApiError:
    return ApiError(f"The file is larger than {max_bytes} bytes.", status=413, param=name, code="file_too_large")


def _fields(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in items:
        nested = _NESTED.fullmatch(name)
        inside = fields.setdefault(nested[1], {}) if nested else None
        if nested and isinstance(inside, dict):
            inside[nested[2]] = value
        else:
            fields[name] = value
    return fields
