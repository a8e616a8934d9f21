"""Tools that the client runs, as functions, for model servers that know functions only.

Each becomes one or more functions; ``call_writers`` turns a call of one into the item that the client expects. A tool
in a namespace is called ``<namespace>__<name>``; where that name is taken or too long, its end is a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tools_runtime.protocol.client_tools import (
    ApplyPatchTool,
    ClientTool,
    CustomTool,
    FunctionTool,
    LocalShellTool,
    NamespaceTool,
    ShellTool,
    ToolSearchTool,
)
from tools_runtime.protocol.prompt import Function
from tools_runtime.protocol.tools import Tool

_MAX_NAME = 64
"""Chat Completions takes no longer names."""

Kind = Literal["function", "custom", "shell", "local_shell", "apply_patch", "tool_search"]


@dataclass(frozen=True)
class ClientFunction:
    """A function for a tool of the client's. ``kind`` is the tool's type; ``name`` and ``namespace`` are those that the
    client knows, ``function.name`` is the one that the model sees."""

    function: Function
    kind: Kind
    name: str
    namespace: str | None = None


class Names:
    """The names under which the model sees the tools of one request. Those without a namespace keep theirs; those of
    ``tools`` come before those of old calls."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._flat: dict[tuple[str, str], str] = {}
        self._taken = {tool.name for tool in tools if isinstance(tool, FunctionTool | CustomTool)}
        for namespace in (tool for tool in tools if isinstance(tool, NamespaceTool)):
            for member in namespace.tools:
                self.of(namespace.name, member.name)

    def of(self, namespace: str | None, name: str) -> str:
        """The name for the model. The same for the same tool, different for different ones."""
        if not namespace:
            return name
        key = namespace, name
        if key not in self._flat:
            glue = "" if namespace.endswith("__") else "__"
            flat = f"{namespace}{glue}{name}"
            if flat in self._taken or len(flat) > _MAX_NAME:
                digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:10]
                flat = f"{flat[: _MAX_NAME - len(digest) - 1]}_{digest}"
            self._taken.add(flat)
            self._flat[key] = flat
        return self._flat[key]


def functions(tool: ClientTool, names: Names) -> Iterator[ClientFunction]:
    """The functions for a tool; none for one that cannot be had in this way."""
    match tool:
        case NamespaceTool():
            for member in tool.tools:
                yield _named(member, names, tool)
        case FunctionTool() | CustomTool():
            yield _named(tool, names)
        case ShellTool() if tool.local:
            yield ClientFunction(_SHELL, "shell", "shell")
        case LocalShellTool():
            yield ClientFunction(_LOCAL_SHELL, "local_shell", "local_shell")
        case ApplyPatchTool():
            yield ClientFunction(_APPLY_PATCH, "apply_patch", "apply_patch")
        case ToolSearchTool(execution="client"):
            yield ClientFunction(_tool_search(tool), "tool_search", "tool_search")


def instructions(tool: Tool, shown: Sequence[ClientFunction]) -> tuple[str, ...]:
    """What a namespace says of its tools: functions have no place for it."""
    if isinstance(tool, NamespaceTool) and tool.description and shown:
        return (f"{', '.join(each.function.name for each in shown)}: {tool.description}",)
    return ()


def _named(tool: FunctionTool | CustomTool, names: Names, within: NamespaceTool | None = None) -> ClientFunction:
    namespace = within.name if within else None
    name = names.of(namespace, tool.name)
    if isinstance(tool, CustomTool):
        return ClientFunction(_custom(tool, name), "custom", tool.name, namespace)
    function = Function(name, tool.description, tool.parameters or {"type": "object", "properties": {}}, tool.strict)
    return ClientFunction(function, "function", tool.name, namespace)


# --- functions -------------------------------------------------------------------------------------------------------

INPUT = "input"
"""The argument of a custom tool's function."""


def _custom(tool: CustomTool, name: str) -> Function:
    """The grammar is told, and cannot be enforced."""
    format = tool.format or {}
    hint = "The whole input of the tool, as plain text."
    if format.get("type") == "grammar":
        hint += f" It must follow this {format.get('syntax')} grammar:\n{format.get('definition')}"
    return Function(name, tool.description, _object({INPUT: {"type": "string", "description": hint}}, [INPUT]))


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_MILLISECONDS = {"type": "integer", "minimum": 1, "description": "Time for the command, in milliseconds."}

_SHELL = Function(
    "shell",
    "Run commands in a shell on the user's machine. Each is a whole command line; they run side by side.",
    _object(
        {
            "commands": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "timeout_ms": _MILLISECONDS,
            "max_output_length": {"type": "integer", "minimum": 1, "description": "Characters of output to give back."},
        },
        ["commands"],
    ),
)
_LOCAL_SHELL = Function(
    "local_shell",
    "Run a program on the user's machine. For a shell's features call the shell: "
    '["bash", "-lc", "the command line"].',
    _object(
        {
            "command": {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": "argv"},
            "working_directory": {"type": "string"},
            "timeout_ms": _MILLISECONDS,
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        ["command"],
    ),
)
_APPLY_PATCH = Function(
    "apply_patch",
    "Create, update or delete a file on the user's machine. A diff has a line '@@ <a line of the file, such as the "
    "head of the class or function>' before each change (bare '@@' where the place is clear), then lines that begin "
    "with ' ' (stays), '-' (goes) or '+' (comes), with three lines of context around them. A new file's diff has '+' "
    "before each line.",
    _object(
        {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": {"type": "string", "description": "Relative to the working directory."},
            "diff": {"type": "string", "description": "Left out only when the file is deleted."},
        },
        ["type", "path"],
    ),
)


def _tool_search(tool: ToolSearchTool) -> Function:
    """The client says what it wants to be asked."""
    default = _object({"query": {"type": "string", "description": "What the tool should do."}}, ["query"])
    description = tool.description or "Find further tools. Those that are found can be called afterwards."
    return Function("tool_search", description, tool.parameters or default)
