"""The items of a request: those that it goes on from, and those that it adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tools_runtime import ids
from tools_runtime.engine.foreign import is_call
from tools_runtime.engine.prompt import content_parts
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.codec import load_item
from tools_runtime.protocol.foreign_items import CompactionTrigger
from tools_runtime.protocol.items import (
    CustomToolCallOutput,
    FunctionCallOutput,
    HostedItem,
    Item,
    ItemReference,
    Message,
)
from tools_runtime.protocol.request import CreateResponse

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "reasoning": "rs",
    "compaction": "cmp",
    "mcp_approval_response": "mcprr",
}


class History(Protocol):
    """The stored conversations and responses that a request may go on from; items are JSON, oldest first."""

    async def response_items(self, owner: str, response_id: str) -> Sequence[bytes] | None: ...

    async def conversation_items(self, owner: str, conversation_id: str) -> Sequence[bytes] | None: ...

    async def item(self, owner: str, item_id: str) -> bytes | None: ...


class RequestItems:
    """Reads them, with what is stored. Raises ``ApiError`` naming what is not there."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def old(self, request: CreateResponse, owner: str) -> list[Item]:
        """What the request goes on from, oldest first."""
        stored: Sequence[bytes] | None = ()
        if request.previous_response_id is not None:
            stored = await self._history.response_items(owner, request.previous_response_id)
            if stored is None:
                raise ApiError(
                    f"Previous response with id '{request.previous_response_id}' not found.",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
        elif request.conversation_id is not None:
            stored = await self._history.conversation_items(owner, request.conversation_id)
            if stored is None:
                raise not_found("conversation", request.conversation_id, param="conversation")
        return [load_item(data) for data in stored or ()]

    async def new(self, request: CreateResponse, owner: str) -> list[Item]:
        """What the request adds, as it is kept."""
        if isinstance(request.input, str):
            return [complete(Message(role="user", content=request.input))]
        items: list[Item] = []
        for index, item in enumerate(request.input):
            if isinstance(item, ItemReference):
                stored = await self._history.item(owner, item.id)
                if stored is None:
                    raise not_found("item", item.id, param=f"input[{index}].id")
                items.append(load_item(stored))
            elif isinstance(item, CompactionTrigger):
                if index != len(request.input) - 1:
                    message = "A compaction_trigger must be the last input item."
                    raise ApiError(message, param=f"input[{index}]", code="invalid_value")
            else:
                items.append(complete(await self._whole(item, owner)))
        return items

    async def _whole(self, item: Item, owner: str) -> Item:
        """What a client sends back of a hosted call lacks what ``include`` did not show it: the stored item has it."""
        if not isinstance(item, HostedItem) or item.id is None:
            return item
        data = await self._history.item(owner, item.id)
        stored = None if data is None else load_item(data)
        if type(stored) is not type(item):
            return item
        lacking = [name for name in type(item).model_fields if getattr(item, name) is None]
        return item.model_copy(update={name: getattr(stored, name) for name in lacking})


def complete(item: Item) -> Item:
    """The item as it is kept and listed: with an id and a status, and a message's text as a part."""
    update: dict[str, Any] = {}
    if item.id is None:
        update["id"] = ids.new(_PREFIXES.get(item.type, "item"))
    if isinstance(item, Message | FunctionCallOutput | CustomToolCallOutput) and item.status is None:
        update["status"] = "completed"
    if isinstance(item, Message):
        update["content"] = content_parts(item)
    return item.model_copy(update=update)


def without_cut_off(items: Sequence[Item]) -> list[Item]:
    """A call that was cut off in the middle was never made: nobody can answer it."""
    return [item for item in items if not (is_call(item) and getattr(item, "status", None) == "incomplete")]
