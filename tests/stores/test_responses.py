"""Responses: chains, items, pages, owners and conversations."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tools_runtime.errors import ApiError
from tools_runtime.stores import Cursor, StoredItem, StoredResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.responses import ResponseStore


def item(id: str) -> StoredItem:
    return StoredItem(id, f'{{"id":"{id}"}}'.encode())


def response(name: str, *, after: str | None = None, owner: str = "ann", conversation: str | None = None):
    return StoredResponse(
        id=f"resp_{name}",
        owner=owner,
        created_at=1,
        status="completed",
        previous_response_id=after and f"resp_{after}",
        conversation_id=conversation,
        body=b'{"model":"m"}',
        input=[item(f"{name}_in1"), item(f"{name}_in2")],
        output=[item(f"{name}_out")],
    )


@pytest.fixture
def store(database: Database) -> ResponseStore:
    return ResponseStore(database)


@pytest.fixture
def talks(database: Database) -> ConversationStore:
    return ConversationStore(database)


def ids(data: list[bytes] | None) -> list[str] | None:
    return None if data is None else [one.decode()[7:-2] for one in data]


A = ["a_in1", "a_in2", "a_out"]
B = ["b_in1", "b_in2", "b_out"]


async def test_a_saved_response_comes_back_whole(store: ResponseStore):
    await store.save(response("a"))
    assert await store.get("ann", "resp_a") == response("a")
    assert await store.item("ann", "a_out") == item("a_out").data


async def test_saving_again_replaces(store: ResponseStore):
    await store.save(replace(response("a"), status="in_progress", output=[]))
    await store.save(response("a"))
    assert await store.get("ann", "resp_a") == response("a")
    assert ids(await store.context("ann", "resp_a")) == A


async def test_the_context_is_the_chain_oldest_first(store: ResponseStore):
    for name, after in (("a", None), ("b", "a"), ("c", "b"), ("other", "a")):
        await store.save(response(name, after=after))
    assert ids(await store.context("ann", "resp_c")) == [*A, *B, "c_in1", "c_in2", "c_out"]


async def test_a_deleted_response_ends_the_chain(store: ResponseStore):
    await store.save(response("a"))
    await store.save(response("b", after="a"))
    assert await store.delete("ann", "resp_a")
    assert not await store.delete("ann", "resp_a")
    assert ids(await store.context("ann", "resp_b")) == B
    assert await store.get("ann", "resp_a") is None
    assert await store.item("ann", "a_out") is None


async def test_what_belongs_to_another_owner_does_not_exist(store: ResponseStore):
    await store.save(response("a"))
    await store.save(response("b", after="a", owner="bob"))
    assert await store.get("bob", "resp_a") is None
    assert await store.context("bob", "resp_a") is None
    assert await store.input_items("bob", "resp_a", Cursor()) is None
    assert await store.item("bob", "a_out") is None
    assert not await store.delete("bob", "resp_a")
    assert ids(await store.context("bob", "resp_b")) == B


async def test_input_items_are_all_that_the_model_was_given(store: ResponseStore):
    await store.save(response("a"))
    await store.save(response("b", after="a"))
    found = await store.input_items("ann", "resp_b", Cursor(order="asc"))
    assert found is not None
    assert [one.id for one in found.data] == [*A, "b_in1", "b_in2"]
    assert (found.first_id, found.last_id, found.has_more) == ("a_in1", "b_in2", False)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7])
async def test_pages_cover_the_list_once_in_both_directions(store: ResponseStore, order, limit):
    await store.save(response("a"))
    await store.save(response("b", after="a"))
    expected = [*A, "b_in1", "b_in2"]
    if order == "desc":
        expected.reverse()
    forwards: list[str] = []
    cursor = Cursor(limit=limit, order=order)
    while True:
        found = await store.input_items("ann", "resp_b", cursor)
        forwards += [one.id for one in found.data]
        if not found.has_more:
            break
        cursor = replace(cursor, after=found.last_id)
    assert forwards == expected
    backwards: list[str] = []
    cursor = Cursor(limit=limit, order=order, before=expected[-1])
    while True:
        found = await store.input_items("ann", "resp_b", cursor)
        backwards[:0] = [one.id for one in found.data]
        if not found.has_more:
            break
        cursor = replace(cursor, before=found.first_id)
    assert backwards == expected[:-1]


@pytest.mark.parametrize("param", ["after", "before"])
async def test_an_unknown_cursor_is_refused_by_name(store: ResponseStore, param):
    await store.save(response("a"))
    with pytest.raises(ApiError) as refused:
        await store.input_items("ann", "resp_a", Cursor(**{param: "msg_nowhere"}))
    assert refused.value.param == param


async def test_an_item_sent_back_never_makes_pages_loop(store: ResponseStore):
    await store.save(response("a"))
    await store.save(replace(response("b", after="a"), input=[item("a_out"), item("b_in1")]))
    for order in ("asc", "desc"):
        cursor, seen = Cursor(limit=1, order=order), 0
        while (found := await store.input_items("ann", "resp_b", cursor)).has_more:
            cursor, seen = replace(cursor, after=found.last_id), seen + 1
            assert seen < 6


async def test_a_response_in_a_conversation_adds_its_items_to_it(store: ResponseStore, talks: ConversationStore):
    talk = await talks.create("ann", {"topic": "x"}, [item("start")])
    await store.save(response("a", conversation=talk.id))
    await store.save(response("a", conversation=talk.id))
    assert ids(await talks.context("ann", talk.id)) == ["start", *A]
    assert await store.delete("ann", "resp_a")
    assert ids(await talks.context("ann", talk.id)) == ["start", *A]


async def test_a_conversation_deleted_meanwhile_does_not_lose_the_response(
    store: ResponseStore, talks: ConversationStore
):
    talk = await talks.create("ann", {})
    assert await talks.delete("ann", talk.id)
    await store.save(response("a", conversation=talk.id))
    assert ids(await store.context("ann", "resp_a")) == A
    assert await talks.context("ann", talk.id) is None


async def test_many_saves_at_once(store: ResponseStore):
    await asyncio.gather(*(store.save(response(f"n{n}")) for n in range(100)))
    assert all(await asyncio.gather(*(store.get("ann", f"resp_n{n}") for n in range(100))))
