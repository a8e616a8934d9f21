"""Items of tools that this server does not run itself: the client does, or the model server. Shapes from openai 3.54.0.

Only what is needed to tell a call from its output, and to show both to a model, is modelled; the rest of an item is
kept as it came. What becomes of each type: docs/compatibility.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Tag

from tools_runtime.protocol.base import Sparse


class ForeignItem(Sparse):
    """The base of them all."""

    type: str
    id: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status")


class ForeignCall(ForeignItem):
    """A call that an item with the same ``call_id`` answers."""

    call_id: str
    status: str | None = None


class ForeignOutput(ForeignItem):
    """What a call gave."""

    call_id: str
    status: str | None = None


# --- calls that the client makes -------------------------------------------------------------------------------------


class ShellCall(ForeignCall):
    """``action``: commands[], timeout_ms, max_output_length."""

    type: Literal["shell_call"] = "shell_call"
    action: dict[str, Any]


class ShellCallOutput(ForeignOutput):
    """``output``: one {stdout, stderr, outcome} a command."""

    type: Literal["shell_call_output"] = "shell_call_output"
    output: list[dict[str, Any]]


class LocalShellCall(ForeignCall):
    """``action``: {type: exec, command[], env, timeout_ms, user, working_directory}."""

    type: Literal["local_shell_call"] = "local_shell_call"
    action: dict[str, Any]


class LocalShellCallOutput(ForeignItem):
    """OpenAI's has no ``call_id``: its ``id`` is that of the call."""

    type: Literal["local_shell_call_output"] = "local_shell_call_output"
    id: str
    call_id: str | None = None
    status: str | None = None
    output: str

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("call_id", "status")


class ApplyPatchCall(ForeignCall):
    """``operation``: {type: create_file | update_file | delete_file, path, diff}."""

    type: Literal["apply_patch_call"] = "apply_patch_call"
    operation: dict[str, Any]


class ApplyPatchCallOutput(ForeignOutput):
    type: Literal["apply_patch_call_output"] = "apply_patch_call_output"
    output: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "output")


class ComputerCall(ForeignCall):
    type: Literal["computer_call"] = "computer_call"


class ComputerCallOutput(ForeignOutput):
    """``output``: {type: computer_screenshot, image_url, file_id}."""

    type: Literal["computer_call_output"] = "computer_call_output"
    output: dict[str, Any]


class ToolSearchCall(ForeignItem):
    """The server of OpenAI's runs those without a ``call_id``, or with ``execution: server``."""

    type: Literal["tool_search_call"] = "tool_search_call"
    call_id: str | None = None
    status: str | None = None
    execution: Literal["server", "client"] | None = None
    arguments: Any = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "call_id", "execution")


class ToolSearchOutput(ForeignItem):
    """``tools``: what was found; the model may call it from here on."""

    type: Literal["tool_search_output"] = "tool_search_output"
    call_id: str | None = None
    status: str | None = None
    execution: Literal["server", "client"] | None = None
    tools: list[dict[str, Any]]

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "call_id", "execution")


# --- calls that the model server makes -------------------------------------------------------------------------------


class ImageGenerationCall(ForeignItem):
    """``result``: base64."""

    type: Literal["image_generation_call"] = "image_generation_call"
    status: str | None = None
    result: str | None = None


class Program(ForeignCall):
    type: Literal["program"] = "program"
    code: str


class ProgramOutput(ForeignOutput):
    type: Literal["program_output"] = "program_output"
    result: str


# --- no calls --------------------------------------------------------------------------------------------------------


class AdditionalTools(ForeignItem):
    """Tools that the model may call from here on."""

    type: Literal["additional_tools"] = "additional_tools"
    role: str = "developer"
    tools: list[dict[str, Any]]


class ConfigurationUpdate(ForeignItem):
    """Options of reasoning and text that hold from here on."""

    type: Literal["configuration_update"] = "configuration_update"
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "reasoning", "text")


class Compaction(ForeignItem):
    """What stands for the items before it. ``encrypted_content`` is read by who wrote it only."""

    type: Literal["compaction"] = "compaction"
    encrypted_content: str


class CompactionTrigger(ForeignItem):
    """Asks for the items before it to be compacted."""

    type: Literal["compaction_trigger"] = "compaction_trigger"


ForeignItems = (
    Annotated[ShellCall, Tag("shell_call")]
    | Annotated[ShellCallOutput, Tag("shell_call_output")]
    | Annotated[LocalShellCall, Tag("local_shell_call")]
    | Annotated[LocalShellCallOutput, Tag("local_shell_call_output")]
    | Annotated[ApplyPatchCall, Tag("apply_patch_call")]
    | Annotated[ApplyPatchCallOutput, Tag("apply_patch_call_output")]
    | Annotated[ComputerCall, Tag("computer_call")]
    | Annotated[ComputerCallOutput, Tag("computer_call_output")]
    | Annotated[ToolSearchCall, Tag("tool_search_call")]
    | Annotated[ToolSearchOutput, Tag("tool_search_output")]
    | Annotated[ImageGenerationCall, Tag("image_generation_call")]
    | Annotated[Program, Tag("program")]
    | Annotated[ProgramOutput, Tag("program_output")]
    | Annotated[AdditionalTools, Tag("additional_tools")]
    | Annotated[ConfigurationUpdate, Tag("configuration_update")]
    | Annotated[Compaction, Tag("compaction")]
    | Annotated[CompactionTrigger, Tag("compaction_trigger")]
)
"""Told apart by ``type``, as a part of the unions in ``items``."""
