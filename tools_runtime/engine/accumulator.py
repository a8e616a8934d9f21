"""The only code that knows ``sequence_number``, ``output_index`` and the response object.

The rules that it enforces (a breach is a bug of ours and raises ``ProtocolBreach``):

1. A log begins with ``response.created`` and ends with one of completed, incomplete, failed; nothing follows.
2. Every item is opened by ``output_item.added`` and closed by ``output_item.done``, once each. Its index is its place
   in the order of opening.
3. Every other item event names an item that is open.
4. When the terminal event comes, no item is open.

Only whole items are folded: what deltas bring is repeated by the ``done`` events, so the response never holds a text
that its own stream contradicts.
"""

from __future__ import annotations

import time
from typing import Literal

from tools_runtime.protocol.events import (
    TERMINAL,
    Created,
    Event,
    InProgress,
    ItemEvent,
    OutputItemAdded,
    OutputItemDone,
    ResponseEvent,
)
from tools_runtime.protocol.response import IncompleteDetails, Response, ResponseError, ToolUsage, Usage


class ProtocolBreach(RuntimeError):
    """An event that may not stand where it stands."""


class Accumulator:
    """Numbers events and folds them into ``response``."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self._next = 0
        self._index: dict[str, int] = {}
        self._open: set[str] = set()
        self._ended = False

    def fold(self, event: Event) -> None:
        """Gives ``event`` its numbers and takes it into the response. Raises ``ProtocolBreach``."""
        if self._ended or (self._next == 0) != isinstance(event, Created):
            raise ProtocolBreach(f"{event.type} at place {self._next}")
        if isinstance(event, ItemEvent):
            if event.item_id not in self._open:
                raise ProtocolBreach(f"{event.type} of an item that is not open")
            event.output_index = self._index[event.item_id]
        elif isinstance(event, OutputItemAdded):
            self._add(event)
        elif isinstance(event, OutputItemDone):
            self._finish_item(event)
        elif isinstance(event, ResponseEvent):
            self._lifecycle(event)
        event.sequence_number = self._next
        self._next += 1

    def _add(self, event: OutputItemAdded) -> None:
        item_id = event.item.id
        if item_id is None or item_id in self._index:
            raise ProtocolBreach(f"an item is added twice or has no id: {item_id}")
        event.output_index = self._index[item_id] = len(self.response.output)
        self._open.add(item_id)
        self.response.output.append(event.item)

    def _finish_item(self, event: OutputItemDone) -> None:
        item_id = event.item.id
        if item_id not in self._open:
            raise ProtocolBreach(f"an item is done that is not open: {item_id}")
        self._open.discard(item_id)
        event.output_index = self._index[item_id]
        self.response.output[event.output_index] = event.item

    def _lifecycle(self, event: ResponseEvent) -> None:
        if isinstance(event, TERMINAL):
            if self._open:
                raise ProtocolBreach(f"{event.type} while items are open: {sorted(self._open)}")
            self._ended = True
        elif isinstance(event, InProgress):
            self.response.status = "in_progress"
        event.response = self.response.model_copy(update={"output": list(self.response.output)})

    def finish(
        self,
        status: Literal["completed", "incomplete", "failed", "cancelled"],
        usage: Usage | None,
        *,
        reason: Literal["max_output_tokens", "content_filter"] | None = None,
        error: ResponseError | None = None,
    ) -> Response:
        """Sets the response's final fields, so that it can be stored before its terminal event is readable. A later
        call undoes an earlier one: what cannot be stored has failed. ``usage`` is None where nobody knows it."""
        final = self.response
        final.status = status
        final.usage = usage
        final.tool_usage = ToolUsage.of(final.output)
        final.error = error
        final.incomplete_details = None if reason is None else IncompleteDetails(reason=reason)
        final.completed_at = int(time.time()) if status == "completed" else None
        return final
