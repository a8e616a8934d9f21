"""The body of ``POST /v1/responses``. What each field does: docs/compatibility.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tools_runtime.protocol.base import OpenWire, StrictWire
from tools_runtime.protocol.items import InputItem
from tools_runtime.protocol.tools import Tool, ToolChoice

Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]


class ReasoningOptions(OpenWire):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard", "pro"] | None = None


class TextFormat(StrictWire):
    type: Literal["text"] = "text"


class JsonObjectFormat(StrictWire):
    type: Literal["json_object"]


class JsonSchemaFormat(StrictWire):
    type: Literal["json_schema"]
    name: str = Field(max_length=64)
    schema_: dict[str, Any] = Field(alias="schema", serialization_alias="schema")
    description: str | None = None
    strict: bool | None = None

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


Format = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Discriminator("type")]


class TextOptions(OpenWire):
    format: Format = Field(default_factory=TextFormat)
    verbosity: Literal["low", "medium", "high"] | None = None


class StreamOptions(OpenWire):
    include_obfuscation: bool = True


class BackgroundOptions(OpenWire):
    """Every ``completion_window`` is kept as well as the earliest: a response is begun when there is room."""

    completion_window: Literal["soonest", "2h", "8h"] | None = None
    continuation_id: str | None = None


class ContextManagement(StrictWire):
    """``compact_threshold`` is in tokens."""

    type: Literal["compaction"]
    compact_threshold: int | None = Field(default=None, ge=1)


class ConversationRef(StrictWire):
    id: str


def _shape(value: Any) -> str:
    return "text" if isinstance(value, str) else "items"


Input = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[InputItem], Tag("items")],
    Discriminator(_shape),
]
Conversation = Annotated[
    Annotated[str, Tag("text")] | Annotated[ConversationRef, Tag("items")],
    Discriminator(_shape),
]


class CreateResponse(OpenWire):
    """One request. What becomes of fields that are not declared here is a setting (``unknown_parameters``)."""

    model: str | None = None
    input: Input = Field(default_factory=list)
    instructions: str | None = None
    tools: list[Tool] = Field(default_factory=list, max_length=128)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    max_tool_calls: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    reasoning: ReasoningOptions | None = None
    text: TextOptions = Field(default_factory=TextOptions)
    metadata: Metadata | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Conversation | None = None
    include: list[Includable] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    background_options: BackgroundOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    context_management: list[ContextManagement] | None = Field(default=None, max_length=1)
    user: str | None = None
    safety_identifier: str | None = Field(default=None, max_length=128)
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    image: dict[str, Any] | None = None
    access_programs: dict[str, Any] | None = None
    # Refused by name in engine.prepare: they are declared so that the refusal says why.
    prompt: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None

    def unknown(self) -> Iterator[str]:
        """The fields that were sent and are not declared, as a client would write them."""
        parts: dict[str, OpenWire | None] = {
            "": self,
            "reasoning.": self.reasoning,
            "text.": self.text,
            "stream_options.": self.stream_options,
            "background_options.": self.background_options,
        }
        for place, part in parts.items():
            for name in (part and part.model_extra) or ():
                yield f"{place}{name}"

    @property
    def stored(self) -> bool:
        """Whether the response is kept; OpenAI's default is to keep it."""
        return self.store is not False

    @property
    def conversation_id(self) -> str | None:
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation
