"""Model servers. The port: ``Upstream.stream(prompt)`` yields deltas. One implementation a file beside this one.

An upstream knows nothing of hosted tools, events or responses: it is shown functions and it yields deltas.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tools_runtime.errors import ApiError
from tools_runtime.protocol.prompt import Prompt
from tools_runtime.protocol.response import Usage

# --- deltas ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer. ``logprobs`` are OpenAI's Responses logprob objects, when the request asked for them."""

    text: str
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class MessageStarted:
    """The text that follows is a message of its own. Optional: text begins one too."""

    phase: Literal["commentary", "final_answer"] | None = None


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of reasoning: the model's own text, or a summary of it. A new ``part`` number starts a new part."""

    text: str
    kind: Literal["text", "summary"] = "text"
    part: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningEnd:
    """The reasoning so far is one finished item. Optional: any other delta ends it too."""

    encrypted_content: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of a refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The model begins a function call. ``call_id`` is unique in the turn; parallel calls may interleave.
    ``namespace`` is that of a native tool."""

    call_id: str
    name: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of the JSON text of a started call's arguments."""

    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class NativeEvent:
    """An event about an item of a native tool, as the server wrote it: the item's opening, closing or what is between.
    ``key`` tells the turn's items apart."""

    key: str
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The last delta of every stream that did not raise."""

    reason: Literal["stop", "length", "content_filter"] = "stop"
    usage: Usage = field(default_factory=Usage)


Delta = (
    TextDelta
    | MessageStarted
    | ReasoningDelta
    | ReasoningEnd
    | RefusalDelta
    | CallStarted
    | CallArguments
    | NativeEvent
    | Finished
)


CONTEXT_OVERFLOW = "context_length_exceeded"
"""The ``code`` of the error that says that the prompt is too long for the model, whatever the server calls it."""


class UpstreamError(ApiError):
    """The model server refused, failed or died. 4xx keep the server's status and words; the rest is a 502 or 504."""


class Upstream(Protocol):
    """A model server."""

    name: str

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """One model call. Raises ``UpstreamError``; retries only before the first delta. Closing the iterator early
        aborts the call on the server."""
        ...

    def takes(self, type: str) -> bool:
        """Whether the server takes tools of this type as clients write them (``Prompt.native``), and items about
        them."""
        ...

    async def models(self) -> list[str]:
        """Names of the models that the server offers; raises ``UpstreamError`` when it does not answer."""
        ...

    async def aclose(self) -> None:
        """Gives up connections and processes."""
        ...
