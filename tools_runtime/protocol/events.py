"""Events: exactly OpenAI's stream events. They are born without numbers; ``engine.accumulator`` gives them theirs.

``sequence_number`` and ``output_index`` are None until then and nobody else may set them. An event names its item by
``item_id``. Field order is that of the recorded streams.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field

from tools_runtime.protocol.base import Wire
from tools_runtime.protocol.items import Annotation, Item, OutputText, ReasoningText, Refusal, SummaryText
from tools_runtime.protocol.response import Response


class Event(Wire):
    """The base of all events."""

    type: str
    sequence_number: int | None = None


# --- the response ----------------------------------------------------------------------------------------------------


class ResponseEvent(Event):
    """An event that carries the whole response."""

    response: Response


class Created(ResponseEvent):
    type: Literal["response.created"] = "response.created"


class Queued(ResponseEvent):
    type: Literal["response.queued"] = "response.queued"


class InProgress(ResponseEvent):
    type: Literal["response.in_progress"] = "response.in_progress"


class Completed(ResponseEvent):
    type: Literal["response.completed"] = "response.completed"


class Incomplete(ResponseEvent):
    type: Literal["response.incomplete"] = "response.incomplete"


class Failed(ResponseEvent):
    type: Literal["response.failed"] = "response.failed"


class ErrorEvent(Event):
    """``error`` has type, code, message and param, as on OpenAI's wire (their SDK's type shows it flat)."""

    type: Literal["error"] = "error"
    error: dict[str, Any]


# --- items -----------------------------------------------------------------------------------------------------------


class OutputItemAdded(Event):
    type: Literal["response.output_item.added"] = "response.output_item.added"
    output_index: int | None = None
    item: Item


class OutputItemDone(Event):
    type: Literal["response.output_item.done"] = "response.output_item.done"
    output_index: int | None = None
    item: Item


class ItemEvent(Event):
    """An event that belongs to one open item."""

    output_index: int | None = None
    item_id: str


class DeltaEvent(ItemEvent):
    """An item event with a piece of text. ``obfuscation`` pads it, so that its size does not tell its text."""

    delta: str


# --- messages --------------------------------------------------------------------------------------------------------


class ContentPartAdded(ItemEvent):
    type: Literal["response.content_part.added"] = "response.content_part.added"
    content_index: int
    part: Annotated[OutputText | Refusal | ReasoningText, Discriminator("type")]


class ContentPartDone(ItemEvent):
    type: Literal["response.content_part.done"] = "response.content_part.done"
    content_index: int
    part: Annotated[OutputText | Refusal | ReasoningText, Discriminator("type")]


class OutputTextDelta(DeltaEvent):
    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    content_index: int
    logprobs: list[dict[str, Any]] = Field(default_factory=list)


class AnnotationAdded(ItemEvent):
    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    content_index: int
    annotation_index: int
    annotation: Annotation


class OutputTextDone(ItemEvent):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    content_index: int
    text: str
    logprobs: list[dict[str, Any]] = Field(default_factory=list)


class RefusalDelta(DeltaEvent):
    type: Literal["response.refusal.delta"] = "response.refusal.delta"
    content_index: int


class RefusalDone(ItemEvent):
    type: Literal["response.refusal.done"] = "response.refusal.done"
    content_index: int
    refusal: str


# --- reasoning -------------------------------------------------------------------------------------------------------


class ReasoningTextDelta(DeltaEvent):
    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"
    content_index: int


class ReasoningTextDone(ItemEvent):
    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    content_index: int
    text: str


class SummaryPartAdded(ItemEvent):
    type: Literal["response.reasoning_summary_part.added"] = "response.reasoning_summary_part.added"
    summary_index: int
    part: SummaryText


class SummaryPartDone(ItemEvent):
    type: Literal["response.reasoning_summary_part.done"] = "response.reasoning_summary_part.done"
    summary_index: int
    part: SummaryText


class SummaryTextDelta(DeltaEvent):
    type: Literal["response.reasoning_summary_text.delta"] = "response.reasoning_summary_text.delta"
    summary_index: int


class SummaryTextDone(ItemEvent):
    type: Literal["response.reasoning_summary_text.done"] = "response.reasoning_summary_text.done"
    summary_index: int
    text: str


# --- function calls --------------------------------------------------------------------------------------------------


class FunctionArgumentsDelta(DeltaEvent):
    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"


class FunctionArgumentsDone(ItemEvent):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    arguments: str


# --- hosted tools ----------------------------------------------------------------------------------------------------


class HostedToolProgress(ItemEvent):
    """A step of a hosted call: in_progress, then searching or interpreting, then completed."""

    type: Literal[
        "response.web_search_call.in_progress",
        "response.web_search_call.searching",
        "response.web_search_call.completed",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call.interpreting",
        "response.code_interpreter_call.completed",
    ]


class CodeDelta(DeltaEvent):
    type: Literal["response.code_interpreter_call_code.delta"] = "response.code_interpreter_call_code.delta"


class CodeDone(ItemEvent):
    type: Literal["response.code_interpreter_call_code.done"] = "response.code_interpreter_call_code.done"
    code: str


# --- tools of the client's and of the model server's -----------------------------------------------------------------


class CustomInputDelta(DeltaEvent):
    type: Literal["response.custom_tool_call_input.delta"] = "response.custom_tool_call_input.delta"


class CustomInputDone(ItemEvent):
    type: Literal["response.custom_tool_call_input.done"] = "response.custom_tool_call_input.done"
    input: str


class ShellCommand(ItemEvent):
    type: Literal["response.shell_call_command.added", "response.shell_call_command.done"]
    command_index: int
    command: str


class ShellCommandDelta(DeltaEvent):
    type: Literal["response.shell_call_command.delta"] = "response.shell_call_command.delta"
    command_index: int


class McpArgumentsDelta(DeltaEvent):
    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"


class McpArgumentsDone(ItemEvent):
    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: str


class Compacting(ItemEvent):
    type: Literal["response.compaction.compacting"] = "response.compaction.compacting"


class ForeignProgress(ItemEvent):
    """A step of a call that the model server makes. What else it holds is kept."""

    type: Literal[
        "response.image_generation_call.in_progress",
        "response.image_generation_call.generating",
        "response.image_generation_call.partial_image",
        "response.image_generation_call.completed",
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.completed",
        "response.mcp_list_tools.failed",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.shell_call_output_content.delta",
        "response.shell_call_output_content.done",
    ]


AnyEvent = Annotated[
    Created
    | Queued
    | InProgress
    | Completed
    | Incomplete
    | Failed
    | ErrorEvent
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | AnnotationAdded
    | OutputTextDone
    | RefusalDelta
    | RefusalDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | SummaryPartAdded
    | SummaryPartDone
    | SummaryTextDelta
    | SummaryTextDone
    | FunctionArgumentsDelta
    | FunctionArgumentsDone
    | HostedToolProgress
    | CodeDelta
    | CodeDone
    | CustomInputDelta
    | CustomInputDone
    | ShellCommand
    | ShellCommandDelta
    | McpArgumentsDelta
    | McpArgumentsDone
    | Compacting
    | ForeignProgress,
    Discriminator("type"),
]

TERMINAL = (Completed, Incomplete, Failed)
"""The last event of a log is one of these."""
