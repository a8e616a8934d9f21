"""Between the loop and the stores: what a request goes on from, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tools_runtime.engine.admission import locked
from tools_runtime.engine.leases import Leases
from tools_runtime.engine.prepare import Prepared
from tools_runtime.protocol.codec import dump_item, load_item
from tools_runtime.protocol.events import Event
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.response import Response
from tools_runtime.stores import StoredEvent, StoredItem, StoredResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.responses import ResponseStore


class StoredHistory:
    """``request_items.History`` and ``run.Archive`` over the stores."""

    def __init__(self, responses: ResponseStore, conversations: ConversationStore, leases: Leases) -> None:
        self.responses = responses
        self.conversations = conversations
        self._leases = leases

    async def response_items(self, owner: str, response_id: str) -> Sequence[bytes] | None:
        return await self.responses.context(owner, response_id)

    async def conversation_items(self, owner: str, conversation_id: str) -> Sequence[bytes] | None:
        return await self.conversations.context(owner, conversation_id)

    async def item(self, owner: str, item_id: str) -> bytes | None:
        return await self.responses.item(owner, item_id)

    async def save(self, prepared: Prepared) -> None:
        """Keeps the response in the state in which its accumulator has it now, and unlocks its conversation in the same
        moment: its end is read next. Raises ``ApiError`` when another response has the conversation by now."""
        lease = prepared.lease
        if lease is not None:
            self._leases.drop(lease)
        if prepared.request.stored:
            if not await self.responses.save(stored_response(prepared), lease):
                raise locked()
        elif lease is not None:
            await self._leases.release(lease)


def stored_response(prepared: Prepared) -> StoredResponse:
    """The response in the state in which its accumulator has it now, as it is kept."""
    response = prepared.log.response
    return StoredResponse(
        id=response.id,
        owner=prepared.owner,
        created_at=response.created_at,
        status=response.status,
        previous_response_id=response.previous_response_id,
        conversation_id=prepared.request.conversation_id,
        body=dump_response(response),
        input=stored(prepared.new_items),
        output=stored(response.output),
    )


def dump_response(response: Response) -> bytes:
    """The response object as it is kept: its output is kept as items."""
    return response.model_dump_json(exclude={"output"}).encode()


def load_response(found: StoredResponse) -> Response:
    """The response object, with its output."""
    response = Response.model_validate_json(found.body)
    response.status = found.status  # type: ignore[assignment]
    response.output = [load_item(item.data) for item in found.output]
    return response


def stored(items: Sequence[Item]) -> list[StoredItem]:
    """Items as they are kept: whole."""
    return [StoredItem(item.id or "", dump_item(item)) for item in items]


def dump_events(events: Iterable[Event]) -> list[StoredEvent]:
    """Numbered events as they are kept: whole."""
    return [StoredEvent(event.sequence_number or 0, event.type, event.model_dump_json().encode()) for event in events]
