"""What a run that was stopped left open, closed: by its events alone, since who stopped it may be another process.

The writers close what fails in their own run (``engine/writers.py``); the events here are those that they would write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tools_runtime.protocol import events as ev
from tools_runtime.protocol.items import (
    CustomToolCall,
    FunctionCall,
    Item,
    OutputText,
    ReasoningText,
    Refusal,
    SummaryText,
)

Part = OutputText | Refusal | ReasoningText | SummaryText
_PIECES: dict[type[ev.ItemEvent], str] = {
    ev.FunctionArgumentsDelta: "arguments",
    ev.McpArgumentsDelta: "arguments",
    ev.CodeDelta: "code",
    ev.CustomInputDelta: "input",
}
"""What a delta of this kind adds to, in the item itself."""
_WHOLE: dict[type[ev.ItemEvent], str] = {
    ev.FunctionArgumentsDone: "arguments",
    ev.McpArgumentsDone: "arguments",
    ev.CodeDone: "code",
    ev.CustomInputDone: "input",
}


def closing(events: Iterable[ev.Event]) -> list[ev.Event]:
    """The events that close, as incomplete, the items that ``events`` leave open, with all that their deltas told."""
    open_: dict[str, _OpenItem] = {}
    for event in events:
        if isinstance(event, ev.OutputItemAdded):
            open_[event.item.id or ""] = _OpenItem(event.item)
        elif isinstance(event, ev.OutputItemDone):
            open_.pop(event.item.id or "", None)
        elif isinstance(event, ev.ItemEvent) and event.item_id in open_:
            open_[event.item_id].take(event)
    return [event for item in open_.values() for event in item.close()]


class _OpenItem:
    """An item as its deltas have it; only its last part can be open."""

    def __init__(self, item: Item) -> None:
        self._item = item.model_copy(deep=True)
        self._part: Part | None = None
        self._told = True
        """Whether the event that repeats the text of the part, or of the item, has come."""

    def take(self, event: ev.ItemEvent) -> None:
        if isinstance(event, ev.ContentPartAdded):
            self._begin("content", event.part)
        elif isinstance(event, ev.SummaryPartAdded):
            self._begin("summary", event.part)
        elif isinstance(event, ev.ContentPartDone | ev.SummaryPartDone):
            self._end(event.part)
        elif isinstance(event, ev.AnnotationAdded) and isinstance(self._part, OutputText):
            self._part.annotations.append(event.annotation)
        elif isinstance(event, ev.DeltaEvent) and type(event) in _PIECES:
            self._set(_PIECES[type(event)], event.delta, more=True)
        elif type(event) in _WHOLE:
            self._set(_WHOLE[type(event)], getattr(event, _WHOLE[type(event)]), more=False)
        elif self._part is not None:
            self._text(event)

    def close(self) -> Iterator[ev.Event]:
        if self._part is not None:
            yield from self._close_part(self._part)
        elif not self._told:
            yield from self._close_text()
        if "status" in type(self._item).model_fields or hasattr(self._item, "status"):
            self._item.status = "incomplete"  # type: ignore[union-attr]
        yield ev.OutputItemDone(item=self._item)

    def _begin(self, field: str, part: Part) -> None:
        self._part, self._told = part.model_copy(deep=True), False
        parts = [*(getattr(self._item, field, None) or ()), self._part]
        setattr(self._item, field, parts)

    def _end(self, part: Part) -> None:
        self._parts()[-1] = part
        self._part, self._told = None, True

    def _parts(self) -> list[Any]:
        field = "summary" if isinstance(self._part, SummaryText) else "content"
        parts: list[Any] = getattr(self._item, field)
        return parts

    def _set(self, field: str, text: str, *, more: bool) -> None:
        # Deltas tell all of it, whatever stood in the item when it was opened.
        before = getattr(self._item, field) if more and not self._told else ""
        setattr(self._item, field, before + text)
        self._told = not more

    def _text(self, event: ev.ItemEvent) -> None:
        part = self._part
        field = "refusal" if isinstance(part, Refusal) else "text"
        if isinstance(event, ev.DeltaEvent):
            setattr(part, field, getattr(part, field) + event.delta)
            if isinstance(event, ev.OutputTextDelta) and isinstance(part, OutputText):
                part.logprobs.extend(event.logprobs)
        elif isinstance(event, ev.OutputTextDone | ev.RefusalDone | ev.ReasoningTextDone | ev.SummaryTextDone):
            setattr(part, field, getattr(event, field))
            self._told = True

    def _close_part(self, part: Part) -> Iterator[ev.Event]:
        id, index = self._item.id or "", len(self._parts()) - 1
        if not self._told:
            yield _text_done(id, index, part)
        if isinstance(part, SummaryText):
            yield ev.SummaryPartDone(item_id=id, summary_index=index, part=part)
        else:
            yield ev.ContentPartDone(item_id=id, content_index=index, part=part)

    def _close_text(self) -> Iterator[ev.Event]:
        """As in a run that fails, a cell's code is not repeated: it has not been run."""
        item = self._item
        if isinstance(item, FunctionCall):
            yield ev.FunctionArgumentsDone(item_id=item.id or "", arguments=item.arguments)
        elif isinstance(item, CustomToolCall):
            yield ev.CustomInputDone(item_id=item.id or "", input=item.input)


def _text_done(id: str, index: int, part: Part) -> ev.Event:
    if isinstance(part, OutputText):
        return ev.OutputTextDone(item_id=id, content_index=index, text=part.text, logprobs=part.logprobs)
    if isinstance(part, Refusal):
        return ev.RefusalDone(item_id=id, content_index=index, refusal=part.refusal)
    if isinstance(part, ReasoningText):
        return ev.ReasoningTextDone(item_id=id, content_index=index, text=part.text)
    return ev.SummaryTextDone(item_id=id, summary_index=index, text=part.text)
