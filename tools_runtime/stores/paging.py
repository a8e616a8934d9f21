"""Pages of a list that is ordered by a growing integer key and addressed by ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Row, Select, func

from tools_runtime.errors import ApiError
from tools_runtime.stores import Cursor, Page

T = TypeVar("T")


def page(
    connection: Connection, query: Select[Any], key: Column[int], id: Column[str], cursor: Cursor
) -> tuple[list[Row[Any]], bool]:
    """The rows of ``query`` that ``cursor`` asks for, and whether more follow. Raises ``ApiError`` naming ``after`` or
    ``before`` when that id is not in the list. An id that stands in the list twice counts where it stands last."""
    backwards = cursor.before is not None and cursor.after is None
    ascending = (cursor.order == "asc") != backwards
    conditions = []
    for param, member in (("after", cursor.after), ("before", cursor.before)):
        if member is not None:
            last = func.max(key) if cursor.order == "asc" else func.min(key)
            position = connection.scalar(query.with_only_columns(last).where(id == member).order_by(None))
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
