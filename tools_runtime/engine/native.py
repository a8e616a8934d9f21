"""Items of native tools: the model server writes them and their events; here they get ids and numbers of ours."""

from __future__ import annotations

from pydantic import ValidationError

from tools_runtime import ids
from tools_runtime.engine.writers import Closing
from tools_runtime.protocol.codec import read_event
from tools_runtime.protocol.events import Event, ItemEvent, OutputItemAdded, OutputItemDone
from tools_runtime.protocol.foreign_items import ForeignItem, ShellCall, ToolSearchCall
from tools_runtime.protocol.items import CustomToolCall, Item
from tools_runtime.tools import Emit

_BY_CLIENT = frozenset(
    ("custom_tool_call", "shell_call", "local_shell_call", "apply_patch_call", "computer_call", "mcp_approval_request")
)


class NativeItems:
    """The native items of one turn, by the key that their deltas have."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._ids: dict[str, str] = {}
        self._open: dict[str, Item] = {}
        self.done: list[Item] = []

    @property
    def client_is_next(self) -> bool:
        """Whether one of them is a call that the client has to answer."""
        return any(_by_client(item) for item in self.done)

    def take(self, key: str, event: dict[str, object]) -> Item | None:
        """Writes an event of the server's; returns an item that it closes. Passes over what OpenAI's types do not have,
        and what belongs to no item that is open."""
        try:
            parsed = read_event({"item_id": ""} | event)
        except ValidationError:
            return None
        match parsed:
            case OutputItemAdded(item=item):
                self._add(key, item)
            case OutputItemDone(item=item):
                return self._finish(key, item)
            case ItemEvent() if key in self._open:
                parsed.item_id = self._ids[key]
                self._put(parsed)
        return None

    def close(self, status: Closing) -> None:
        """Closes what the server has left open."""
        for key, item in list(self._open.items()):
            self._finish(key, item.model_copy(update={"status": status}))

    def _add(self, key: str, item: Item) -> None:
        if key in self._ids:
            return
        prefix, separator, _ = (item.id or "").partition("_")
        self._ids[key] = ids.new(prefix if separator else "item")
        self._open[key] = item.model_copy(update={"id": self._ids[key]})
        self._put(OutputItemAdded(item=self._open[key]))

    def _finish(self, key: str, item: Item) -> Item | None:
        self._add(key, item)
        if self._open.pop(key, None) is None:
            return None
        item = item.model_copy(update={"id": self._ids[key]})
        self._put(OutputItemDone(item=item))
        self.done.append(item)
        return item

    def _put(self, event: Event) -> None:
        event.sequence_number = None
        self._emit(event)


def _by_client(item: Item) -> bool:
    if isinstance(item, ShellCall):
        environment = (item.model_extra or {}).get("environment") or {}
        return environment.get("type") != "container_reference"
    if isinstance(item, ToolSearchCall):
        return item.execution == "client"
    return isinstance(item, ForeignItem | CustomToolCall) and item.type in _BY_CLIENT
