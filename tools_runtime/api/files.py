"""``/v1/files``: uploads, lists and contents."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import form_body
from tools_runtime.api.forms import form, pieces, too_large
from tools_runtime.api.listing import page_body
from tools_runtime.api.validation import validate
from tools_runtime.errors import not_found
from tools_runtime.protocol.base import StrictWire
from tools_runtime.protocol.files import MAX_FILE_SECONDS, MIN_FILE_SECONDS, FileExpiresAfter, FileObject, Purpose
from tools_runtime.retrieval.library import Library
from tools_runtime.stores import Cursor, NewFile, StoredFile
from tools_runtime.stores.blobs import TooLarge

_MAX_NAME = 255
_BATCH_SECONDS = 30 * 86_400
"""OpenAI's: how long a file lives whose purpose is ``batch``, unless the request says otherwise."""


class FormExpiresAfter(FileExpiresAfter):
    """In forms, numbers come as text."""

    seconds: int = Field(ge=MIN_FILE_SECONDS, le=MAX_FILE_SECONDS, strict=False)


class FileForm(StrictWire):
    """The fields of the form beside the file."""

    purpose: Purpose
    expires_after: FormExpiresAfter | None = None


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

    @routes.post("", openapi_extra=form_body("file", FileForm))
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        async with form(request, "file", max_file_bytes) as (file, data):
            fields = validate(FileForm, data)
            new = NewFile(
                owner, display_name(file.filename), fields.purpose, lifetime(fields.purpose, fields.expires_after)
            )
            try:
                stored = await files.create(new, pieces(file), max_bytes=max_file_bytes)
            except TooLarge:
                raise too_large("file", max_file_bytes) from None
        return file_object(stored)

    @routes.get("")
    async def list_files(listing: Annotated[FileListing, Depends()], owner: Owner) -> dict[str, Any]:
        page = await files.page(owner, listing.cursor, purpose=listing.purpose)
        return page_body(page, [file_object(file) for file in page.data])

    @routes.get("/{file_id}")
    async def retrieve(file_id: str, owner: Owner) -> dict[str, Any]:
        return file_object(_found(await files.get(owner, file_id), file_id))

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


def lifetime(purpose: Purpose, expires_after: FileExpiresAfter | None) -> int | None:
    """How many seconds a file lives; None for as long as nobody deletes it."""
    if expires_after is not None:
        return expires_after.seconds
    return _BATCH_SECONDS if purpose == "batch" else None


def file_object(file: StoredFile) -> dict[str, Any]:
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename,
        purpose=file.purpose,
    ).wire()


def _found(file: StoredFile | None, id: str) -> StoredFile:
    if file is None:
        raise not_found("file", id, param="file_id")
    return file
