"""Items and events from JSON and to it. The adapters are built once: building one costs milliseconds."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tools_runtime.protocol.events import AnyEvent, Event
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.tools import Tool

_ITEM: TypeAdapter[Item] = TypeAdapter(Item)
_EVENT: TypeAdapter[Event] = TypeAdapter(AnyEvent)
_TOOL: TypeAdapter[Tool] = TypeAdapter(Tool)


def load_item(data: bytes) -> Item:
    """A stored item."""
    return _ITEM.validate_json(data)


def dump_item(item: Item) -> bytes:
    """The whole item as JSON, as it is stored."""
    return item.model_dump_json().encode()


def load_event(data: bytes) -> Event:
    """A stored event."""
    return _EVENT.validate_json(data)


def read_event(data: dict[str, Any]) -> Event:
    """An event. Raises ``ValidationError`` for one of an unknown type or shape."""
    return _EVENT.validate_python(data)


def read_tool(data: dict[str, Any]) -> Tool:
    """A tool. Raises ``ValidationError``."""
    return _TOOL.validate_python(data)
