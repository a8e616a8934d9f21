"""How long what nobody deletes is kept."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, select, update

from tools_runtime.stores import DAY, UNFINISHED
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import container_usage, items, responses, uploads

_MANY = 100
"""How many responses are deleted in one transaction."""


class Retention:
    """Deletes responses after ``days``, and with them their items; what joined a conversation stays in it, and a
    conversation stays until it is deleted. A response that a later one continues is kept as long as that: without it,
    the later one's context would have a hole. Also deletes counters and ended uploads of that age."""

    def __init__(self, database: Database, *, days: int) -> None:
        """``days`` 0: for ever."""
        self._database = database
        self._days = days

    async def expire(self, now: float) -> None:
        """Deletes what is too old by ``now``, in seconds since 1970."""
        if not self._days:
            return
        before = int(now) - self._days * DAY
        while await self._database.write(lambda connection: _delete_responses(connection, before)):
            pass
        await self._database.write(lambda connection: _delete_records(connection, before))


def _delete_responses(connection: Connection, before: int) -> int:
    later = responses.alias("later")
    continued = exists().where(later.c.previous_response_id == responses.c.id)
    old = select(responses.c.id).where(responses.c.created_at < before, responses.c.status.not_in(UNFINISHED))
    ids = [*connection.scalars(old.where(~continued).limit(_MANY))]
    joined = items.c.response_id.in_(ids), items.c.conversation_id.is_not(None)
    connection.execute(update(items).where(*joined).values(response_id=None))
    connection.execute(delete(responses).where(responses.c.id.in_(ids)))
    return len(ids)


def _delete_records(connection: Connection, before: int) -> None:
    connection.execute(delete(container_usage).where(container_usage.c.hour < before // 3600))
    ended = select(uploads.c.id).where(uploads.c.status != "pending", uploads.c.expires_at < before)
    connection.execute(delete(uploads).where(uploads.c.id.in_(ended.limit(_MANY))))
