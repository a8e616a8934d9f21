"""What a reader gets to see: fields that OpenAI shows only to those who ask for them with ``include``.

Items are kept whole in logs and stores; they are gated here, on the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tools_runtime.protocol.base import Wire
from tools_runtime.protocol.events import Event, OutputItemAdded, OutputItemDone, ResponseEvent
from tools_runtime.protocol.items import (
    CodeInterpreterCall,
    FileSearchCall,
    InputImage,
    Item,
    Message,
    Reasoning,
    WebSearchCall,
)
from tools_runtime.protocol.response import Response

T = TypeVar("T", bound=Wire)


class View:
    """One reader's eyes."""

    def __init__(self, include: Iterable[str] | None = None) -> None:
        self._include = frozenset(include or ())

    def item(self, item: Item) -> Item:
        """``item`` or, where something must be hidden, a copy without it."""
        if isinstance(item, FileSearchCall) and not self._shows("file_search_call.results"):
            return item.model_copy(update={"results": None})
        if isinstance(item, CodeInterpreterCall) and not self._shows("code_interpreter_call.outputs"):
            return item.model_copy(update={"outputs": None})
        if isinstance(item, WebSearchCall):
            return self._web_search(item)
        if isinstance(item, Reasoning) and not self._shows("reasoning.encrypted_content"):
            return _without(item, "encrypted_content")
        return item

    def input_item(self, item: Item) -> Item:
        """An item of a listing of inputs, where images that were sent inline are hidden too."""
        if isinstance(item, Message) and isinstance(item.content, list):
            if self._shows("message.input_image.image_url"):
                return item
            parts = [_without(part, "image_url") if isinstance(part, InputImage) else part for part in item.content]
            return item.model_copy(update={"content": parts})
        return self.item(item)

    def response(self, response: Response) -> Response:
        return response.model_copy(update={"output": [self.item(item) for item in response.output]})

    def event(self, event: Event) -> Event:
        if isinstance(event, OutputItemAdded | OutputItemDone):
            item = self.item(event.item)
            return event if item is event.item else event.model_copy(update={"item": item})
        if isinstance(event, ResponseEvent) and event.response.output:
            return event.model_copy(update={"response": self.response(event.response)})
        return event

    def _shows(self, name: str) -> bool:
        return name in self._include

    def _web_search(self, item: WebSearchCall) -> WebSearchCall:
        if not self._shows("web_search_call.results"):
            item = _without(item, "results")
        if item.action is not None and not self._shows("web_search_call.action.sources"):
            item = item.model_copy(update={"action": _without(item.action, "sources")})
        return item


def _without(value: T, field: str) -> T:
    """A copy of a sparse wire object in which ``field`` is absent; the object itself if it is absent already."""
    if getattr(value, field) is None:
        return value
    copy = value.model_copy(update={field: None})
    copy.model_fields_set.discard(field)
    return copy
