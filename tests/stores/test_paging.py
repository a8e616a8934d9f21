"""What is remembered of members that left their list."""

from __future__ import annotations

import time

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.stores import DAY, Cursor, NewVectorStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.paging import forget
from tools_runtime.stores.vector_stores import VectorStoreStore

NEW = NewVectorStore("x", None, {}, None)


async def made(database: Database, owner: str, count: int) -> tuple[VectorStoreStore, list[str]]:
    """A store with such a list."""
    store = VectorStoreStore(database)
    return store, [(await store.create(owner, NEW)).id for _ in range(count)]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("side", ["after", "before"])
async def test_a_former_member_keeps_its_place(database: Database, order, side):
    store, ids = await made(database, "ann", 5)
    assert await store.delete("ann", ids[2])
    found = await store.page("ann", Cursor(order=order, **{side: ids[2]}))
    first = (order == "asc") == (side == "before")
    expected = ids[:2] if first else ids[3:]
    assert [one.id for one in found.data] == (expected if order == "asc" else expected[::-1])


async def test_it_is_no_place_in_a_list_of_others(database: Database):
    store, ids = await made(database, "ann", 2)
    await made(database, "bob", 2)
    for gone in (False, True):
        assert not gone or await store.delete("ann", ids[0])
        with pytest.raises(ApiError) as refused:
            await store.page("bob", Cursor(after=ids[0]))
        assert refused.value.param == "after"


async def test_it_is_forgotten_after_a_day(database: Database):
    store, ids = await made(database, "ann", 2)
    await store.delete("ann", ids[1])
    await forget(database, time.time() + DAY - 60)
    assert [one.id for one in (await store.page("ann", Cursor(after=ids[1]))).data] == ids[:1]
    await forget(database, time.time() + DAY + 60)
    with pytest.raises(ApiError):
        await store.page("ann", Cursor(after=ids[1]))
