"""Tools and tool choices as clients write them, and as they are echoed: with every default filled in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Discriminator, Field, Tag

from tools_runtime.protocol.base import StrictWire

Domains = Annotated[list[str], Field(max_length=100)]


class FunctionTool(StrictWire):
    """A function of the client's own."""

    type: Literal["function"] = "function"
    name: str = Field(min_length=1, max_length=128)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class UserLocation(StrictWire):
    type: Literal["approximate"] = "approximate"
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class WebSearchFilters(StrictWire):
    """Domains without a scheme; subdomains are included."""

    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None


class WebSearchTool(StrictWire):
    type: Literal["web_search", "web_search_2025_08_26"]
    filters: WebSearchFilters | None = None
    search_context_size: Literal["low", "medium", "high"] = "medium"
    user_location: UserLocation | None = None
    external_web_access: bool | None = None
    return_token_budget: Literal["default", "unlimited"] = "default"
    search_content_types: tuple[Literal["text", "image"], ...] = Field(default=("text",), strict=False)


class WebSearchPreviewTool(StrictWire):
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


class FileSearchTool(StrictWire):
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
    type: Literal["code_interpreter"]
    container: str | AutoContainer


HostedToolParam = WebSearchTool | WebSearchPreviewTool | FileSearchTool | CodeInterpreterTool
Tool = Annotated[FunctionTool | HostedToolParam, Discriminator("type")]

# --- tool choice -----------------------------------------------------------------------------------------------------

HOSTED_TYPES = (
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "file_search",
    "code_interpreter",
)


class FunctionChoice(StrictWire):
    type: Literal["function"]
    name: str


class HostedChoice(StrictWire):
    type: Literal[
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "file_search",
        "code_interpreter",
    ]


class AllowedTools(StrictWire):
    """Narrows the tools for this request without changing the list (which would spoil a prompt cache)."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]] = Field(min_length=1)


def _choice_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "mode"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "hosted" if kind in HOSTED_TYPES else kind


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[FunctionChoice, Tag("function")]
    | Annotated[HostedChoice, Tag("hosted")]
    | Annotated[AllowedTools, Tag("allowed_tools")],
    Discriminator(_choice_tag),
]
