"""What is kept for how long: responses and their chains, conversations, uploads, counters."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tools_runtime.stores import DAY, ContainerUsage, StoredItem, StoredResponse
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.retention import Retention
from tools_runtime.stores.schema import items, uploads

OLD, NEW, NOW = 1_000, 31 * DAY, 40 * DAY


def response(
    id: str, created_at: int, previous: str | None = None, conversation: str | None = None, status: str = "completed"
) -> StoredResponse:
    item = StoredItem(f"msg_{id}", b"{}")
    return StoredResponse(id, "o", created_at, status, previous, conversation, b"{}", [item], [item])


@pytest.fixture
def responses(database: Database) -> ResponseStore:
    return ResponseStore(database)


async def left(database: Database, responses: ResponseStore, *ids: str, days: int = 30) -> list[str]:
    await Retention(database, days=days).expire(NOW)
    return [id for id in ids if await responses.get("o", id) is not None]


async def test_responses_go_with_their_items(database: Database, responses: ResponseStore):
    for n in range(250):
        await responses.save(response(f"old{n}", OLD))
    await responses.save(response("new", NEW))
    assert await left(database, responses, *(f"old{n}" for n in range(250)), "new") == ["new"]
    assert await database.read(lambda connection: {*connection.scalars(select(items.c.id))}) == {"msg_new"}


async def test_nothing_goes_where_all_is_kept(database: Database, responses: ResponseStore):
    await responses.save(response("old", OLD))
    assert await left(database, responses, "old", days=0) == ["old"]


async def test_what_a_later_response_continues_stays_as_long_as_that(database: Database, responses: ResponseStore):
    await responses.save(response("root", OLD))
    await responses.save(response("old-branch", OLD + 1, "root"))
    await responses.save(response("branch", OLD + 1, "root"))
    await responses.save(response("tip", NEW, "branch"))
    assert await left(database, responses, "root", "old-branch", "branch", "tip") == ["root", "branch", "tip"]
    assert len(await responses.context("o", "tip") or []) == 6
    await responses.delete("o", "tip")
    assert await left(database, responses, "root", "branch") == []


async def test_a_response_that_runs_stays(database: Database, responses: ResponseStore):
    await responses.save(response("waits", OLD, status="queued"))
    await responses.save(response("runs", OLD, status="in_progress"))
    assert await left(database, responses, "waits", "runs") == ["waits", "runs"]


async def test_conversations_keep_their_items(database: Database, responses: ResponseStore):
    conversations = ConversationStore(database)
    conversation = await conversations.create("o", {})
    await responses.save(response("old", OLD, conversation=conversation.id))
    assert await left(database, responses, "old") == []
    assert await conversations.context("o", conversation.id) == [b"{}", b"{}"]


async def test_old_uploads_and_counters_go(database: Database):
    row = {"owner": "o", "created_at": 0, "filename": "x", "purpose": "x", "bytes": 1, "file_seconds": None}
    rows = [
        {"id": "done", "status": "completed", "expires_at": OLD},
        {"id": "open", "status": "pending", "expires_at": OLD},
        {"id": "new", "status": "completed", "expires_at": NEW},
    ]
    await database.write(lambda connection: connection.execute(uploads.insert(), [row | one for one in rows]) and None)
    usage = ContainerUsageStore(database)
    for hour in (OLD // 3600, NEW // 3600):
        await usage.add("o", hour, ContainerUsage(cells=1))
    await Retention(database, days=30).expire(NOW)
    assert await database.read(lambda connection: {*connection.scalars(select(uploads.c.id))}) == {"open", "new"}
    assert [(await usage.get("o", hour)).cells for hour in (OLD // 3600, NEW // 3600)] == [0, 1]
