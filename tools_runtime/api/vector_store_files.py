"""``/v1/vector_stores/{id}/files`` and ``…/file_batches``: what is in a vector store, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import json_body
from tools_runtime.api.listing import Listing, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.api.vector_stores import attachment, counts_object
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.files import (
    AttachFile,
    CreateFileBatch,
    FileBatchObject,
    LastError,
    StaticChunking,
    StaticChunks,
    UpdateAttributes,
    VectorStoreFileObject,
)
from tools_runtime.retrieval.library import Library
from tools_runtime.stores import Attachment, FileBatch, FileStatus, VectorStoreFile

Status = Annotated[FileStatus | None, Query(alias="filter")]


def router(library: Library, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/vector_stores/{store_id}", tags=["vector stores"])
    _add_file_routes(routes, library, max_request_bytes)
    _add_batch_routes(routes, library, max_request_bytes)
    return routes


def _add_file_routes(routes: APIRouter, library: Library, max_request_bytes: int) -> None:
    members = library.members

    @routes.post("/files", openapi_extra=json_body(AttachFile))
    async def attach(store_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(AttachFile, await read_body(request, max_request_bytes))
        return _object(await library.attach(owner, store_id, _attachment(body)))

    @routes.get("/files")
    async def list_files(
        store_id: str, listing: Annotated[Listing, Depends()], owner: Owner, status: Status = None
    ) -> dict[str, Any]:
        if await library.stores.get(owner, store_id) is None:
            raise not_found("vector store", store_id, param="vector_store_id")
        page = await members.page(owner, store_id, listing.cursor, status=status)
        return page_body(page, [_object(member) for member in page.data])

    @routes.get("/files/{file_id}")
    async def retrieve(store_id: str, file_id: str, owner: Owner) -> dict[str, Any]:
        return _object(_found(await members.get(owner, store_id, file_id), file_id))

    @routes.post("/files/{file_id}", openapi_extra=json_body(UpdateAttributes))
    async def update(store_id: str, file_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(UpdateAttributes, await read_body(request, max_request_bytes))
        return _object(_found(await members.set_attributes(owner, store_id, file_id, body.attributes or {}), file_id))

    @routes.delete("/files/{file_id}")
    async def detach(store_id: str, file_id: str, owner: Owner) -> dict[str, Any]:
        if not await library.detach(owner, store_id, file_id):
            raise _missing(file_id)
        return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}

    @routes.get("/files/{file_id}/content")
    async def content(store_id: str, file_id: str, owner: Owner) -> dict[str, Any]:
        member = _found(await members.get(owner, store_id, file_id), file_id)
        text = await library.passages.text(member)
        return {
            "object": "vector_store.file_content.page",
            "data": [{"type": "text", "text": text}],
            "has_more": False,
            "next_page": None,
        }


def _add_batch_routes(routes: APIRouter, library: Library, max_request_bytes: int) -> None:
    members = library.members

    @routes.post("/file_batches", openapi_extra=json_body(CreateFileBatch))
    async def create(store_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CreateFileBatch, await read_body(request, max_request_bytes))
        return _batch(await library.attach_batch(owner, store_id, _attachments(body)))

    @routes.get("/file_batches/{batch_id}")
    async def retrieve(store_id: str, batch_id: str, owner: Owner) -> dict[str, Any]:
        return _batch(_found_batch(await members.batch(owner, store_id, batch_id), batch_id))

    @routes.post("/file_batches/{batch_id}/cancel")
    async def cancel(store_id: str, batch_id: str, owner: Owner) -> dict[str, Any]:
        return _batch(_found_batch(await members.cancel_batch(owner, store_id, batch_id), batch_id))

    @routes.get("/file_batches/{batch_id}/files")
    async def list_files(
        store_id: str, batch_id: str, listing: Annotated[Listing, Depends()], owner: Owner, status: Status = None
    ) -> dict[str, Any]:
        _found_batch(await members.batch(owner, store_id, batch_id), batch_id)
        page = await members.page(owner, store_id, listing.cursor, status=status, batch_id=batch_id)
        return page_body(page, [_object(member) for member in page.data])


def _attachment(body: AttachFile) -> Attachment:
    return attachment(body.file_id, body.attributes, body.chunking_strategy)


def _attachments(body: CreateFileBatch) -> list[Attachment]:
    if bool(body.file_ids) == bool(body.files):
        raise ApiError("Give either 'file_ids' or 'files'.", param="file_ids")
    if body.files:
        return [_attachment(file) for file in body.files]
    return [attachment(id, body.attributes, body.chunking_strategy) for id in body.file_ids]


def _object(member: VectorStoreFile) -> dict[str, Any]:
    error = None
    if member.error_code is not None:
        error = LastError(code=member.error_code, message=member.error_message or "")
    chunks = StaticChunks(max_chunk_size_tokens=member.chunk_tokens, chunk_overlap_tokens=member.overlap_tokens)
    return VectorStoreFileObject(
        id=member.file_id,
        created_at=member.created_at,
        vector_store_id=member.vector_store_id,
        usage_bytes=member.usage_bytes,
        status=member.status,
        last_error=error,
        chunking_strategy=StaticChunking(type="static", static=chunks),
        attributes=member.attributes,
    ).wire()


def _batch(batch: FileBatch) -> dict[str, Any]:
    counts = batch.counts
    status = "in_progress" if counts.in_progress else "cancelled" if counts.cancelled else "completed"
    return FileBatchObject(
        id=batch.id,
        created_at=batch.created_at,
        vector_store_id=batch.vector_store_id,
        status=status,
        file_counts=counts_object(counts),
    ).wire()


def _found(member: VectorStoreFile | None, file_id: str) -> VectorStoreFile:
    if member is None:
        raise _missing(file_id)
    return member


def _missing(file_id: str) -> ApiError:
    return not_found("vector store file", file_id, param="file_id")


def _found_batch(batch: FileBatch | None, id: str) -> FileBatch:
    if batch is None:
        raise not_found("file batch", id, param="batch_id")
    return batch
