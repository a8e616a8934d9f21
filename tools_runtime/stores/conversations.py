"""Conversations and their items."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, insert, select, update

from tools_runtime import ids
from tools_runtime.stores import Conversation, Cursor, Page, StoredItem
from tools_runtime.stores.database import Database
from tools_runtime.stores.paging import Members, as_page
from tools_runtime.stores.schema import conversations, items

_MEMBERS = Members(items.c.key, items.c.id, within=items.c.conversation_id)


class ConversationStore:
    """Stored conversations. Responses add their items to them (``ResponseStore.save``); clients may too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, owner: str, metadata: dict[str, str], initial: Sequence[StoredItem] = ()) -> Conversation:
        conversation = Conversation(ids.new("conv"), int(time.time()), metadata)

        def work(connection: Connection) -> None:
            connection.execute(
                insert(conversations),
                {
                    "id": conversation.id,
                    "owner": owner,
                    "created_at": conversation.created_at,
                    "metadata": metadata,
                },
            )
            _append(connection, owner, conversation.id, initial)

        await self._database.write(work)
        return conversation

    async def get(self, owner: str, id: str) -> Conversation | None:
        return await self._database.read(lambda connection: _find(connection, owner, id))

    async def update(self, owner: str, id: str, metadata: dict[str, str]) -> Conversation | None:
        """Replaces the metadata. None when there is no such conversation."""

        def work(connection: Connection) -> Conversation | None:
            connection.execute(
                update(conversations).where(conversations.c.owner == owner, conversations.c.id == id),
                {"metadata": metadata},
            )
            return _find(connection, owner, id)

        return await self._database.write(work)

    async def delete(self, owner: str, id: str) -> bool:
        """Deletes the conversation. Items that belong to a stored response stay with it."""

        def work(connection: Connection) -> bool:
            gone = connection.execute(
                delete(conversations).where(conversations.c.owner == owner, conversations.c.id == id)
            )
            _remove(connection, owner, id)
            return gone.rowcount > 0

        return await self._database.write(work)

    async def context(self, owner: str, id: str) -> list[bytes] | None:
        """All items, oldest first. None when there is no such conversation."""

        def work(connection: Connection) -> list[bytes] | None:
            if _find(connection, owner, id) is None:
                return None
            return [row.data for row in connection.execute(_items(owner, id).order_by(items.c.key))]

        return await self._database.read(work)

    async def items(self, owner: str, id: str, cursor: Cursor) -> Page[StoredItem] | None:
        """A page of the items. None when there is no such conversation; raises ``ApiError`` for an unknown cursor."""

        def work(connection: Connection) -> Page[StoredItem] | None:
            if _find(connection, owner, id) is None:
                return None
            rows = _MEMBERS.page(connection, _items(owner, id), id, cursor)
            return as_page(*rows, _stored_item, lambda item: item.id)

        return await self._database.read(work)

    async def item(self, owner: str, id: str, item_id: str) -> bytes | None:
        query = _items(owner, id).where(items.c.id == item_id).order_by(items.c.key.desc()).limit(1)

        def work(connection: Connection) -> bytes | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else row.data

        return await self._database.read(work)

    async def add_items(self, owner: str, id: str, added: Sequence[StoredItem]) -> bool:
        """Appends items; False when there is no such conversation."""

        def work(connection: Connection) -> bool:
            if _find(connection, owner, id) is None:
                return False
            _append(connection, owner, id, added)
            return True

        return await self._database.write(work)

    async def delete_item(self, owner: str, id: str, item_id: str) -> bool:
        """Takes an item out of the conversation; False when it is not in it."""
        return await self._database.write(lambda connection: _remove(connection, owner, id, item_id) > 0)


def _find(connection: Connection, owner: str, id: str) -> Conversation | None:
    query = select(conversations.c.id, conversations.c.created_at, conversations.c.metadata)
    row = connection.execute(query.where(conversations.c.owner == owner, conversations.c.id == id)).one_or_none()
    return None if row is None else Conversation(**row._mapping)


def _items(owner: str, id: str) -> Select[Any]:
    return select(items.c.key, items.c.id, items.c.data).where(items.c.owner == owner, items.c.conversation_id == id)


def _stored_item(row: Row[Any]) -> StoredItem:
    return StoredItem(row.id, row.data)


def _append(connection: Connection, owner: str, id: str, added: Sequence[StoredItem]) -> None:
    rows = [
        {"owner": owner, "id": item.id, "conversation_id": id, "output": False, "data": item.data} for item in added
    ]
    if rows:
        connection.execute(insert(items), rows)


def _remove(connection: Connection, owner: str, id: str, item_id: str | None = None) -> int:
    """Takes one item, or all, out of a conversation: away where nothing else holds them. Returns how many."""
    mine = and_(items.c.owner == owner, items.c.conversation_id == id)
    if item_id is not None:
        mine = and_(mine, items.c.id == item_id)
        _MEMBERS.leave(connection, mine)
    gone = connection.execute(delete(items).where(mine, items.c.response_id.is_(None)))
    kept = connection.execute(update(items).where(mine).values(conversation_id=None))
    return gone.rowcount + kept.rowcount
