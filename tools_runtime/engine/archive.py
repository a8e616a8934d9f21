"""Between the loop and the stores: what a request goes on from, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence

from tools_runtime.engine.prepare import Prepared
from tools_runtime.protocol.codec import dump_item
from tools_runtime.protocol.items import Item
from tools_runtime.stores import StoredItem, StoredResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.responses import ResponseStore


class StoredHistory:
    """``prepare.History`` and ``run.Archive`` over the stores."""

    def __init__(self, responses: ResponseStore, conversations: ConversationStore) -> None:
        self.responses = responses
        self.conversations = conversations

    async def response_items(self, owner: str, response_id: str) -> Sequence[bytes] | None:
        return await self.responses.context(owner, response_id)

    async def conversation_items(self, owner: str, conversation_id: str) -> Sequence[bytes] | None:
        return await self.conversations.context(owner, conversation_id)

    async def item(self, owner: str, item_id: str) -> bytes | None:
        return await self.responses.item(owner, item_id)

    async def save(self, prepared: Prepared) -> None:
        """Keeps the response in the state in which its accumulator has it now."""
        response = prepared.log.response
        await self.responses.save(
            StoredResponse(
                id=response.id,
                owner=prepared.owner,
                created_at=response.created_at,
                status=response.status,
                previous_response_id=response.previous_response_id,
                conversation_id=prepared.request.conversation_id,
                body=response.model_dump_json(exclude={"output"}).encode(),
                input=stored(prepared.new_items),
                output=stored(response.output),
            )
        )


def stored(items: Sequence[Item]) -> list[StoredItem]:
    """Items as they are kept: whole."""
    return [StoredItem(item.id or "", dump_item(item)) for item in items]
