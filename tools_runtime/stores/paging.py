"""Pages of a list that is ordered by a growing integer key and addressed by ids."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, delete, func, insert, literal, select

from tools_runtime.errors import ApiError
from tools_runtime.stores import DAY, Cursor, Page
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import former_members as former

T = TypeVar("T")


@dataclass(frozen=True)
class Members:
    """Rows of which lists are made: one for each value of ``within``, ordered by ``key``.

    A client that deletes what it lists goes on behind an id that is gone, so the places of rows are kept for a day
    after they left their list: ``delete`` them here, or say ``leave`` before they do it otherwise.
    """

    key: Column[int]
    id: Column[str]
    within: Column[str]

    def delete(self, connection: Connection, *which: ColumnElement[bool]) -> int:
        """Deletes rows and keeps their places. Returns how many they were."""
        self.leave(connection, *which)
        return connection.execute(delete(self.key.table).where(*which)).rowcount

    def leave(self, connection: Connection, *which: ColumnElement[bool]) -> None:
        """Keeps the places of rows that are about to go with others, or to be taken out of their list."""
        name = literal(f"{self.key.table.name}/") + self.within
        gone = select(name, self.id, self.key, literal(int(time.time()))).where(*which)
        connection.execute(insert(former).from_select([column.name for column in former.c], gone))

    def place(self, connection: Connection, within: str, id: str, last: Callable[..., Any]) -> int | None:
        """The key of a member that the list has, shows no more, or had."""
        there = select(last(self.key)).where(self.within == within, self.id == id)
        was = former.c.list == f"{self.key.table.name}/{within}", former.c.id == id
        key: int | None = connection.scalar(there)
        return connection.scalar(select(last(former.c.key)).where(*was)) if key is None else key

    def page(
        self, connection: Connection, query: Select[Any], within: str, cursor: Cursor
    ) -> tuple[list[Row[Any]], bool]:
        """As the function ``page``, for the list that ``within`` has; ``query`` may leave out some of it."""
        return page(connection, query, self.key, cursor, lambda id, last: self.place(connection, within, id, last))


def page(
    connection: Connection,
    query: Select[Any],
    key: Column[int],
    cursor: Cursor,
    place: Callable[[str, Callable[..., Any]], int | None],
) -> tuple[list[Row[Any]], bool]:
    """The rows of ``query`` that ``cursor`` asks for, and whether more follow. ``place`` gives the key of an id. Raises
    ``ApiError`` naming ``after`` or ``before`` when that id has none. An id that stands in the list twice counts where
    it stands last."""
    backwards = cursor.before is not None and cursor.after is None
    ascending = (cursor.order == "asc") != backwards
    conditions = []
    for param, member in (("after", cursor.after), ("before", cursor.before)):
        if member is not None:
            position = place(member, func.max if cursor.order == "asc" else func.min)
            if position is None:
                raise ApiError(f"'{member}' is not in this list.", param=param)
            conditions.append(key > position if (cursor.order == "asc") == (param == "after") else key < position)
    ordered = query.where(*conditions).order_by(key.asc() if ascending else key.desc()).limit(cursor.limit + 1)
    rows = list(connection.execute(ordered))
    has_more = len(rows) > cursor.limit
    rows = rows[: cursor.limit]
    return rows[::-1] if backwards else rows, has_more


def as_page(rows: list[Row[Any]], has_more: bool, value: Callable[[Row[Any]], T], id: Callable[[T], str]) -> Page[T]:
    """The page of the values that ``value`` makes of ``rows``."""
    data = [value(row) for row in rows]
    return Page(data, id(data[0]) if data else None, id(data[-1]) if data else None, has_more)


async def forget(database: Database, now: float) -> None:
    """Deletes the places of rows that left their lists a day before ``now``, in seconds since 1970."""
    old = delete(former).where(former.c.left_at < int(now) - DAY)
    await database.write(lambda connection: connection.execute(old).rowcount)
