"""``/v1/conversations`` and their items."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import json_body
from tools_runtime.api.listing import Listing, includes, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.engine.archive import stored
from tools_runtime.engine.request_items import complete
from tools_runtime.engine.view import View
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.base import StrictWire
from tools_runtime.protocol.codec import load_item
from tools_runtime.protocol.items import KnownItem
from tools_runtime.protocol.request import Metadata
from tools_runtime.stores import Conversation, StoredItem
from tools_runtime.stores.conversations import ConversationStore

MAX_ITEMS = 20
"""Items that one call may add; OpenAI's limit."""


class CreateConversation(StrictWire):
    items: list[KnownItem] | None = Field(default=None, max_length=MAX_ITEMS)
    metadata: Metadata | None = None


class UpdateConversation(StrictWire):
    metadata: Metadata


class AddItems(StrictWire):
    items: list[KnownItem] = Field(min_length=1, max_length=MAX_ITEMS)


def router(conversations: ConversationStore, max_request_bytes: int) -> APIRouter:
    routes = APIRouter(prefix="/v1/conversations", tags=["conversations"])

    @routes.post("", openapi_extra=json_body(CreateConversation))
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CreateConversation, await read_body(request, max_request_bytes))
        items = stored([complete(item) for item in body.items or []])
        return _object(await conversations.create(owner, body.metadata or {}, items))

    @routes.get("/{conversation_id}")
    async def retrieve(conversation_id: str, owner: Owner) -> dict[str, Any]:
        return _object(_found(await conversations.get(owner, conversation_id), conversation_id))

    @routes.post("/{conversation_id}", openapi_extra=json_body(UpdateConversation))
    async def update(conversation_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(UpdateConversation, await read_body(request, max_request_bytes))
        return _object(_found(await conversations.update(owner, conversation_id, body.metadata), conversation_id))

    @routes.delete("/{conversation_id}")
    async def delete(conversation_id: str, owner: Owner) -> dict[str, Any]:
        if not await conversations.delete(owner, conversation_id):
            raise _missing(conversation_id)
        return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}

    _add_item_routes(routes, conversations, max_request_bytes)
    return routes


def _add_item_routes(routes: APIRouter, conversations: ConversationStore, max_request_bytes: int) -> None:
    @routes.post("/{conversation_id}/items", openapi_extra=json_body(AddItems))
    async def add(conversation_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(AddItems, await read_body(request, max_request_bytes))
        items = [complete(item) for item in body.items]
        if not await conversations.add_items(owner, conversation_id, stored(items)):
            raise _missing(conversation_id)
        view = View(includes(request))
        data = [view.input_item(item).wire() for item in items]
        return {
            "object": "list",
            "data": data,
            "first_id": items[0].id,
            "last_id": items[-1].id,
            "has_more": False,
        }

    @routes.get("/{conversation_id}/items")
    async def list_items(
        conversation_id: str, request: Request, listing: Annotated[Listing, Depends()], owner: Owner
    ) -> dict[str, Any]:
        page = await conversations.items(owner, conversation_id, listing.cursor)
        if page is None:
            raise _missing(conversation_id)
        return page_body(page, [_item(request, item) for item in page.data])

    @routes.get("/{conversation_id}/items/{item_id}")
    async def retrieve_item(conversation_id: str, item_id: str, request: Request, owner: Owner) -> dict[str, Any]:
        data = await conversations.item(owner, conversation_id, item_id)
        if data is None:
            raise not_found("item", item_id, param="item_id")
        return _item(request, StoredItem(item_id, data))

    @routes.delete("/{conversation_id}/items/{item_id}")
    async def delete_item(conversation_id: str, item_id: str, owner: Owner) -> dict[str, Any]:
        if not await conversations.delete_item(owner, conversation_id, item_id):
            raise not_found("item", item_id, param="item_id")
        return _object(_found(await conversations.get(owner, conversation_id), conversation_id))


def _item(request: Request, item: StoredItem) -> dict[str, Any]:
    return View(includes(request)).input_item(load_item(item.data)).wire()


def _object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": conversation.metadata,
    }


def _found(conversation: Conversation | None, id: str) -> Conversation:
    if conversation is None:
        raise _missing(id)
    return conversation


def _missing(id: str) -> ApiError:
    return not_found("conversation", id, param="conversation_id")
