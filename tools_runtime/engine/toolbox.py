"""A request's tools, resolved: the functions that the model may call, who runs each, and what it must call.

A tool is one of three kinds. *Hosted* ones are run here. *Native* ones are handed to the model server as they are, if
it takes their type. The client's are turned into functions otherwise. What is none of these is *foreign*.

The functions of another server's tools (``ServerTool``) are known once that was asked: ``Toolbox.opened``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tools_runtime.engine import client_tools
from tools_runtime.engine.client_tools import ClientFunction, Names
from tools_runtime.errors import ApiError
from tools_runtime.protocol.client_tools import ClientTool, CustomTool, FunctionTool, NamespaceTool
from tools_runtime.protocol.prompt import Choice, Forced, ForcedNative, Function
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import AllowedTools, HostedToolParam, McpTool, NamedChoice, Tool, TypeChoice
from tools_runtime.tools import BoundTool, Emit, HostedTool, Scope, ServerTool

logger = logging.getLogger(__name__)

ForeignRule = Literal["drop", "refuse"]
"""What becomes of a foreign tool."""


@dataclass(frozen=True)
class Toolbox:
    """``functions`` is what the model may call at all; ``hosted`` names those of them that this server runs, ``client``
    those that the client does. ``native`` are tools for the model server, as the client wrote them. ``required``: where
    ``choice`` is ``required``, one of these is to be called; None: any. ``servers``: other servers, by their labels."""

    functions: tuple[Function, ...]
    required: tuple[Function, ...] | None
    hosted: dict[str, BoundTool]
    client: dict[str, ClientFunction]
    native: tuple[dict[str, Any], ...]
    choice: Choice
    echo: list[dict[str, Any]]
    instructions: tuple[str, ...]
    servers: dict[str, ServerTool]
    unlisted: tuple[ServerTool, ...]
    again: Callable[[], Toolbox]

    async def opened(self, emit: Emit) -> Toolbox:
        """The same with the functions of all servers, which are asked side by side. Raises ``ApiError`` when one of
        them does not tell its functions, or lacks what ``tool_choice`` names."""
        if not self.unlisted:
            return self
        results = await asyncio.gather(
            *(server.list_functions(emit) for server in self.unlisted), return_exceptions=True
        )
        for result in results:
            if result is not None:
                raise result
        return self.again()

    async def aclose(self) -> None:
        """Ends the connections to servers."""
        await asyncio.gather(*(server.aclose() for server in self.servers.values()))

    def choosable(self, choice: Choice) -> tuple[Function, ...]:
        """The functions that the model may choose from in a turn."""
        return self.required if choice == "required" and self.required is not None else self.functions

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
    """One tool that is to be had: hosted (``bound``), a function of the client's, or native. ``taken``: names of the
    client's functions, ``only``: the functions that the request allows, where it does not allow them all."""

    tool: Tool
    param: str
    bound: BoundTool | None = None
    client: ClientFunction | None = None
    taken: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    told: tuple[str, ...] = ()

    @property
    def functions(self) -> tuple[Function, ...]:
        """What the model sees. The client cannot know the names of functions behind a hosted tool's first: where it has
        used one for a function of its own, that one is the client's."""
        if self.client is not None:
            return (self.client.function,)
        offered = self.bound.functions if self.bound else ()
        kept = tuple(each for place, each in enumerate(offered) if place == 0 or each.name not in self.taken)
        return kept if self.only is None else tuple(function for function in kept if function.name in self.only)

    @property
    def instructions(self) -> tuple[str, ...]:
        return self.told if self.bound is None else (self.bound.instructions or "",)

    @property
    def server(self) -> ServerTool | None:
        return self.bound if isinstance(self.bound, ServerTool) else None

    @property
    def native(self) -> dict[str, Any] | None:
        return None if self.bound or self.client else self.tool.model_dump(mode="json", exclude_unset=True)

    def named_by(self, reference: dict[str, Any]) -> bool:
        """Whether a tool choice means this one."""
        kind, name = reference.get("type"), reference.get("name")
        if kind == "namespace":
            return isinstance(self.tool, NamespaceTool) and self.tool.name == name
        if kind == "mcp":
            return isinstance(self.tool, McpTool) and self.tool.server_label == reference.get("server_label")
        if kind not in ("function", "custom"):
            return _family(str(kind)) == _family(self.tool.type)
        if self.client is not None:
            within = reference.get("namespace") in (None, self.client.namespace)
            return within and (self.client.kind, self.client.name) == (kind, name)
        if isinstance(self.tool, NamespaceTool):
            return self.tool.name == reference.get("namespace")
        return isinstance(self.tool, CustomTool) and (self.tool.type, self.tool.name) == (kind, name)

    def allowed(self, references: Sequence[dict[str, Any]]) -> _Entry:
        """This one, as far as these tools of a tool choice name it: of a server all functions, or single ones."""
        names = [reference.get("name") for reference in references if self.named_by(reference)]
        if self.server is None or None in names:
            return self
        return replace(self, only=frozenset(self.server.name_of(str(name)) for name in names))


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
        return _toolbox(scope.request, entries, echo)

    async def _entries(self, given: Given, scope: Scope, names: Names) -> list[_Entry]:
        """Several for a namespace, none for a foreign tool."""
        tool, param = given.tool, given.param
        if service := self._hosted.get(tool.type):
            assert isinstance(tool, HostedToolParam)
            bound = await service.bind(tool, scope, param)
            taken = frozenset(each.name for each in scope.request.tools if isinstance(each, FunctionTool))
            return [_Entry(tool, param, bound=bound, taken=taken)]
        if tool.type != "function" and self._takes(tool.type):
            return [_Entry(tool, param)]
        if isinstance(tool, HostedToolParam):
            raise ApiError(f"Tool type '{tool.type}' is not available on this server.", param=f"{param}.type")
        members = list(client_tools.functions(tool, names)) if isinstance(tool, ClientTool) else []
        told = client_tools.instructions(tool, members)
        return [_Entry(tool, param, client=each, told=told) for each in members]

    def _refuse(self, given: Given) -> None:
        if self._foreign == "refuse":
            raise ApiError(
                f"Tools of type '{given.tool.type}' are neither run by this server nor taken by the model server.",
                param=f"{given.param}.type",
            )
        logger.info("a tool of type %s is left out: nobody here runs it", given.tool.type[:64])


def _toolbox(request: CreateResponse, entries: list[_Entry], echo: list[dict[str, Any]]) -> Toolbox:
    """What the entries amount to now. Raises ``ApiError``."""
    _refuse_duplicates(entries)
    chosen, choice, required = _choose(request, entries)
    return Toolbox(
        functions=tuple(function for entry in chosen for function in entry.functions),
        required=required,
        hosted={each.name: entry.bound for entry in chosen if entry.bound for each in entry.functions},
        client={entry.client.function.name: entry.client for entry in chosen if entry.client},
        native=tuple(entry.native for entry in chosen if entry.native is not None),
        choice=choice,
        echo=echo,
        instructions=tuple(dict.fromkeys(text for entry in chosen for text in entry.instructions if text)),
        servers={entry.server.server_label: entry.server for entry in entries if entry.server},
        unlisted=tuple(entry.server for entry in chosen if entry.server and not entry.server.listed),
        again=lambda: _toolbox(request, entries, echo),
    )


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
    labels: set[str] = set()
    for entry in entries:
        if entry.server is not None:
            if entry.server.server_label in labels:
                message = f"The server label '{entry.server.server_label}' is used by two tools."
                raise ApiError(message, param=f"{entry.param}.server_label")
            labels.add(entry.server.server_label)
        for function in entry.functions:
            if function.name in seen:
                param = entry.param if entry.bound else f"{entry.param}.name"
                raise ApiError(f"The function name '{function.name}' is used by two tools.", param=param)
            seen.add(function.name)


def _choose(request: CreateResponse, entries: list[_Entry]) -> tuple[list[_Entry], Choice, tuple[Function, ...] | None]:
    """The entries that the model may use, what it must do with them, and the functions that it must choose from, unless
    they are all."""
    choice = request.tool_choice
    if isinstance(choice, AllowedTools):
        for place, reference in enumerate(choice.tools):
            _find(entries, reference, f"tool_choice.tools[{place}]")
        named = [entry for entry in entries if any(map(entry.named_by, choice.tools))]
        return [entry.allowed(choice.tools) for entry in named], choice.mode, None
    if isinstance(choice, NamedChoice | TypeChoice):
        return entries, *_forced(entries, choice)
    if choice == "none":
        return [], choice, None
    if choice == "required" and not entries:
        raise ApiError("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")
    return entries, choice, None


def _forced(entries: list[_Entry], choice: NamedChoice | TypeChoice) -> tuple[Choice, tuple[Function, ...] | None]:
    reference = choice.model_dump(mode="json", exclude_unset=True)
    entry = _find(entries, reference, "tool_choice")
    if entry.native is not None:
        return ForcedNative(reference), None
    if entry.server is None:
        return Forced(entry.functions[0].name), None
    named = entry.allowed([reference]).functions
    if entry.server.listed and not named:
        raise ApiError(f"MCP server '{entry.server.server_label}' has no such tool.", param="tool_choice")
    return "required", named


def _find(entries: list[_Entry], reference: dict[str, Any], param: str) -> _Entry:
    for entry in entries:
        if entry.named_by(reference):
            return entry
    name = reference.get("name") or reference.get("server_label") or reference.get("type")
    raise ApiError(f"Tool choice '{name}' not found in 'tools' parameter.", param=param)
