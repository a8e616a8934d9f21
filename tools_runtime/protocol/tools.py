"""Tools and tool choices as clients write them, and as they are echoed: with every default filled in."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, Discriminator, Field, Tag, model_validator

from tools_runtime.protocol.base import OpenWire, StrictWire
from tools_runtime.protocol.client_tools import (
    ApplyPatchTool,
    CustomTool,
    ForeignTool,
    FunctionTool,
    LocalShellTool,
    NamespaceTool,
    ShellTool,
    ToolSearchTool,
)

Domains = Annotated[list[str], Field(max_length=100)]


class NullIsDefault(StrictWire):
    """For options that OpenAI's clients may write as ``null``: as if they had been left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        optional = {name for name, field in cls.model_fields.items() if not _takes_null(field.annotation)}
        return {name: given for name, given in value.items() if given is not None or name not in optional}


def _takes_null(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


class UserLocation(NullIsDefault):
    type: Literal["approximate"] = "approximate"
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WebSearchFilters(StrictWire):
    """Domains without a scheme; subdomains are included."""

    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None


class ImageSettings(StrictWire):
    """Of results that are images; the Agents SDK writes it."""

    max_results: int | None = Field(default=None, ge=1)
    caption: bool | None = None


class WebSearchTool(NullIsDefault):
    type: Literal["web_search", "web_search_2025_08_26"]
    filters: WebSearchFilters | None = None
    search_context_size: Literal["low", "medium", "high"] = "medium"
    user_location: UserLocation | None = None
    external_web_access: bool | None = None
    return_token_budget: Literal["default", "unlimited"] = "default"
    search_content_types: tuple[Literal["text", "image"], ...] = Field(default=("text",), strict=False)
    image_settings: ImageSettings | None = None


class WebSearchPreviewTool(NullIsDefault):
    type: Literal["web_search_preview", "web_search_preview_2025_03_11"]
    search_context_size: Literal["low", "medium", "high"] = "medium"
    user_location: UserLocation | None = None
    search_content_types: tuple[Literal["text", "image"], ...] = Field(default=("text",), strict=False)


Scalar = str | bool | int | float


class ComparisonFilter(StrictWire):
    """``key`` is an attribute's name; OpenAI's guide also writes ``property``."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(validation_alias=AliasChoices("key", "property"))
    value: Scalar | list[Scalar]


class CompoundFilter(StrictWire):
    type: Literal["and", "or"]
    filters: list[AttributeFilter]


def _filter_tag(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "compound" if kind in ("and", "or") else "comparison"


AttributeFilter = Annotated[
    Annotated[ComparisonFilter, Tag("comparison")] | Annotated[CompoundFilter, Tag("compound")],
    Discriminator(_filter_tag),
]
CompoundFilter.model_rebuild()


class HybridSearch(StrictWire):
    embedding_weight: float = Field(ge=0)
    text_weight: float = Field(ge=0)


class RankingOptions(StrictWire):
    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(default=0, ge=0, le=1)
    hybrid_search: HybridSearch | None = None


class FileSearchTool(NullIsDefault):
    type: Literal["file_search"]
    filters: AttributeFilter | None = None
    max_num_results: int = Field(default=20, ge=1, le=50)
    ranking_options: RankingOptions = Field(default_factory=RankingOptions)
    vector_store_ids: list[str] = Field(min_length=1)


MemoryLimit = Literal["1g", "4g", "16g", "64g"]


class NetworkPolicy(StrictWire):
    type: Literal["disabled", "allowlist"]
    allowed_domains: list[str] | None = None
    domain_secrets: list[dict[str, Any]] | None = None


class AutoContainer(StrictWire):
    type: Literal["auto"]
    file_ids: list[str] = Field(default_factory=list)
    memory_limit: MemoryLimit | None = None
    network_policy: NetworkPolicy | None = None


class CodeInterpreterTool(StrictWire):
    """``allowed_callers`` has no effect: there is no caller but the model."""

    type: Literal["code_interpreter"]
    container: str | AutoContainer
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None


class McpFilter(OpenWire):
    """Some of a server's tools: those that meet every condition."""

    tool_names: list[str] | None = None
    read_only: bool | None = None


class McpApprovals(OpenWire):
    """Which calls the user must allow: those that ``always`` names, and those that ``never`` does not."""

    always: McpFilter | None = None
    never: McpFilter | None = None


def _mcp_shape(value: Any) -> str:
    return "plain" if isinstance(value, str | list) else "object"


class McpTool(OpenWire):
    """The tools of an MCP server. ``headers`` and ``authorization`` (a bearer token) are secrets."""

    type: Literal["mcp"]
    server_label: str = Field(min_length=1)
    server_url: str | None = None
    server_description: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    headers: dict[str, str] | None = None
    authorization: str | None = None
    allowed_tools: (
        Annotated[Annotated[list[str], Tag("plain")] | Annotated[McpFilter, Tag("object")], Discriminator(_mcp_shape)]
        | None
    ) = None
    require_approval: (
        Annotated[
            Annotated[Literal["always", "never"], Tag("plain")] | Annotated[McpApprovals, Tag("object")],
            Discriminator(_mcp_shape),
        ]
        | None
    ) = None


HostedToolParam = WebSearchTool | WebSearchPreviewTool | FileSearchTool | CodeInterpreterTool | McpTool

# --- the union -------------------------------------------------------------------------------------------------------

HOSTED_TYPES = (
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "file_search",
    "code_interpreter",
    "mcp",
)

CLIENT_TYPES = ("function", "custom", "namespace", "shell", "local_shell", "apply_patch", "tool_search")


def _tag(value: Any) -> str | None:
    """Tools of an unknown type are foreign; what has no type, or none that is a text, is no tool."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in CLIENT_TYPES:
        return str(kind)
    if isinstance(kind, str):
        return _HOSTED_TAGS.get(kind, "foreign")
    return None


_HOSTED_TAGS = {type: type.removesuffix("_2025_08_26").removesuffix("_2025_03_11") for type in HOSTED_TYPES}

Tool = Annotated[
    Annotated[FunctionTool, Tag("function")]
    | Annotated[CustomTool, Tag("custom")]
    | Annotated[NamespaceTool, Tag("namespace")]
    | Annotated[ShellTool, Tag("shell")]
    | Annotated[LocalShellTool, Tag("local_shell")]
    | Annotated[ApplyPatchTool, Tag("apply_patch")]
    | Annotated[ToolSearchTool, Tag("tool_search")]
    | Annotated[WebSearchTool, Tag("web_search")]
    | Annotated[WebSearchPreviewTool, Tag("web_search_preview")]
    | Annotated[FileSearchTool, Tag("file_search")]
    | Annotated[CodeInterpreterTool, Tag("code_interpreter")]
    | Annotated[McpTool, Tag("mcp")]
    | Annotated[ForeignTool, Tag("foreign")],
    Discriminator(_tag),
]

# --- tool choice -----------------------------------------------------------------------------------------------------


class NamedChoice(OpenWire):
    """A function or a custom tool; ``namespace`` where its name is unique in one only."""

    type: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class TypeChoice(OpenWire):
    """A tool of a type of which there is one: hosted, ``shell``, ``apply_patch`` …"""

    type: str


class AllowedTools(StrictWire):
    """Narrows the tools for this request without changing the list (which would spoil a prompt cache)."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]] = Field(min_length=1)


def _choice_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "mode"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in ("function", "custom"):
        return "named"
    return kind if kind == "allowed_tools" else "type"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[NamedChoice, Tag("named")]
    | Annotated[AllowedTools, Tag("allowed_tools")]
    | Annotated[TypeChoice, Tag("type")],
    Discriminator(_choice_tag),
]
