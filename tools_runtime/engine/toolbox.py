"""A request's tools, resolved: the functions that the model may call, who runs each, and what it must call.

A tool is one of three kinds. *Hosted* ones are run here. *Native* ones are handed to the model server as they are, if
it takes their type. The client's are turned into functions otherwise. What is none of these is *foreign*.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tools_runtime.engine import client_tools
from tools_runtime.engine.client_tools import ClientFunction, Names
from tools_runtime.errors import ApiError
from tools_runtime.protocol.client_tools import ClientTool, CustomTool, FunctionTool, NamespaceTool
from tools_runtime.protocol.prompt import Choice, Forced, ForcedNative, Function
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import AllowedTools, HostedToolParam, NamedChoice, Tool, TypeChoice
from tools_runtime.tools import BoundTool, HostedTool, Scope

logger = logging.getLogger(__name__)

ForeignRule = Literal["drop", "refuse"]
"""What becomes of a foreign tool."""


@dataclass(frozen=True)
class Toolbox:
    """``functions`` is what the model may call at all; ``hosted`` names those of them that this server runs, ``client``
    those that the client does. ``native`` are tools for the model server, as the client wrote them."""

    functions: tuple[Function, ...]
    hosted: dict[str, BoundTool]
    client: dict[str, ClientFunction]
    native: tuple[dict[str, Any], ...]
    choice: Choice
    echo: list[dict[str, Any]]
    instructions: tuple[str, ...]

    def without_hosted(self) -> tuple[Function, ...]:
        """The client's own functions."""
        return tuple(function for function in self.functions if function.name not in self.hosted)


@dataclass(frozen=True)
class Given:
    """A tool of the request, or one that an item has added. ``param`` names it."""

    tool: Tool
    param: str
    echoed: bool = True


@dataclass(frozen=True)
class _Entry:
    """One tool that is to be had: hosted (``bound``), a function of the client's, or native. ``functions`` is what the
    model sees of it."""

    tool: Tool
    param: str
    functions: tuple[Function, ...] = ()
    bound: BoundTool | None = None
    client: ClientFunction | None = None
    instructions: tuple[str, ...] = ()

    @property
    def native(self) -> dict[str, Any] | None:
        return None if self.functions else self.tool.model_dump(mode="json", exclude_unset=True)

    def named_by(self, reference: dict[str, Any]) -> bool:
        """Whether a tool choice means this one."""
        kind, name = reference.get("type"), reference.get("name")
        if kind == "namespace":
            return isinstance(self.tool, NamespaceTool) and self.tool.name == name
        if kind not in ("function", "custom"):
            return _family(str(kind)) == _family(self.tool.type)
        if self.client is not None:
            within = reference.get("namespace") in (None, self.client.namespace)
            return within and (self.client.kind, self.client.name) == (kind, name)
        if isinstance(self.tool, NamespaceTool):
            return self.tool.name == reference.get("namespace")
        return isinstance(self.tool, CustomTool) and (self.tool.type, self.tool.name) == (kind, name)


def _family(type: str) -> str:
    """``web_search_preview_2025_03_11`` and its like are all ``web_search``."""
    return "web_search" if type.startswith("web_search") else type


class Resolver:
    """Resolves the tools of one request. ``takes`` tells what the model server takes natively."""

    def __init__(
        self, hosted: Sequence[HostedTool], takes: Callable[[str], bool], foreign: ForeignRule = "drop"
    ) -> None:
        self._hosted = {type: tool for tool in hosted for type in tool.types}
        self._takes = takes
        self._foreign = foreign

    async def resolve(self, given: Sequence[Given], scope: Scope, names: Names) -> Toolbox:
        """Raises ``ApiError`` for whatever is wrong with the tools or with ``tool_choice``."""
        entries: list[_Entry] = []
        echo: list[dict[str, Any]] = []
        for each in given:
            found = await self._entries(each, scope, names)
            if not found:
                self._refuse(each)
                continue
            entries += found
            if each.echoed:
                echo.append(found[0].bound.echo if found[0].bound else _echo(each.tool))
        _refuse_duplicates(entries)
        chosen, choice = _choose(scope.request, entries)
        return Toolbox(
            functions=tuple(function for entry in chosen for function in entry.functions),
            hosted={each.name: entry.bound for entry in chosen if entry.bound for each in entry.functions},
            client={entry.client.function.name: entry.client for entry in chosen if entry.client},
            native=tuple(entry.native for entry in chosen if entry.native is not None),
            choice=choice,
            echo=echo,
            instructions=tuple(dict.fromkeys(text for entry in chosen for text in entry.instructions if text)),
        )

    async def _entries(self, given: Given, scope: Scope, names: Names) -> list[_Entry]:
        """Several for a namespace, none for a foreign tool."""
        tool, param = given.tool, given.param
        if service := self._hosted.get(tool.type):
            assert isinstance(tool, HostedToolParam)
            bound = await service.bind(tool, scope, param)
            shown = _not_the_clients(scope.request, bound)
            return [_Entry(tool, param, shown, bound, instructions=(bound.instructions or "",))]
        if isinstance(tool, HostedToolParam):
            raise ApiError(f"Tool type '{tool.type}' is not available on this server.", param=f"{param}.type")
        if tool.type != "function" and self._takes(tool.type):
            return [_Entry(tool, param)]
        members = list(client_tools.functions(tool, names)) if isinstance(tool, ClientTool) else []
        told = client_tools.instructions(tool, members)
        return [_Entry(tool, param, (each.function,), client=each, instructions=told) for each in members]

    def _refuse(self, given: Given) -> None:
        if self._foreign == "refuse":
            raise ApiError(
                f"Tools of type '{given.tool.type}' are neither run by this server nor taken by the model server.",
                param=f"{given.param}.type",
            )
        logger.info("a tool of type %s is left out: nobody here runs it", given.tool.type[:64])


def _not_the_clients(request: CreateResponse, bound: BoundTool) -> tuple[Function, ...]:
    """A hosted tool's functions. The client cannot know the names of those behind the first: where it has used one for
    a function of its own, that one is the client's."""
    taken = {tool.name for tool in request.tools if isinstance(tool, FunctionTool)}
    main, *others = bound.functions
    return (main, *(function for function in others if function.name not in taken))


_SECRETS = {"headers", "authorization"}
"""Of ``mcp`` tools."""


def _echo(tool: Tool) -> dict[str, Any]:
    """OpenAI echoes functions as strict unless told otherwise. Credentials are for the model server alone: what is
    echoed is stored."""
    if not isinstance(tool, FunctionTool):
        return tool.model_dump(mode="json", exclude_unset=True, exclude=_SECRETS)
    echo = tool.wire()
    echo["strict"] = True if tool.strict is None else tool.strict
    return echo


def _refuse_duplicates(entries: list[_Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        for function in entry.functions:
            if function.name in seen:
                param = entry.param if entry.bound else f"{entry.param}.name"
                raise ApiError(f"The function name '{function.name}' is used by two tools.", param=param)
            seen.add(function.name)


def _choose(request: CreateResponse, entries: list[_Entry]) -> tuple[list[_Entry], Choice]:
    """The entries that the model may use, and what it must do with them."""
    choice = request.tool_choice
    if isinstance(choice, AllowedTools):
        allowed = [_find(entries, tool, f"tool_choice.tools[{i}]") for i, tool in enumerate(choice.tools)]
        return [entry for entry in entries if any(entry is each for each in allowed)], choice.mode
    if isinstance(choice, NamedChoice | TypeChoice):
        return entries, _forced(entries, choice)
    if choice == "none":
        return [], choice
    if choice == "required" and not entries:
        raise ApiError("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    return entries, choice


def _forced(entries: list[_Entry], choice: NamedChoice | TypeChoice) -> Choice:
    reference = choice.model_dump(mode="json", exclude_unset=True)
    entry = _find(entries, reference, "tool_choice")
    if entry.native is not None:
        return ForcedNative(reference)
    return Forced(entry.functions[0].name)


def _find(entries: list[_Entry], reference: dict[str, Any], param: str) -> _Entry:
    for entry in entries:
        if entry.named_by(reference):
            return entry
    name = reference.get("name") or reference.get("type")
    raise ApiError(f"Tool choice '{name}' not found in 'tools' parameter.", param=param)
