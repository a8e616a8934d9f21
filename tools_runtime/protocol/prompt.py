"""What a model is shown in one turn. Not on our own wire: upstreams translate it to theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tools_runtime.protocol.foreign_items import ForeignItem
from tools_runtime.protocol.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Message,
    Reasoning,
)
from tools_runtime.protocol.request import CreateResponse

NativeItem = ForeignItem | CustomToolCall | CustomToolCallOutput
"""An item that only a server is shown which takes tools of its type (``Upstream.takes``)."""

PromptItem = Message | FunctionCall | FunctionCallOutput | Reasoning | NativeItem
"""What a model can be shown. Old hosted calls have become function calls with outputs; images are ``data:`` URLs;
files have become text."""


@dataclass(frozen=True)
class Function:
    """A function as the model sees it: a client's own, or the face of a hosted tool."""

    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool | None = None


@dataclass(frozen=True)
class Forced:
    """The model must call this function."""

    name: str


@dataclass(frozen=True)
class ForcedNative:
    """The model must call this one of ``Prompt.native``; ``wire`` is the request's own choice."""

    wire: dict[str, Any]


Choice = Literal["none", "auto", "required"] | Forced | ForcedNative


@dataclass(frozen=True)
class Prompt:
    """What a model is shown in one turn. Frozen: the next turn gets a new one.

    ``request`` is there for its sampling parameters (temperature, top_p, reasoning, text, parallel_tool_calls, user …).
    Everything that the engine decides stands in a field of its own and wins over the request: ``functions``, ``native``
    and ``choice`` (not ``request.tools`` and ``request.tool_choice``), ``max_output_tokens`` (what is left of the
    request's), ``instructions`` (the request's, and what the tools have to say). ``native`` are tools as the client
    wrote them, of types that the server takes.
    """

    model: str
    request: CreateResponse
    items: tuple[PromptItem, ...]
    instructions: str | None = None
    functions: tuple[Function, ...] = ()
    native: tuple[dict[str, Any], ...] = ()
    choice: Choice = "auto"
    max_output_tokens: int | None = None
