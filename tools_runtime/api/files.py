"""``/v1/files``: uploads, lists and contents."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tools_runtime.api.auth import Owner
from tools_runtime.api.listing import page_body
from tools_runtime.api.validation import validate
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.base import StrictWire
from tools_runtime.protocol.files import FileObject, Purpose
from tools_runtime.retrieval.library import Library
from tools_runtime.stores import Cursor, StoredFile
from tools_runtime.stores.blobs import TooLarge

_FORM_BYTES = 64 * 2**10
"""What a multipart body may have beside the file."""
_PIECE = 2**20
_MAX_NAME = 255


class Upload(StrictWire):
    """The fields of the form beside the file."""

    purpose: Purpose


class FileListing:
    """Files have the longest lists: OpenAI allows 10,000 in a page."""

    def __init__(
        self,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Literal["asc", "desc"] = "desc",
        purpose: str | None = None,
    ) -> None:
        self.cursor = Cursor(after=after, limit=limit, order=order)
        self.purpose = purpose


def router(library: Library, max_file_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/files", tags=["files"])
    files = library.files

    @routes.post("")
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        form = await read_form(request, max_file_bytes)
        try:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise ApiError("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
            fields = validate(Upload, {name: value for name, value in form.items() if name != "file"})
            stored = await files.create(
                owner, display_name(file.filename), fields.purpose, _pieces(file), max_bytes=max_file_bytes
            )
        except TooLarge:
            raise too_large(max_file_bytes) from None
        finally:
            await form.close()
        return _object(stored)

    @routes.get("")
    async def list_files(listing: Annotated[FileListing, Depends()], owner: Owner) -> dict[str, Any]:
        page = await files.page(owner, listing.cursor, purpose=listing.purpose)
        return page_body(page, [_object(file) for file in page.data])

    @routes.get("/{file_id}")
    async def retrieve(file_id: str, owner: Owner) -> dict[str, Any]:
        return _object(_found(await files.get(owner, file_id), file_id))

    @routes.delete("/{file_id}")
    async def delete(file_id: str, owner: Owner) -> dict[str, Any]:
        if not await library.delete_file(owner, file_id):
            raise not_found("file", file_id, param="file_id")
        return {"id": file_id, "object": "file", "deleted": True}

    @routes.get("/{file_id}/content")
    async def content(file_id: str, owner: Owner) -> FileResponse:
        file = _found(await files.get(owner, file_id), file_id)
        return download(files.path(file), file.filename)

    return routes


def download(path: Path, name: str) -> FileResponse:
    """Always a download, never a page: the bytes are a client's, the origin is ours."""
    disposition = f"attachment; filename*=utf-8''{quote(name, safe='')}"
    headers = {"content-disposition": disposition, "x-content-type-options": "nosniff"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def display_name(name: str | None) -> str:
    """A client's file name made fit to show: its last part, without invisible characters."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(character for character in last if unicodedata.category(character)[0] != "C").strip()
    return visible[-_MAX_NAME:] if visible.strip(".") else "file"


async def read_form(request: Request, max_file_bytes: int) -> FormData:
    """The form, its file spooled to disk. Raises ``ApiError`` as soon as too much has come."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError("The request must be multipart/form-data.")
    limit = max_file_bytes + _FORM_BYTES

    async def body() -> AsyncGenerator[bytes, None]:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise too_large(max_file_bytes)
            yield piece

    try:
        return await MultiPartParser(request.headers, body(), max_files=1, max_fields=16).parse()
    except MultiPartException as error:
        raise ApiError(f"We could not parse the multipart body of your request: {error.message}") from None
    except KeyError:
        raise ApiError("The multipart body of your request has no boundary.") from None


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_PIECE):
        yield piece


def too_large(max_file_bytes: int) -> ApiError:
    return ApiError(f"The file is larger than {max_file_bytes} bytes.", status=413, param="file", code="file_too_large")


def _object(file: StoredFile) -> dict[str, Any]:
    return FileObject(
        id=file.id, bytes=file.bytes, created_at=file.created_at, filename=file.filename, purpose=file.purpose
    ).wire()


def _found(file: StoredFile | None, id: str) -> StoredFile:
    if file is None:
        raise not_found("file", id, param="file_id")
    return file
