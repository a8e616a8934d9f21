"""Items from JSON and to it. The adapters are built once: building one costs milliseconds."""

from __future__ import annotations

from pydantic import TypeAdapter

from tools_runtime.protocol.items import AnyItem, Item

_ITEM: TypeAdapter[Item] = TypeAdapter(Item)


def load_item(data: bytes) -> Item:
    """A stored item."""
    return _ITEM.validate_json(data)


def dump_item(item: AnyItem) -> bytes:
    """The whole item as JSON, as it is stored."""
    return item.model_dump_json().encode()
