"""Responses and their items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, insert, not_, select, update

from tools_runtime.errors import ApiError
from tools_runtime.stores import UNFINISHED, Cursor, Lease, Page, StoredItem, StoredResponse
from tools_runtime.stores.database import Database
from tools_runtime.stores.events import output_so_far
from tools_runtime.stores.leases import give_up
from tools_runtime.stores.paging import as_page, page
from tools_runtime.stores.schema import conversations, items, responses, runs

# Bound by name throughout, so that each statement is compiled once in the life of the process.
_OWNED = and_(responses.c.owner == bindparam("of"), responses.c.id == bindparam("this"))
_GET = select(responses).where(_OWNED)
_DELETE = delete(responses).where(_OWNED)
_DELETE_RUN = delete(runs).where(runs.c.owner == bindparam("of"), runs.c.response_id == bindparam("this"))
_INSERT = insert(responses)
_INSERT_ITEMS = insert(items)
_ITEMS_OF = (
    select(items.c.id, items.c.data, items.c.output)
    .where(items.c.owner == bindparam("of"), items.c.response_id == bindparam("this"))
    .order_by(items.c.key)
)
_KEEP_CONVERSATION_ITEMS = (
    update(items)
    .where(
        items.c.owner == bindparam("of"),
        items.c.response_id == bindparam("this"),
        items.c.conversation_id.is_not(None),
    )
    .values(response_id=None)
)
_JOIN_CONVERSATION = update(items).where(items.c.owner == bindparam("of"), items.c.response_id == bindparam("this"))
_CONVERSATION_EXISTS = select(conversations.c.id).where(
    conversations.c.owner == bindparam("of"), conversations.c.id == bindparam("this")
)
_ITEM = (
    select(items.c.data)
    .where(items.c.owner == bindparam("of"), items.c.id == bindparam("this"))
    .order_by(items.c.key.desc())
    .limit(1)
)


def _chain() -> Select[Any]:
    """The ids of the response and of all that it continues. A deleted one ends the chain."""
    chain = select(responses.c.id, responses.c.previous_response_id).where(_OWNED).cte("chain", recursive=True)
    earlier = responses.alias("earlier")
    step = select(earlier.c.id, earlier.c.previous_response_id).where(
        earlier.c.owner == bindparam("of"), earlier.c.id == chain.c.previous_response_id
    )
    return select(chain.union(step).c.id)


# Keys grow and a response is continued only when it is complete, so their order is that of the chain.
_CHAIN_ITEMS = select(items.c.key, items.c.id, items.c.data).where(
    items.c.owner == bindparam("of"), items.c.response_id.in_(_chain())
)
_CONTEXT = _CHAIN_ITEMS.order_by(items.c.key)
_CHAIN_INPUT = _CHAIN_ITEMS.where(not_(and_(items.c.response_id == bindparam("this"), items.c.output)))


class ResponseStore:
    """Stored responses. A response has two lists of items, its input and its output."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, response: StoredResponse, lease: Lease | None = None) -> bool:
        """Inserts the response or replaces the one with its id. Where it has a ``conversation_id``, its items join that
        conversation, in the same transaction; a conversation deleted meanwhile is no error. With a ``lease``, it is
        given up in this transaction too; nothing is done, and False returned, if another has taken it over."""

        def work(connection: Connection) -> bool:
            if lease is not None and not give_up(connection, lease):
                return False
            connection.execute(_DELETE, {"of": response.owner, "this": response.id})
            connection.execute(_INSERT, _row(response))
            conversation = _conversation(connection, response)
            _add_items(connection, response, conversation, (False, True))
            return True

        return await self._database.write(work)

    async def get(self, owner: str, id: str) -> StoredResponse | None:
        """The response with its own input and output items; while it runs, with those that its events have told."""
        key = {"of": owner, "this": id}

        def work(connection: Connection) -> StoredResponse | None:
            row = connection.execute(_GET, key).one_or_none()
            if row is None:
                return None
            parts: tuple[list[StoredItem], list[StoredItem]] = ([], [])
            for item in connection.execute(_ITEMS_OF, key):
                parts[item.output].append(StoredItem(item.id, item.data))
            output = output_so_far(connection, id) if row.status in UNFINISHED else parts[1]
            fields = {name: value for name, value in row._mapping.items() if name != "events_until"}
            return StoredResponse(**fields, input=parts[0], output=output)

        return await self._database.read(work)

    async def delete(self, owner: str, id: str) -> bool:
        """Deletes the response, which ends its run. Items that belong to a conversation stay in it."""
        key = {"of": owner, "this": id}

        def work(connection: Connection) -> bool:
            connection.execute(_KEEP_CONVERSATION_ITEMS, key)
            if connection.execute(_DELETE, key).rowcount == 0:
                return False
            connection.execute(_DELETE_RUN, key)
            return True

        return await self._database.write(work)

    async def context(self, owner: str, id: str) -> list[bytes] | None:
        """All items of the chain that ends with the response, oldest first: of each response its input, then its
        output. None when there is no such response; raises ``ApiError`` for one that still runs."""
        key = {"of": owner, "this": id}

        def work(connection: Connection) -> list[bytes] | None:
            row = connection.execute(_GET, key).one_or_none()
            if row is None:
                return None
            if row.status in UNFINISHED:
                raise _unfinished(id, row.status)
            return [row.data for row in connection.execute(_CONTEXT, key)]

        return await self._database.read(work)

    async def input_items(self, owner: str, id: str, cursor: Cursor) -> Page[StoredItem] | None:
        """A page of what the model was given: the items of the responses before this one, then its own input. None when
        there is no such response; raises ``ApiError`` for an unknown cursor."""
        key = {"of": owner, "this": id}
        given = _CHAIN_INPUT.params(key)

        def work(connection: Connection) -> Page[StoredItem] | None:
            def place(item: str, last: Callable[..., Any]) -> int | None:
                return connection.scalar(given.with_only_columns(last(items.c.key)).where(items.c.id == item))

            if connection.execute(_GET, key).one_or_none() is None:
                return None
            rows = page(connection, given, items.c.key, cursor, place)
            return as_page(*rows, lambda row: StoredItem(row.id, row.data), lambda item: item.id)

        return await self._database.read(work)

    async def item(self, owner: str, item_id: str) -> bytes | None:
        """Any stored item by its id; the newest, where a client has sent one back changed."""
        return await self._database.read(lambda connection: connection.scalar(_ITEM, {"of": owner, "this": item_id}))


def add_response(connection: Connection, response: StoredResponse) -> None:
    """Inserts a response that is to be run, with its input."""
    connection.execute(_INSERT, _row(response))
    _add_items(connection, response, None, (False,))


def end_response(connection: Connection, response: StoredResponse, events_until: int) -> None:
    """Gives a response that has run its final state and its output. Its items join its conversation."""
    values = {"status": response.status, "body": response.body, "events_until": events_until}
    key = {"of": response.owner, "this": response.id}
    connection.execute(update(responses).where(_OWNED).values(**values), key)
    conversation = _conversation(connection, response)
    if conversation is not None:
        connection.execute(_JOIN_CONVERSATION.values(conversation_id=conversation), key)
    _add_items(connection, response, conversation, (True,))


def _add_items(
    connection: Connection, response: StoredResponse, conversation: str | None, outputs: Sequence[bool]
) -> None:
    """In one statement: all other writers wait for it. ``outputs``: whether to add the input, the output, or both."""
    rows = [
        {
            "owner": response.owner,
            "id": item.id,
            "response_id": response.id,
            "conversation_id": conversation,
            "output": output,
            "data": item.data,
        }
        for output in outputs
        for item in (response.output if output else response.input)
    ]
    if rows:
        connection.execute(_INSERT_ITEMS, rows)


def _conversation(connection: Connection, response: StoredResponse) -> str | None:
    """The id of the response's conversation, if that exists."""
    if response.conversation_id is None:
        return None
    key = {"of": response.owner, "this": response.conversation_id}
    found: str | None = connection.scalar(_CONVERSATION_EXISTS, key)
    return found


def _row(response: StoredResponse) -> dict[str, Any]:
    return {
        "id": response.id,
        "owner": response.owner,
        "created_at": response.created_at,
        "status": response.status,
        "previous_response_id": response.previous_response_id,
        "conversation_id": response.conversation_id,
        "body": response.body,
    }


def _unfinished(id: str, status: str) -> ApiError:
    return ApiError(
        f"Previous response with id '{id}' cannot be continued yet: its status is '{status}'.",
        param="previous_response_id",
        code="previous_response_not_completed",
    )
