"""Hosted tools: what the model can call and this server runs itself. One tool a file (or folder) beside this one.

Three objects, from the longest-lived to the shortest:

* ``HostedTool`` lives as long as the server. It knows its backends and what old items of its kind look like to a model.
* ``BoundTool`` is a tool with one request's options. ``HostedTool.bind`` makes it, and refuses what can be refused.
* ``HostedCall`` is one call by the model: it owns one output item, writes that item's events, and runs the work.

A ``ServerTool`` is a bound tool whose functions another server has: the engine opens it before the first turn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tools_runtime.protocol.events import Event, OutputItemAdded, OutputItemDone
from tools_runtime.protocol.items import HostedItem, Item
from tools_runtime.protocol.mcp_items import McpApprovalRequest, McpCall
from tools_runtime.protocol.prompt import Function, PromptItem
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import HostedToolParam
from tools_runtime.tools.sources import Sources

Emit = Callable[[Event], None]
"""Appends an event to the run's log. Never blocks; the accumulator numbers the event."""


@dataclass(frozen=True)
class Scope:
    """What a tool may know of the run that it serves.

    ``history`` are the items before this response's output, oldest first, with all their fields (results, outputs …).
    ``sources`` collects what the model is shown and may cite.
    """

    owner: str
    response_id: str
    request: CreateResponse
    history: Sequence[Item]
    sources: Sources


class HostedTool(Protocol):
    """One hosted tool of this server."""

    types: tuple[str, ...]
    """The ``type``s under which a request may ask for it."""
    item_type: str
    """The ``type`` of the items that its calls leave."""

    def shown_to(self, model: str) -> HostedTool:
        """The tool as this model knows it best: itself, unless the model was trained on functions of its own."""
        ...

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        """The tool with a request's options. Raises ``ApiError`` for what can be refused before the first event
        (an unknown vector store, say), naming the field below ``param`` (e.g. ``tools[0]``)."""
        ...

    def render(self, item: Any, sources: Sources) -> list[PromptItem]:
        """An old item of ``item_type`` as the function call and output that a model is shown. Adds its sources."""
        ...


class BoundTool(Protocol):
    """A hosted tool as one request configured it."""

    type: str
    """The ``type`` that the request used."""
    echo: dict[str, Any]
    """The tool as the response object shows it, with defaults filled in."""

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions that the model sees. The first is the one that ``tool_choice`` forces."""
        ...

    @property
    def instructions(self) -> str | None:
        """What the model must be told once, beside the functions' descriptions."""
        ...

    def call(self, function: str, emit: Emit) -> HostedCall:
        """Begins a call of one of ``functions``. Cheap; opens nothing."""
        ...


class ServerTool(ABC):
    """A bound tool whose ``functions`` are those of another server. ``server_label`` is the server's name in the
    request; ``listed``: its functions are known."""

    type: str
    echo: dict[str, Any]
    server_label: str
    listed: bool

    @property
    @abstractmethod
    def functions(self) -> tuple[Function, ...]: ...

    @property
    @abstractmethod
    def instructions(self) -> str | None: ...

    @abstractmethod
    def name_of(self, tool: str) -> str:
        """The name of the function for one of the server's tools, which it need not have."""

    @abstractmethod
    async def list_functions(self, emit: Emit) -> None:
        """Asks the server for its functions, and writes the item that holds them. Raises ``ApiError``."""

    @abstractmethod
    def call(self, function: str, emit: Emit) -> HostedCall: ...

    @abstractmethod
    def approved(self, request: McpApprovalRequest, emit: Emit) -> HostedCall:
        """Begins the call that the user has allowed."""

    @abstractmethod
    async def aclose(self) -> None:
        """Ends the connection, if there is one."""


class HostedCall(ABC):
    """One call. The engine feeds it the arguments as the model writes them, then runs it.

    Subclasses call ``open`` once, then emit their progress events, change ``item``, and call ``close`` once.
    """

    def __init__(self, emit: Emit, item: HostedItem | McpCall | McpApprovalRequest) -> None:
        self.emit = emit
        self.item = item
        self.client_is_next = False
        """Whether the item is a question to the client, and its answer is to be waited for."""
        self._state: Literal["unopened", "open", "closed"] = "unopened"

    @property
    def item_id(self) -> str:
        assert self.item.id is not None
        return self.item.id

    @property
    def status(self) -> str:
        """The item's; a question to the client has none, and is complete as it is."""
        return "completed" if isinstance(self.item, McpApprovalRequest) else str(self.item.status)

    def open(self) -> None:
        """Emits ``output_item.added``. Does nothing when the item is open already."""
        if self._state == "unopened":
            self._state = "open"
            self.emit(OutputItemAdded(item=self.item.model_copy()))

    def close(self, status: Literal["completed", "incomplete", "failed"]) -> None:
        """Emits ``output_item.done`` with the item's final fields. Does nothing when the item is not open."""
        if self._state == "open":
            self._state = "closed"
            if not isinstance(self.item, McpApprovalRequest):
                self.item.status = status
            self.emit(OutputItemDone(item=self.item.model_copy()))

    def announce(self, arguments: str) -> None:
        """Opens the item: the model begins another call, and items stand in the order of the calls. ``arguments`` is
        what has come so far: all of it, but from the few models that write calls interleaved. Must not raise."""
        self.open()

    def argument_delta(self, delta: str) -> None:  # noqa: B027 (most tools wait for the whole arguments)
        """A piece of the arguments' JSON, as the model writes it. Must not raise."""

    @abstractmethod
    async def run(self, arguments: str) -> str:
        """Does the work and returns the text that the model is given. ``arguments`` is the whole JSON as the model
        wrote it: it may be malformed or lack fields. What goes wrong is said in the item's status and in the text;
        an exception is a bug, which the engine turns into a failed item. Cancelled when the run is."""
