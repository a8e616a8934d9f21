"""The events of background responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, insert, select, update

from tools_runtime.stores import StoredEvent, StoredItem
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import events, responses, runs

_INSERT = insert(events)
_OF = and_(events.c.response_id == bindparam("this"), responses.c.id == events.c.response_id)
_OWNED = and_(_OF, responses.c.owner == bindparam("of"))
_AFTER: Select[Any] = (
    select(events.c.number, events.c.type, events.c.data)
    .where(_OWNED, events.c.number > bindparam("after"))
    .order_by(events.c.number)
    .limit(bindparam("most"))
)
_ANY = select(events.c.number).where(_OWNED).limit(1)
_RUNNING = select(runs.c.key).where(runs.c.response_id == bindparam("this"))
_ITEMS = (
    select(events.c.data)
    .where(
        events.c.response_id == bindparam("this"),
        events.c.type.in_(("response.output_item.added", "response.output_item.done")),
    )
    .order_by(events.c.number)
)


class EventStore:
    """Reads events. They are written by ``RunStore``, which knows who may write them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exist(self, owner: str, response_id: str) -> bool:
        """Whether the response has events."""
        key = {"of": owner, "this": response_id}
        return await self._database.read(lambda connection: connection.scalar(_ANY, key) is not None)

    async def after(self, owner: str, response_id: str, number: int, limit: int) -> tuple[list[StoredEvent], bool]:
        """At most ``limit`` events behind ``number``; whether there will be no others."""
        key = {"of": owner, "this": response_id, "after": number, "most": limit}

        def work(connection: Connection) -> tuple[list[StoredEvent], bool]:
            rows = connection.execute(_AFTER, key).all()
            ended = len(rows) < limit and connection.scalar(_RUNNING, {"this": response_id}) is None
            return [_event(row) for row in rows], ended

        return await self._database.read(work)

    async def expire(self, now: float) -> None:
        """Deletes events whose time is up, ``now`` in seconds since 1970."""
        past = responses.c.events_until <= now

        def work(connection: Connection) -> None:
            connection.execute(delete(events).where(events.c.response_id.in_(select(responses.c.id).where(past))))
            connection.execute(update(responses).where(past).values(events_until=None))

        await self._database.write(work)


def add_events(connection: Connection, response_id: str, added: Sequence[StoredEvent]) -> None:
    rows = [
        {"response_id": response_id, "number": event.number, "type": event.type, "data": event.data} for event in added
    ]
    if rows:
        connection.execute(_INSERT, rows)


def output_so_far(connection: Connection, response_id: str) -> list[StoredItem]:
    """The items that the events have opened, as the last of them has them."""
    items: dict[str, StoredItem] = {}
    for data in connection.scalars(_ITEMS, {"this": response_id}):
        item = orjson.loads(data)["item"]
        items[item["id"]] = StoredItem(item["id"], orjson.dumps(item))
    return [*items.values()]


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.number, row.type, row.data)
