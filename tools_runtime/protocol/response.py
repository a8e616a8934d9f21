"""The response object. Only ``engine.accumulator`` changes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from tools_runtime.protocol.base import Wire
from tools_runtime.protocol.items import Item, WebSearchCall

ResponseStatus = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]


class InputTokensDetails(Wire):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Wire):
    reasoning_tokens: int = 0


class Usage(Wire):
    """Tokens. Summed over all turns of a response."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = Field(default_factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = Field(default_factory=OutputTokensDetails)
    total_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        mine, theirs = self.input_tokens_details, other.input_tokens_details
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            input_tokens_details=InputTokensDetails(
                cached_tokens=mine.cached_tokens + theirs.cached_tokens,
                cache_write_tokens=mine.cache_write_tokens + theirs.cache_write_tokens,
            ),
            output_tokens=self.output_tokens + other.output_tokens,
            output_tokens_details=OutputTokensDetails(
                reasoning_tokens=self.output_tokens_details.reasoning_tokens
                + other.output_tokens_details.reasoning_tokens
            ),
            total_tokens=self.total_tokens + other.total_tokens,
        )


class WebSearchUsage(Wire):
    num_requests: int = 0


class ImageTokens(Wire):
    image_tokens: int = 0
    text_tokens: int = 0


class ImageUsage(Wire):
    """What model servers use for images they do not tell us, so these are zeros."""

    input_tokens: int = 0
    input_tokens_details: ImageTokens = Field(default_factory=ImageTokens)
    output_tokens: int = 0
    output_tokens_details: ImageTokens = Field(default_factory=ImageTokens)
    total_tokens: int = 0


class ToolUsage(Wire):
    """``web_search.num_requests``: searches that were made; opening a page is none."""

    image_gen: ImageUsage = Field(default_factory=ImageUsage)
    web_search: WebSearchUsage = Field(default_factory=WebSearchUsage)

    @classmethod
    def of(cls, output: Sequence[Item]) -> ToolUsage:
        done = [item for item in output if isinstance(item, WebSearchCall) and item.status == "completed"]
        searches = [item for item in done if item.action and item.action.type == "search"]
        return cls(web_search=WebSearchUsage(num_requests=len(searches)))


class ResponseError(Wire):
    code: str
    message: str


class IncompleteDetails(Wire):
    reason: Literal["max_output_tokens", "max_messages", "content_filter", "steered"]


class Response(Wire):
    """Every field that OpenAI's and the Open Responses schema require, present in every body."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: ResponseStatus = "in_progress"
    access_programs: dict[str, Any] | None = None
    background: bool = False
    conversation: dict[str, Any] | None = None
    error: ResponseError | None = None
    frequency_penalty: float = 0.0
    image: dict[str, Any] | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    moderation: dict[str, Any] | None = None
    output: list[Item] = Field(default_factory=list)
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    reasoning: dict[str, Any] = Field(default_factory=dict)
    safety_identifier: str | None = None
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1.0
    text: dict[str, Any] = Field(default_factory=dict)
    tool_choice: str | dict[str, Any] = "auto"
    tool_usage: ToolUsage = Field(default_factory=ToolUsage)
    tools: list[dict[str, Any]] = Field(default_factory=list)
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: Usage | None = None
    user: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
