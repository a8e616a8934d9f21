"""``/v1/uploads``: files too large for one request, in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import form_body, json_body
from tools_runtime.api.files import display_name, file_object, lifetime
from tools_runtime.api.forms import form, pieces, too_large
from tools_runtime.api.validation import parse, read_body, validate
from tools_runtime.errors import ApiError
from tools_runtime.protocol.base import StrictWire
from tools_runtime.protocol.files import CompleteUpload, CreateUpload, UploadObject, UploadPartObject
from tools_runtime.stores import NewUpload, StoredFile, Upload
from tools_runtime.stores.blobs import TooLarge
from tools_runtime.stores.uploads import UploadStore


@dataclass(frozen=True)
class UploadLimits:
    """Bytes of a whole upload, of a part of one, and of a JSON body."""

    upload: int
    part: int
    body: int


class _NoFields(StrictWire):
    """The form of a part has nothing beside the part."""


def router(uploads: UploadStore, limits: UploadLimits) -> APIRouter:
    routes = APIRouter(prefix="/v1/uploads", tags=["uploads"])

    @routes.post("", openapi_extra=json_body(CreateUpload))
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CreateUpload, await read_body(request, limits.body))
        if body.bytes > limits.upload:
            raise ApiError(f"An upload may have at most {limits.upload} bytes.", param="bytes", code="file_too_large")
        seconds = lifetime(body.purpose, body.expires_after)
        new = NewUpload(display_name(body.filename), body.purpose, body.bytes, seconds)
        return _object(await uploads.create(owner, new))

    @routes.post("/{upload_id}/parts", openapi_extra=form_body("data"))
    async def add_part(upload_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        async with form(request, "data", limits.part) as (data, fields):
            validate(_NoFields, fields)
            try:
                part = await uploads.add_part(owner, upload_id, pieces(data), max_bytes=limits.part)
            except TooLarge:
                raise too_large("data", limits.part) from None
        return UploadPartObject(id=part.id, created_at=part.created_at, upload_id=part.upload_id).wire()

    @routes.post("/{upload_id}/complete", openapi_extra=json_body(CompleteUpload))
    async def complete(upload_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CompleteUpload, await read_body(request, limits.body))
        return _object(*await uploads.complete(owner, upload_id, body.part_ids, body.md5))

    @routes.post("/{upload_id}/cancel")
    async def cancel(upload_id: str, owner: Owner) -> dict[str, Any]:
        return _object(await uploads.cancel(owner, upload_id))

    return routes


def _object(upload: Upload, file: StoredFile | None = None) -> dict[str, Any]:
    whole = UploadObject(
        id=upload.id,
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        filename=upload.filename,
        purpose=upload.purpose,
        status=upload.status,
    ).wire()
    return whole | {"file": None if file is None else file_object(file)}
