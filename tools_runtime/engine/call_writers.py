"""Writers of calls that the client answers: a function call's arguments become the item that the client expects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import orjson

from tools_runtime import ids
from tools_runtime.engine.client_tools import INPUT, ClientFunction
from tools_runtime.engine.writers import Closing
from tools_runtime.protocol import events as ev
from tools_runtime.protocol.foreign_items import (
    ApplyPatchCall,
    ForeignItem,
    LocalShellCall,
    ShellCall,
    ToolSearchCall,
)
from tools_runtime.protocol.items import CustomToolCall, FunctionCall
from tools_runtime.tools import Emit, text_argument

Status = Literal["in_progress", "completed", "incomplete"]


class CallWriter(Protocol):
    """Writes one call's item."""

    def announce(self) -> None:
        """Opens the item at the latest: another one is about to follow it."""
        ...

    def delta(self, delta: str) -> None:
        """A piece of the arguments."""
        ...

    def close(self, status: Closing) -> str | None:
        """Closes the item. What it returns is the answer to the model in place of the client's: the call could not be
        made."""
        ...


def writer(emit: Emit, call_id: str, tool: ClientFunction) -> CallWriter:
    """The writer for a call of ``tool``."""
    if tool.kind == "function":
        return FunctionCallWriter(emit, call_id, tool.name, tool.namespace)
    if tool.kind == "custom":
        return CustomCallWriter(emit, call_id, tool.name, tool.namespace)
    return ActionWriter(emit, call_id, *_ACTIONS[tool.kind])


class FunctionCallWriter:
    """A call of a function of the client's own."""

    def __init__(self, emit: Emit, call_id: str, name: str, namespace: str | None = None) -> None:
        self._emit = emit
        self._id = ids.new("fc")
        self._call_id = call_id
        self._name = name
        self._namespace = namespace
        self._pieces: list[str] = []
        emit(ev.OutputItemAdded(item=self._item("in_progress")))

    def announce(self) -> None:
        pass

    def delta(self, delta: str) -> None:
        self._pieces.append(delta)
        self._emit(ev.FunctionArgumentsDelta(item_id=self._id, delta=delta))

    def close(self, status: Closing) -> str | None:
        item = self._item(status)
        self._emit(ev.FunctionArgumentsDone(item_id=self._id, arguments=item.arguments))
        self._emit(ev.OutputItemDone(item=item))
        return None

    def _item(self, status: Status) -> FunctionCall:
        within = {"namespace": self._namespace} if self._namespace else {}
        return FunctionCall(
            id=self._id,
            status=status,
            arguments="".join(self._pieces),
            call_id=self._call_id,
            name=self._name,
            **within,
        )


class CustomCallWriter:
    """A call of a custom tool: the text argument of its function is the input."""

    def __init__(self, emit: Emit, call_id: str, name: str, namespace: str | None = None) -> None:
        self._emit = emit
        self._id = ids.new("ctc")
        self._call_id = call_id
        self._name = name
        self._namespace = namespace
        self._arguments: list[str] = []
        self._stream = text_argument.TextStream(INPUT)
        self._input = ""
        emit(ev.OutputItemAdded(item=self._item("in_progress")))

    def announce(self) -> None:
        pass

    def delta(self, delta: str) -> None:
        self._arguments.append(delta)
        self._write(self._stream.feed(delta))

    def close(self, status: Closing) -> str | None:
        if status == "completed":
            whole = _input("".join(self._arguments))
            if whole.startswith(self._input):
                self._write(whole[len(self._input) :])
        self._emit(ev.CustomInputDone(item_id=self._id, input=self._input))
        self._emit(ev.OutputItemDone(item=self._item(status)))
        return None

    def _write(self, text: str) -> None:
        if text:
            self._input += text
            self._emit(ev.CustomInputDelta(item_id=self._id, delta=text))

    def _item(self, status: Status) -> CustomToolCall:
        within = {"namespace": self._namespace} if self._namespace else {}
        return CustomToolCall(
            id=self._id, status=status, call_id=self._call_id, input=self._input, name=self._name, **within
        )


def _input(arguments: str) -> str:
    """JSON that holds no such argument may well be what the tool is to be given."""
    try:
        return text_argument.parse(arguments, INPUT)
    except ValueError:
        return arguments


# --- calls whose item holds an object --------------------------------------------------------------------------------

Make = Callable[[dict[str, Any]], ForeignItem | None]
"""The item for a call's arguments; None if they are of no use."""


class ActionWriter:
    """A call whose arguments are the item's own fields. It can be read only when it is whole."""

    def __init__(self, emit: Emit, call_id: str, prefix: str, make: Make, expected: str) -> None:
        self._emit = emit
        self._id = ids.new(prefix)
        self._call_id = call_id
        self._make = make
        self._expected = expected
        self._pieces: list[str] = []
        self._opened: ForeignItem | None = None

    def announce(self) -> None:
        if item := self._item("in_progress"):
            self._begin(item)

    def delta(self, delta: str) -> None:
        self._pieces.append(delta)

    def close(self, status: Closing) -> str | None:
        item = self._item(status)
        if item is None:
            if self._opened is not None:
                self._emit(ev.OutputItemDone(item=self._opened.model_copy(update={"status": "incomplete"})))
            # What was cut off was never a call; what is wrong is told to the model.
            return f"The call was not made: the arguments must be a JSON object like {self._expected}."
        self._begin(item.model_copy(update={"status": "in_progress"}))
        for event in _command_events(item):
            self._emit(event)
        self._emit(ev.OutputItemDone(item=item))
        return None

    def _begin(self, item: ForeignItem) -> None:
        if self._opened is None:
            self._opened = item
            self._emit(ev.OutputItemAdded(item=item))

    def _item(self, status: Status) -> ForeignItem | None:
        try:
            arguments = orjson.loads("".join(self._pieces) or "{}")
        except orjson.JSONDecodeError:
            return None
        item = self._make(arguments) if isinstance(arguments, dict) else None
        return item and item.model_copy(update={"id": self._id, "call_id": self._call_id, "status": status})


def _command_events(item: ForeignItem) -> list[ev.Event]:
    """OpenAI tells a shell call's commands one by one."""
    assert item.id is not None
    events: list[ev.Event] = []
    for index, command in enumerate(item.action["commands"] if isinstance(item, ShellCall) else ()):
        place = {"item_id": item.id, "command_index": index}
        events += [
            ev.ShellCommand(type="response.shell_call_command.added", command="", **place),
            ev.ShellCommandDelta(delta=command, **place),
            ev.ShellCommand(type="response.shell_call_command.done", command=command, **place),
        ]
    return events


def _shell(arguments: dict[str, Any]) -> ForeignItem | None:
    commands = _strings(arguments.get("commands"))
    if not commands:
        return None
    action = {
        "commands": commands,
        "max_output_length": _positive(arguments.get("max_output_length")),
        "timeout_ms": _positive(arguments.get("timeout_ms")),
    }
    return ShellCall(call_id="", action=action)


def _local_shell(arguments: dict[str, Any]) -> ForeignItem | None:
    command = _strings(arguments.get("command"))
    if not command:
        return None
    env = arguments.get("env")
    folder = arguments.get("working_directory")
    action = {
        "type": "exec",
        "command": command,
        "env": {name: str(value) for name, value in env.items()} if isinstance(env, dict) else {},
        "timeout_ms": _positive(arguments.get("timeout_ms")),
        "working_directory": folder if isinstance(folder, str) else None,
    }
    return LocalShellCall(call_id="", action=action)


def _apply_patch(arguments: dict[str, Any]) -> ForeignItem | None:
    kind, path, diff = (arguments.get(name) for name in ("type", "path", "diff"))
    if not isinstance(path, str) or not path:
        return None
    if kind == "delete_file":
        return ApplyPatchCall(call_id="", operation={"type": kind, "path": path})
    if kind in ("create_file", "update_file") and isinstance(diff, str):
        return ApplyPatchCall(call_id="", operation={"type": kind, "path": path, "diff": diff})
    return None


def _tool_search(arguments: dict[str, Any]) -> ForeignItem | None:
    return ToolSearchCall(execution="client", arguments=arguments)


def _strings(value: Any) -> list[str]:
    """A list of texts; models also write a single one bare."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return values if all(isinstance(each, str) for each in values) else []


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


_ACTIONS: dict[str, tuple[str, Make, str]] = {
    "shell": ("sh", _shell, '{"commands": ["ls"]}'),
    "local_shell": ("lsh", _local_shell, '{"command": ["ls"]}'),
    "apply_patch": ("apc", _apply_patch, '{"type": "update_file", "path": "a.py", "diff": "@@\\n-old\\n+new"}'),
    "tool_search": ("tsc", _tool_search, '{"query": "what the tool should do"}'),
}
