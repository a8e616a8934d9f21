"""Runs: who may run what, what others see of it meanwhile, and what is left when it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tools_runtime.errors import ApiError
from tools_runtime.stores import Lease, StoredEvent, StoredItem, StoredResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.events import EventStore
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.runs import RunStore

ID = "resp_a"


def event(number: int, kind: str = "response.queued", **fields: Any) -> StoredEvent:
    return StoredEvent(number, kind, orjson.dumps({"type": kind, **fields}))


def response(id: str = ID, conversation: str | None = None, owner: str = "ann") -> StoredResponse:
    return StoredResponse(id, owner, 1, "queued", None, conversation, b"{}", input=[StoredItem(f"{id}_in", b"{}")])


def ended(stored: StoredResponse, status: str = "completed") -> StoredResponse:
    return replace(stored, status=status, body=b'{"done":1}', output=[StoredItem(f"{stored.id}_out", b"{}")])


@pytest.fixture
def runs(database: Database) -> RunStore:
    return RunStore(database, worker="here", lease_seconds=60)


@pytest.fixture
def others(database: Database) -> RunStore:
    """Another process's, whose leases are over at once."""
    return RunStore(database, worker="elsewhere", lease_seconds=-1)


@pytest.fixture
def responses(database: Database) -> ResponseStore:
    return ResponseStore(database)


@pytest.fixture
def events(database: Database) -> EventStore:
    return EventStore(database)


async def queue(runs: RunStore, stored: StoredResponse | None = None, *, waits: bool = True, most: int = 10) -> Lease:
    stored = stored or response()
    lease = Lease(stored.owner, stored.id, f"token of {stored.id}")
    assert await runs.queue(stored, b"request", [event(0)], lease, waits=waits, most=most) == "queued"
    return lease


async def test_the_longest_waiting_is_claimed_first_and_once(runs: RunStore):
    for name in ("resp_b", "resp_a", "resp_c"):
        await queue(runs, response(name))
    claimed = [await runs.claim() for _ in range(4)]
    assert [each and each.lease.response_id for each in claimed] == ["resp_b", "resp_a", "resp_c", None]
    assert claimed[0] is not None and claimed[0].request == b"request"


async def test_each_is_claimed_by_one_however_many_try(runs: RunStore, database: Database):
    for number in range(5):
        await queue(runs, response(f"resp_{number}"))
    many = [RunStore(database, worker=f"w{number}", lease_seconds=60) for number in range(10)]
    claimed = await asyncio.gather(*(store.claim() for store in many))
    assert sorted(each.lease.response_id for each in claimed if each) == [f"resp_{number}" for number in range(5)]


async def test_too_many_that_wait_are_refused_by_owner(runs: RunStore, responses: ResponseStore):
    await queue(runs, response("resp_1"), most=1)
    lease = Lease("ann", "resp_2", "t")
    assert await runs.queue(response("resp_2"), b"", [], lease, waits=True, most=1) == "full"
    assert await responses.get("ann", "resp_2") is None
    await queue(runs, response("resp_3", owner="bob"), most=1)
    await queue(runs, response("resp_4"), most=1, waits=False)


async def test_its_state_and_output_are_seen_while_it_runs(runs: RunStore, responses: ResponseStore):
    lease = await queue(runs, waits=False)
    assert (await responses.get("ann", ID)).status == "queued"  # type: ignore[union-attr]
    assert await runs.begin(lease)
    added = [event(1, "response.output_item.added", item={"id": name, "status": "in_progress"}) for name in ("x",)]
    done = event(2, "response.output_item.done", item={"id": "x", "status": "completed"})
    await runs.record(lease, [*added, event(3, "response.output_text.delta", delta="?")])
    seen = await responses.get("ann", ID)
    assert seen is not None and seen.status == "in_progress"
    assert [orjson.loads(item.data)["status"] for item in seen.output] == ["in_progress"]
    await runs.record(lease, [done])
    seen = await responses.get("ann", ID)
    assert seen is not None and [orjson.loads(item.data)["status"] for item in seen.output] == ["completed"]


async def test_a_response_that_still_runs_cannot_be_continued(runs: RunStore, responses: ResponseStore):
    lease = await queue(runs, waits=False)
    with pytest.raises(ApiError) as refused:
        await responses.context("ann", ID)
    assert (refused.value.status, refused.value.param) == (400, "previous_response_id")
    assert await runs.finish(lease, ended(response()), [], 0)
    assert await responses.context("ann", ID) == [b"{}", b"{}"]


async def test_the_end_comes_all_at_once(runs: RunStore, responses: ResponseStore, events: EventStore):
    lease = await queue(runs, waits=False)
    assert await events.after("ann", ID, -1, 10) == ([event(0)], False)
    assert await runs.finish(lease, ended(response()), [event(1, "response.completed")], 0)
    assert await events.after("ann", ID, 0, 10) == ([event(1, "response.completed")], True)
    stored = await responses.get("ann", ID)
    assert stored is not None and (stored.status, stored.body) == ("completed", b'{"done":1}')
    assert [item.id for item in stored.output] == [f"{ID}_out"]
    assert not await runs.finish(lease, ended(response()), [event(2)], 0), "there is one end"


async def test_who_has_lost_a_run_can_write_nothing(runs: RunStore, others: RunStore, responses: ResponseStore):
    old = await queue(runs, waits=False)
    new = await others.take_over("ann", ID)
    assert new is not None and await runs.held([old, new]) == {new} == await runs.renew([old, new])
    assert not await runs.begin(old)
    assert not await runs.record(old, [event(1)])
    assert not await runs.finish(old, ended(response()), [event(1)], 0)
    assert not await runs.give_back(old)
    assert await others.finish(new, ended(response(), "cancelled"), [event(1)], 0)
    assert (await responses.get("ann", ID)).status == "cancelled"  # type: ignore[union-attr]
    assert await others.take_over("ann", ID) is None


async def test_what_a_dead_process_had_not_begun_is_run_and_what_it_had_is_ended(runs: RunStore, others: RunStore):
    await queue(others, response("resp_waits"), waits=False)
    begun = await queue(others, response("resp_begun"), waits=False)
    assert await others.begin(begun)
    claimed = await runs.claim()
    assert claimed is not None and claimed.lease.response_id == "resp_waits"
    assert await runs.claim() is None
    orphan = await runs.orphan()
    assert orphan is not None and orphan.response_id == "resp_begun"
    assert await runs.orphan() is None, "it is leased to be ended"


async def test_the_next_process_of_a_name_need_not_wait_for_the_leases_of_the_former(runs: RunStore):
    assert await runs.begin(await queue(runs, waits=False))
    assert await runs.orphan() is None
    await runs.recover()
    assert await runs.orphan() is not None


async def test_a_request_is_forgotten_once_it_runs(runs: RunStore, database: Database):
    assert await runs.begin(await queue(runs, waits=False))
    rows = await database.read(
        lambda connection: connection.exec_driver_sql("SELECT request FROM runs").scalars().all()
    )
    assert [bytes(row) for row in rows] == [b""]


async def test_a_deleted_response_has_no_run(runs: RunStore, responses: ResponseStore, events: EventStore):
    lease = await queue(runs, waits=False)
    assert not await responses.delete("bob", ID) and await runs.held([lease])
    assert await responses.delete("ann", ID)
    assert not await runs.held([lease])
    assert not await runs.record(lease, [event(1)])
    assert await events.after("ann", ID, -1, 10) == ([], True)


async def test_events_are_their_owners_and_have_their_time(
    runs: RunStore, responses: ResponseStore, events: EventStore
):
    lease = await queue(runs, waits=False)
    assert await events.exist("ann", ID) and not await events.exist("bob", ID)
    assert (await events.after("bob", ID, -1, 10))[0] == []
    await events.expire(10**12)
    assert await events.exist("ann", ID), "it has not ended"
    await runs.finish(lease, ended(response()), [event(1)], 100)
    await events.expire(99)
    assert await events.exist("ann", ID)
    await events.expire(100)
    assert not await events.exist("ann", ID)
    assert await responses.get("ann", ID) is not None


# --- conversations ---------------------------------------------------------------------------------------------------


async def talk(database: Database) -> str:
    return (await ConversationStore(database).create("ann", {})).id


async def test_a_conversation_is_locked_by_one(runs: RunStore, others: RunStore, database: Database):
    id = await talk(database)
    locks = await asyncio.gather(*(store.lock("ann", id, f"resp_{n}") for n, store in enumerate([runs] * 5)))
    (lease,) = [lock for lock in locks if lock]
    assert await others.lock("ann", id, "resp_x") is None
    await runs.release(lease)
    assert await others.lock("ann", id, "resp_y") is not None


async def test_nobody_locks_what_is_not_his(runs: RunStore, database: Database):
    id = await talk(database)
    await runs.lock("bob", id, "resp_1")
    assert await runs.held([await runs.lock("ann", id, "resp_2")])  # type: ignore[list-item]


async def test_the_lock_of_a_dead_process_ends(runs: RunStore, others: RunStore, responses: ResponseStore, database):
    id = await talk(database)
    old = await others.lock("ann", id, "resp_old")
    new = await runs.lock("ann", id, "resp_new")
    assert old is not None and new is not None
    assert not await responses.save(ended(response("resp_old", id)), old), "it would write into another's conversation"
    assert await responses.save(ended(response("resp_new", id)), new)
    assert await runs.lock("ann", id, "resp_next") is not None
    await runs.recover()
    assert await others.lock("ann", id, "resp_last") is not None


async def test_a_background_response_keeps_its_conversation_locked_till_its_end(
    runs: RunStore, others: RunStore, responses: ResponseStore, database: Database
):
    id = await talk(database)
    lock = await runs.lock("ann", id, ID)
    assert lock is not None
    stored = response(conversation=id)
    assert await runs.queue(stored, b"request", [], lock, waits=True, most=1) == "queued"
    assert await others.lock("ann", id, "resp_x") is None
    claimed = await others.claim()
    assert claimed is not None
    assert await runs.lock("ann", id, "resp_x") is None, "an expired lease of what is still to be run"
    assert await ConversationStore(database).context("ann", id) == []
    assert await others.finish(claimed.lease, ended(stored), [], 0)
    assert len(await ConversationStore(database).context("ann", id) or ()) == 2
    assert await runs.lock("ann", id, "resp_x") is not None


async def test_a_lost_lock_queues_nothing(runs: RunStore, others: RunStore, responses: ResponseStore, database):
    id = await talk(database)
    lost = await others.lock("ann", id, ID)
    assert lost is not None and await runs.lock("ann", id, "resp_x") is not None
    assert await others.queue(response(conversation=id), b"", [], lost, waits=True, most=1) == "lost"
    assert await responses.get("ann", ID) is None
