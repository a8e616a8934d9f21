"""``/v1/vector_stores``: the stores themselves, and searching them. Their files have a router of their own."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import json_body
from tools_runtime.api.listing import Listing, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.files import (
    Attributes,
    ChunkingStrategy,
    CreateVectorStore,
    ExpiresAfter,
    FileCountsObject,
    SearchResultObject,
    SearchVectorStore,
    StaticChunks,
    TextContent,
    UpdateVectorStore,
    VectorStoreObject,
)
from tools_runtime.protocol.tools import RankingOptions
from tools_runtime.retrieval import Passage, filters
from tools_runtime.retrieval.library import Library
from tools_runtime.stores import Attachment, FileCounts, NewVectorStore, VectorStore
from tools_runtime.upstreams.rewriting import QueryRewriter


def router(library: Library, rewriter: QueryRewriter, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])
    stores = library.stores

    @routes.post("", openapi_extra=json_body(CreateVectorStore))
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CreateVectorStore, await read_body(request, max_request_bytes))
        new = NewVectorStore(
            name=body.name or "",
            description=body.description,
            metadata=body.metadata or {},
            expires_after_days=body.expires_after.days if body.expires_after else None,
        )
        attachments = [attachment(id, None, body.chunking_strategy) for id in body.file_ids]
        return _object(await library.create_store(owner, new, attachments))

    @routes.get("")
    async def list_stores(listing: Annotated[Listing, Depends()], owner: Owner) -> dict[str, Any]:
        page = await stores.page(owner, listing.cursor)
        return page_body(page, [_object(store) for store in page.data])

    @routes.get("/{store_id}")
    async def retrieve(store_id: str, owner: Owner) -> dict[str, Any]:
        return _object(_found(await stores.get(owner, store_id), store_id))

    @routes.post("/{store_id}", openapi_extra=json_body(UpdateVectorStore))
    async def update(store_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(UpdateVectorStore, await read_body(request, max_request_bytes))
        if "expires_after" in body.model_fields_set:
            await library.require(owner, [store_id], "vector_store_id")
        return _object(_found(await stores.update(owner, store_id, _changes(body)), store_id))

    @routes.delete("/{store_id}")
    async def delete(store_id: str, owner: Owner) -> dict[str, Any]:
        if not await library.delete_store(owner, store_id):
            raise _missing(store_id)
        return {"id": store_id, "object": "vector_store.deleted", "deleted": True}

    _add_search(routes, library, rewriter, max_request_bytes)
    return routes


def _add_search(routes: APIRouter, library: Library, rewriter: QueryRewriter, max_request_bytes: int) -> None:
    @routes.post("/{store_id}/search", openapi_extra=json_body(SearchVectorStore))
    async def search(store_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(SearchVectorStore, await read_body(request, max_request_bytes))
        queries = _queries(body)
        if body.filters is not None:
            filters.check(body.filters, "filters")
        await library.require(owner, [store_id], "vector_store_id")
        if body.rewrite_query:
            queries = await rewriter.rewritten(queries)
        passages = await library.search(
            owner,
            [store_id],
            queries,
            limit=body.max_num_results,
            condition=body.filters,
            ranking=RankingOptions(**body.ranking_options.wire()),
        )
        return {
            "object": "vector_store.search_results.page",
            "search_query": queries,
            "data": [_result(passage) for passage in passages],
            "has_more": False,
            "next_page": None,
        }


def _changes(body: UpdateVectorStore) -> dict[str, Any]:
    """The columns that an update sets: those that the request names."""
    changes: dict[str, Any] = {}
    if body.name is not None:
        changes["name"] = body.name
    if "metadata" in body.model_fields_set:
        changes["metadata"] = body.metadata or {}
    if "expires_after" in body.model_fields_set:
        changes["expires_after_days"] = body.expires_after and body.expires_after.days
    return changes


def _queries(body: SearchVectorStore) -> list[str]:
    queries = [body.query] if isinstance(body.query, str) else body.query
    if not all(query.strip() for query in queries):
        raise ApiError("A query must not be empty.", param="query", code="invalid_value")
    return queries


def attachment(file_id: str, attributes: Attributes | None, strategy: ChunkingStrategy | None) -> Attachment:
    """A request's words for putting a file into a vector store."""
    sizes = StaticChunks() if strategy is None else strategy.static
    return Attachment(file_id, attributes or {}, sizes.max_chunk_size_tokens, sizes.chunk_overlap_tokens)


def counts_object(counts: FileCounts) -> FileCountsObject:
    return FileCountsObject(**vars(counts), total=counts.total)


def _object(store: VectorStore) -> dict[str, Any]:
    days = store.expires_after_days
    busy = store.counts.in_progress > 0
    return VectorStoreObject(
        id=store.id,
        created_at=store.created_at,
        name=store.name,
        description=store.description,
        usage_bytes=store.usage_bytes,
        file_counts=counts_object(store.counts),
        status="expired" if store.expired(time.time()) else "in_progress" if busy else "completed",
        expires_after=None if days is None else ExpiresAfter(anchor="last_active_at", days=days),
        expires_at=store.expires_at,
        last_active_at=store.last_active_at,
        metadata=store.metadata,
    ).wire()


def _result(passage: Passage) -> dict[str, Any]:
    return SearchResultObject(
        file_id=passage.file_id,
        filename=passage.filename,
        score=passage.score,
        attributes=passage.attributes,
        content=[TextContent(text=passage.text)],
        **passage.place,
    ).wire()


def _found(store: VectorStore | None, id: str) -> VectorStore:
    if store is None:
        raise _missing(id)
    return store


def _missing(id: str) -> ApiError:
    return not_found("vector store", id, param="vector_store_id")
