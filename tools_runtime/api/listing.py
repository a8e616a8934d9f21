"""The query parameters and bodies that all lists share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request

from tools_runtime.errors import ApiError
from tools_runtime.protocol.request import Includable
from tools_runtime.stores import Cursor, Page


class Listing:
    """``?after=…&before=…&limit=…&order=…`` as a cursor."""

    def __init__(
        self,
        after: str | None = None,
        before: str | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> None:
        self.cursor = Cursor(after=after, before=before, limit=limit, order=order)


def page_body(page: Page[Any], data: list[dict[str, Any]]) -> dict[str, Any]:
    """A list object; ``data`` are the wire forms of the page's members."""
    return {
        "object": "list",
        "data": data,
        "first_id": page.first_id,
        "last_id": page.last_id,
        "has_more": page.has_more,
    }


def includes(request: Request) -> list[str]:
    """``?include=…``, repeated, with or without brackets. Raises ``ApiError`` for a value that does not exist."""
    values = [value for name, value in request.query_params.multi_items() if name in ("include", "include[]")]
    for value in values:
        if value not in Includable.__args__:  # type: ignore[attr-defined]
            raise ApiError(f"Invalid value: '{value}'.", param="include", code="invalid_value")
    return values
