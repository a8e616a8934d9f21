"""``/v1/containers/{id}/files``: what clients put into a container, and what code made there."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import either, form_body, json_body
from tools_runtime.api.files import download
from tools_runtime.api.forms import form, too_large
from tools_runtime.api.listing import Listing, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.containers import AddContainerFile, ContainerFileObject
from tools_runtime.stores import StoredContainerFile
from tools_runtime.tools.code_interpreter import uploads
from tools_runtime.tools.code_interpreter.containers import Containers


def router(
    containers: Containers, load_file: uploads.LoadFile, max_file_bytes: int, max_request_bytes: int
) -> APIRouter:
    routes = APIRouter(prefix="/v1/containers/{container_id}/files", tags=["containers"])
    files = containers.files

    @routes.post("", openapi_extra=either(form_body("file"), json_body(AddContainerFile)))
    async def create(container_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            param = "file"
            name, data = await _uploaded(request, max_file_bytes)
        else:
            param = "file_id"
            body = parse(AddContainerFile, await read_body(request, max_request_bytes))
            name, data = await _loaded(load_file, owner, body.file_id, max_file_bytes)
        return _object(await containers.upload(owner, container_id, uploads.safe_name(name), data, param))

    @routes.get("")
    async def list_files(container_id: str, listing: Annotated[Listing, Depends()], owner: Owner) -> dict[str, Any]:
        await _touch(containers, owner, container_id)
        page = await files.page(owner, container_id, listing.cursor)
        return page_body(page, [_object(file) for file in page.data])

    @routes.get("/{file_id}")
    async def retrieve(container_id: str, file_id: str, owner: Owner) -> dict[str, Any]:
        await _touch(containers, owner, container_id)
        return _object(_found(await files.get(owner, container_id, file_id), file_id))

    @routes.delete("/{file_id}")
    async def delete(container_id: str, file_id: str, owner: Owner) -> dict[str, Any]:
        await _touch(containers, owner, container_id)
        if not await containers.remove(owner, container_id, file_id):
            raise _missing(file_id)
        return {"id": file_id, "object": "container.file.deleted", "deleted": True}

    @routes.get("/{file_id}/content")
    async def content(container_id: str, file_id: str, owner: Owner) -> FileResponse:
        await _touch(containers, owner, container_id)
        file = _found(await files.get(owner, container_id, file_id), file_id)
        return download(files.path(file), file.path.rsplit("/", 1)[-1])

    return routes


async def _uploaded(request: Request, max_file_bytes: int) -> tuple[str, bytes]:
    """The form's file. Raises ``ApiError``."""
    async with form(request, "file", max_file_bytes) as (file, fields):
        for name in fields:
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        data = await file.read()
    if len(data) > max_file_bytes:
        raise too_large("file", max_file_bytes)
    return file.filename or "file", data


async def _loaded(load: uploads.LoadFile, owner: str, file_id: str, max_file_bytes: int) -> tuple[str, bytes]:
    """An uploaded file. Raises ``ApiError``."""
    try:
        name, data = await load(owner, file_id)
    except ApiError as error:
        raise ApiError(error.message, status=error.status, param="file_id", code=error.code) from None
    if len(data) > max_file_bytes:
        raise too_large("file_id", max_file_bytes)
    return name, data


async def _touch(containers: Containers, owner: str, id: str) -> None:
    """Whatever is done with a container's files is a use of the container. Raises a 404 ``ApiError``."""
    if await containers.touch(owner, id) is None:
        raise not_found("container", id, param="container_id")


def _object(file: StoredContainerFile) -> dict[str, Any]:
    return ContainerFileObject(
        id=file.id,
        container_id=file.container_id,
        created_at=file.created_at,
        bytes=file.bytes,
        path=file.path,
        source=file.source,
    ).wire()


def _found(file: StoredContainerFile | None, id: str) -> StoredContainerFile:
    if file is None:
        raise _missing(id)
    return file


def _missing(id: str) -> ApiError:
    return not_found("container file", id, param="file_id")
