"""Conversations and their items."""

from __future__ import annotations

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.stores import Cursor, StoredItem, StoredResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.responses import ResponseStore


def item(id: str) -> StoredItem:
    return StoredItem(id, id.encode())


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database)


async def test_create_get_update_delete(store: ConversationStore):
    made = await store.create("ann", {"a": "b"})
    assert await store.get("ann", made.id) == made
    changed = await store.update("ann", made.id, {"c": "d"})
    assert changed is not None and changed.metadata == {"c": "d"}
    assert await store.get("ann", made.id) == changed
    assert await store.delete("ann", made.id)
    assert not await store.delete("ann", made.id)
    assert await store.get("ann", made.id) is None


async def test_items_keep_their_order_and_pages(store: ConversationStore):
    made = await store.create("ann", {}, [item("i1"), item("i2")])
    assert await store.add_items("ann", made.id, [item("i3")])
    assert await store.context("ann", made.id) == [b"i1", b"i2", b"i3"]
    newest = await store.items("ann", made.id, Cursor(limit=2))
    assert newest is not None
    assert ([one.id for one in newest.data], newest.has_more) == (["i3", "i2"], True)
    with pytest.raises(ApiError, match="not in this list"):
        await store.items("ann", made.id, Cursor(after="nope"))


async def test_one_item(store: ConversationStore):
    made = await store.create("ann", {}, [item("i1"), item("i2")])
    assert await store.item("ann", made.id, "i1") == b"i1"
    assert await store.delete_item("ann", made.id, "i1")
    assert not await store.delete_item("ann", made.id, "i1")
    assert await store.item("ann", made.id, "i1") is None
    assert await store.context("ann", made.id) == [b"i2"]


async def test_items_of_a_stored_response_outlive_the_conversation(store: ConversationStore, database: Database):
    made = await store.create("ann", {}, [item("i1")])
    responses = ResponseStore(database)
    await responses.save(StoredResponse("resp_1", "ann", 1, "completed", None, made.id, b"{}", [item("in")]))
    await store.delete("ann", made.id)
    assert await responses.context("ann", "resp_1") == [b"in"]
    assert await responses.item("ann", "i1") is None


async def test_what_belongs_to_another_owner_does_not_exist(store: ConversationStore):
    made = await store.create("ann", {}, [item("i1")])
    assert await store.get("bob", made.id) is None
    assert await store.update("bob", made.id, {"x": "y"}) is None
    assert await store.items("bob", made.id, Cursor()) is None
    assert await store.context("bob", made.id) is None
    assert await store.item("bob", made.id, "i1") is None
    assert not await store.add_items("bob", made.id, [item("i2")])
    assert not await store.delete_item("bob", made.id, "i1")
    assert not await store.delete("bob", made.id)
    assert (await store.get("ann", made.id)) == made
    assert await store.context("ann", made.id) == [b"i1"]
