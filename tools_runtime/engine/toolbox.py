"""A request's tools, resolved: the functions that the model may call, who runs each, and what it must call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools_runtime.errors import ApiError
from tools_runtime.protocol.prompt import Choice, Forced, Function
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import AllowedTools, FunctionChoice, FunctionTool, HostedChoice
from tools_runtime.tools import BoundTool, HostedTool, Scope


@dataclass(frozen=True)
class Toolbox:
    """``functions`` is what the model may call at all; ``hosted`` names those of them that this server runs."""

    functions: tuple[Function, ...]
    hosted: dict[str, BoundTool]
    choice: Choice
    echo: list[dict[str, Any]]
    instructions: tuple[str, ...]

    def without_hosted(self) -> tuple[Function, ...]:
        """The client's own functions."""
        return tuple(function for function in self.functions if function.name not in self.hosted)


class _Entry:
    """One tool of the request: the functions that it shows, and how a tool choice may name it."""

    def __init__(self, type: str, functions: tuple[Function, ...], bound: BoundTool | None) -> None:
        self.type = type
        self.functions = functions
        self.bound = bound

    def named_by(self, reference: dict[str, Any]) -> bool:
        if self.bound is None:
            return reference.get("type") == "function" and reference.get("name") == self.functions[0].name
        return _family(str(reference.get("type"))) == _family(self.type)


def _family(type: str) -> str:
    """``web_search_preview_2025_03_11`` and its like are all ``web_search``."""
    return "web_search" if type.startswith("web_search") else type


async def resolve(request: CreateResponse, hosted: Sequence[HostedTool], scope: Scope) -> Toolbox:
    """Binds the request's tools. Raises ``ApiError`` for whatever is wrong with them or with ``tool_choice``."""
    entries: list[_Entry] = []
    echo: list[dict[str, Any]] = []
    instructions: list[str] = []
    for index, tool in enumerate(request.tools):
        if isinstance(tool, FunctionTool):
            entries.append(_Entry("function", (_function(tool),), None))
            echo.append(_echo(tool))
            continue
        service = next((service for service in hosted if tool.type in service.types), None)
        if service is None:
            raise ApiError(f"Tool type '{tool.type}' is not available on this server.", param=f"tools[{index}].type")
        bound = await service.bind(tool, scope, f"tools[{index}]")
        entries.append(_Entry(bound.type, _not_the_clients(request, bound), bound))
        echo.append(bound.echo)
        if bound.instructions and bound.instructions not in instructions:
            instructions.append(bound.instructions)
    _refuse_duplicates(entries)
    entries, choice = _choose(request, entries)
    return Toolbox(
        functions=tuple(function for entry in entries for function in entry.functions),
        hosted={function.name: entry.bound for entry in entries if entry.bound for function in entry.functions},
        choice=choice,
        echo=echo,
        instructions=tuple(instructions),
    )


def _not_the_clients(request: CreateResponse, bound: BoundTool) -> tuple[Function, ...]:
    """A hosted tool's functions. The client cannot know the names of those behind the first: where it has used one for
    a function of its own, that one is the client's."""
    taken = {tool.name for tool in request.tools if isinstance(tool, FunctionTool)}
    main, *others = bound.functions
    return (main, *(function for function in others if function.name not in taken))


def _function(tool: FunctionTool) -> Function:
    return Function(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters or {"type": "object", "properties": {}},
        strict=tool.strict,
    )


def _echo(tool: FunctionTool) -> dict[str, Any]:
    """OpenAI echoes functions as strict unless told otherwise."""
    echo = tool.wire()
    echo["strict"] = True if tool.strict is None else tool.strict
    return echo


def _refuse_duplicates(entries: list[_Entry]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        for function in entry.functions:
            if function.name in seen:
                param = f"tools[{index}].name" if entry.bound is None else f"tools[{index}]"
                raise ApiError(f"The function name '{function.name}' is used by two tools.", param=param)
            seen.add(function.name)


def _choose(request: CreateResponse, entries: list[_Entry]) -> tuple[list[_Entry], Choice]:
    """The entries that the model may use, and what it must do with them."""
    choice = request.tool_choice
    if isinstance(choice, AllowedTools):
        allowed = [_find(entries, tool, f"tool_choice.tools[{i}]") for i, tool in enumerate(choice.tools)]
        return [entry for entry in entries if entry in allowed], choice.mode
    if isinstance(choice, FunctionChoice | HostedChoice):
        return entries, Forced(_find(entries, choice.wire(), "tool_choice").functions[0].name)
    if choice == "none":
        return [], choice
    if choice == "required" and not entries:
        raise ApiError("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    return entries, choice


def _find(entries: list[_Entry], reference: dict[str, Any], param: str) -> _Entry:
    for entry in entries:
        if entry.named_by(reference):
            return entry
    name = reference.get("name") or reference.get("type")
    raise ApiError(f"Tool choice '{name}' not found in 'tools' parameter.", param=param)
