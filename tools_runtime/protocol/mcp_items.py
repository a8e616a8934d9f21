"""Items of MCP servers' tools: run here or, by a server that takes such tools, there. Shapes from openai 3.54.0."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tools_runtime.protocol.base import Sparse
from tools_runtime.protocol.foreign_items import ForeignItem


class McpListedTool(Sparse):
    """A tool as its server describes it. ``annotations``: {read_only}, or MCP's own."""

    annotations: dict[str, Any] | None = None
    description: str | None = None
    input_schema: dict[str, Any]
    name: str

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("annotations", "description")

    @property
    def read_only(self) -> bool:
        notes = self.annotations or {}
        return notes.get("read_only", notes.get("readOnlyHint")) is True


class McpListTools(ForeignItem):
    """What a server has told of its tools. ``error``: why it has not."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    server_label: str
    tools: list[McpListedTool] = Field(default_factory=list)
    error: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "error")


class McpCall(ForeignItem):
    """A call of a tool. ``error``: {type: mcp_protocol_error | mcp_tool_execution_error | http_error, …}, or a text
    as OpenAI once wrote it. ``approval_request_id``: the request by which the user has allowed it."""

    type: Literal["mcp_call"] = "mcp_call"
    status: Literal["in_progress", "completed", "incomplete", "calling", "failed"] | None = None
    approval_request_id: str | None = None
    arguments: str
    error: dict[str, Any] | str | None = None
    name: str
    output: str | None = None
    server_label: str

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "approval_request_id", "error", "output")


class McpApprovalRequest(ForeignItem):
    """A call that is to be made only if the user allows it."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    arguments: str
    name: str
    server_label: str


class McpApprovalResponse(ForeignItem):
    """The user's answer."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    approval_request_id: str
    approve: bool
    reason: str | None = None

    @classmethod
    def sparse_fields(cls) -> tuple[str, ...]:
        return ("id", "status", "reason")
