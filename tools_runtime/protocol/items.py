"""Items: anything in ``input`` or ``output``, told apart by ``type``. Shapes from openai 3.54.0 and recorded streams.

Optional fields that OpenAI leaves out when they do not apply are declared ``Absent``: they are not written unless set.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag

from tools_runtime.protocol.base import Sparse, Wire
from tools_runtime.protocol.foreign_items import ForeignItem, ForeignItems
from tools_runtime.protocol.mcp_items import McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools

ItemStatus = Literal["in_progress", "completed", "incomplete"]


# --- annotations -----------------------------------------------------------------------------------------------------


class UrlCitation(Wire):
    """``text[start_index:end_index]`` (code points, end exclusive) slices out the link."""

    type: Literal["url_citation"] = "url_citation"
    start_index: int
    end_index: int
    url: str
    title: str


class FileCitation(Wire):
    """``index`` is the position in the text at which the citation stands."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str
    filename: str
    index: int


class ContainerFileCitation(Wire):
    """``text[start_index:end_index]`` slices out ``sandbox:/mnt/data/<file>``; both 0 where the file is not linked."""

    type: Literal["container_file_citation"] = "container_file_citation"
    container_id: str
    file_id: str
    filename: str
    start_index: int
    end_index: int


class FilePath(Wire):
    type: Literal["file_path"] = "file_path"
    file_id: str
    index: int


Annotation = Annotated[
    UrlCitation | FileCitation | ContainerFileCitation | FilePath,
    Discriminator("type"),
]

# --- content parts ---------------------------------------------------------------------------------------------------


class InputText(Wire):
    type: Literal["input_text"] = "input_text"
    text: str


class InputImage(Sparse):
    type: Literal["input_image"] = "input_image"
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] = "auto"

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("image_url", "file_id")


class InputFile(Sparse):
    type: Literal["input_file"] = "input_file"
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("file_data", "file_id", "file_url", "filename")


class OutputText(Wire):
    type: Literal["output_text"] = "output_text"
    annotations: list[Annotation] = Field(default_factory=list)
    logprobs: list[dict[str, Any]] = Field(default_factory=list)
    text: str


class Refusal(Wire):
    type: Literal["refusal"] = "refusal"
    refusal: str


class ReasoningText(Wire):
    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class SummaryText(Wire):
    type: Literal["summary_text"] = "summary_text"
    text: str


InputPart = Annotated[InputText | InputImage | InputFile, Discriminator("type")]
OutputPart = Annotated[OutputText | Refusal, Discriminator("type")]
ContentPart = Annotated[InputText | InputImage | InputFile | OutputText | Refusal, Discriminator("type")]

# --- items -----------------------------------------------------------------------------------------------------------


class Message(Sparse):
    """A message of any role. Easy input messages (a bare string as content) are normalised by ``engine.prepare``."""

    type: Literal["message"] = "message"
    id: str | None = None
    status: ItemStatus | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[ContentPart]
    phase: Literal["commentary", "final_answer"] | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "phase")


class FunctionCall(Sparse):
    type: Literal["function_call"] = "function_call"
    id: str | None = None
    status: ItemStatus | None = None
    arguments: str
    call_id: str
    name: str
    namespace: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "namespace")


class FunctionCallOutput(Sparse):
    type: Literal["function_call_output"] = "function_call_output"
    id: str | None = None
    status: ItemStatus | None = None
    call_id: str
    output: str | list[InputPart]

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status")


class CustomToolCall(Sparse):
    """A call of a client's tool that takes text in place of JSON."""

    type: Literal["custom_tool_call"] = "custom_tool_call"
    id: str | None = None
    status: ItemStatus | None = None
    call_id: str
    input: str
    name: str
    namespace: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "namespace")


class CustomToolCallOutput(Sparse):
    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    id: str | None = None
    status: ItemStatus | None = None
    call_id: str
    output: str | list[InputPart]

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status")


class Reasoning(Sparse):
    type: Literal["reasoning"] = "reasoning"
    id: str | None = None
    status: ItemStatus | None = None
    summary: list[SummaryText] = Field(default_factory=list)
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "content", "encrypted_content")


class SearchSource(Wire):
    """A source that a search consulted: ``{"type": "url", "url": …}`` or ``{"type": "api", "name": …}``."""

    type: str = "url"


class WebSearchAction(Sparse):
    """``search`` (query, queries, sources), ``open_page`` (url) or ``find_in_page`` (url, pattern)."""

    type: Literal["search", "open_page", "find_in_page", "find"]
    query: str | None = None
    queries: list[str] | None = None
    sources: list[SearchSource] | None = None
    url: str | None = None
    pattern: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("query", "queries", "sources", "url", "pattern")


class WebSearchCall(Sparse):
    """``results`` holds what the model was shown: ``{type: "text_result", url, title, text}`` each."""

    type: Literal["web_search_call"] = "web_search_call"
    id: str | None = None
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "in_progress"
    action: WebSearchAction | None = None
    results: list[dict[str, Any]] | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "action", "results")


class FileSearchResult(Wire):
    """One chunk. ``score`` is between 0 and 1; ``attributes`` is an object, never null (clients break on null)."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, Any] | None = Field(default_factory=dict)


class FileSearchCall(Sparse):
    type: Literal["file_search_call"] = "file_search_call"
    id: str | None = None
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "in_progress"
    queries: list[str] = Field(default_factory=list)
    results: list[FileSearchResult] | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id",)


class LogsOutput(Wire):
    type: Literal["logs"] = "logs"
    logs: str


class ImageOutput(Wire):
    type: Literal["image"] = "image"
    url: str


CodeOutput = Annotated[LogsOutput | ImageOutput, Discriminator("type")]


class CodeInterpreterCall(Sparse):
    type: Literal["code_interpreter_call"] = "code_interpreter_call"
    id: str | None = None
    status: Literal["in_progress", "interpreting", "completed", "incomplete", "failed"] = "in_progress"
    code: str | None = ""
    container_id: str
    outputs: list[CodeOutput] | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id",)


class ItemReference(Sparse):
    type: Literal["item_reference"] = "item_reference"
    id: str


class UnknownItem(ForeignItem):
    """An item of a type that is newer than this server, from a model server. It is kept and given back unchanged."""


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _tag(value: Any) -> str | None:
    """Messages and references may come without ``type``: a role makes a message, a lone id a reference."""
    kind = _field(value, "type")
    if kind is None:
        kind = "message" if _field(value, "role") is not None else "item_reference" if _field(value, "id") else None
    return kind if isinstance(kind, str) else None


_ITEMS = (
    Annotated[Message, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[CustomToolCall, Tag("custom_tool_call")]
    | Annotated[CustomToolCallOutput, Tag("custom_tool_call_output")]
    | Annotated[Reasoning, Tag("reasoning")]
    | Annotated[WebSearchCall, Tag("web_search_call")]
    | Annotated[FileSearchCall, Tag("file_search_call")]
    | Annotated[CodeInterpreterCall, Tag("code_interpreter_call")]
    | Annotated[McpListTools, Tag("mcp_list_tools")]
    | Annotated[McpCall, Tag("mcp_call")]
    | Annotated[McpApprovalRequest, Tag("mcp_approval_request")]
    | Annotated[McpApprovalResponse, Tag("mcp_approval_response")]
    | ForeignItems
)

KnownItem = Annotated[_ITEMS, Discriminator(_tag)]
"""What a client may add to a conversation."""

InputItem = Annotated[_ITEMS | Annotated[ItemReference, Tag("item_reference")], Discriminator(_tag)]
"""What a client may send in ``input``."""

_KNOWN_TYPES = frozenset(member.__metadata__[0].tag for member in get_args(_ITEMS))


def _any_tag(value: Any) -> str | None:
    tag = _tag(value)
    return tag if tag is None or tag in _KNOWN_TYPES else "unknown"


Item = Annotated[_ITEMS | Annotated[UnknownItem, Tag("unknown")], Discriminator(_any_tag)]
"""What is stored, and what may stand in an event."""

HostedItem = WebSearchCall | FileSearchCall | CodeInterpreterCall
