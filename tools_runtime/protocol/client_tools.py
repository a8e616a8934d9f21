"""Tools that the client runs, and those that nobody here knows. Shapes from openai 3.54.0.

Nothing depends on fields that we do not know, so they are kept: a newer client than this server can still be served.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field

from tools_runtime.protocol.base import OpenWire

Name = Annotated[str, Field(min_length=1, max_length=128)]


class FunctionTool(OpenWire):
    """A function of the client's own."""

    type: Literal["function"] = "function"
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomTool(OpenWire):
    """A tool that takes a text in place of JSON. ``format``: {type: text}, or {type: grammar, syntax: lark | regex,
    definition}."""

    type: Literal["custom"]
    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class NamespaceTool(OpenWire):
    """Functions and custom tools whose names need be unique in here only."""

    type: Literal["namespace"]
    name: Name
    description: str = ""
    tools: list[Annotated[FunctionTool | CustomTool, Discriminator("type")]] = Field(max_length=512)


class ShellTool(OpenWire):
    """``environment``: {type: local, skills}, or a container of OpenAI's."""

    type: Literal["shell"]
    environment: dict[str, Any] | None = None

    @property
    def local(self) -> bool:
        """Whether the client runs the commands."""
        return self.environment is None or self.environment.get("type") == "local"


class LocalShellTool(OpenWire):
    type: Literal["local_shell"]


class ApplyPatchTool(OpenWire):
    type: Literal["apply_patch"]


class ToolSearchTool(OpenWire):
    """``execution: client``: the client answers with a ``tool_search_output``."""

    type: Literal["tool_search"]
    execution: Literal["server", "client"] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ForeignTool(OpenWire):
    """A tool of any other type: only a model server may know what to do with it."""

    type: str


ClientTool = FunctionTool | CustomTool | NamespaceTool | ShellTool | LocalShellTool | ApplyPatchTool | ToolSearchTool
