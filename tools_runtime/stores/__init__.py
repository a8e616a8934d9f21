"""What survives: the database and the blobs. This file holds the values that the stores speak in.

There is no port in front of the database: SQL is the port, and the URL picks the engine. Every stored object has an
owner, and every query names it; what belongs to somebody else looks as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cursor:
    """Which part of a list is wanted. ``after`` and ``before`` are ids of members of that list; ``before`` alone asks
    for the page that ends just before it. ``order`` is the order of creation."""

    after: str | None = None
    before: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "desc"


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list. ``first_id`` and ``last_id`` are None when it is empty."""

    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


@dataclass(frozen=True)
class StoredItem:
    """An item of a response or conversation. ``data`` is the JSON of the whole item: ``include`` gates it on the way
    out, never here."""

    id: str
    data: bytes


@dataclass(frozen=True)
class StoredResponse:
    """A response. ``body`` is the response object's JSON without its ``output``, which is stored as items."""

    id: str
    owner: str
    created_at: int
    status: str
    previous_response_id: str | None
    conversation_id: str | None
    body: bytes
    input: Sequence[StoredItem] = ()
    output: Sequence[StoredItem] = ()


@dataclass(frozen=True)
class Conversation:
    """A conversation without its items. ``created_at`` in seconds since 1970."""

    id: str
    created_at: int
    metadata: dict[str, str]
