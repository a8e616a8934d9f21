"""Calls of MCP servers' tools that the user must allow: which were asked for, answered and made."""

from __future__ import annotations

from collections.abc import Container, Sequence

from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import Item
from tools_runtime.protocol.mcp_items import McpApprovalRequest, McpApprovalResponse, McpCall

_UNANSWERED = "The user has not said whether this call may be made. It was not made."
_NOT_MADE = "The user has allowed this call, but it was not made."


class Approvals:
    """Of a chain: ``old`` items, and ``new`` ones of this request. Of several answers to a request the last counts."""

    def __init__(self, old: Sequence[Item], new: Sequence[Item]) -> None:
        items = [*old, *new]
        self._requests = {item.id: item for item in items if isinstance(item, McpApprovalRequest)}
        self._answers = {item.approval_request_id: item for item in items if isinstance(item, McpApprovalResponse)}
        self._made = {item.approval_request_id for item in items if isinstance(item, McpCall)}
        self._asked_now = {
            item.approval_request_id: place for place, item in enumerate(new) if isinstance(item, McpApprovalResponse)
        }

    def granted(self, servers: Container[str]) -> list[McpApprovalRequest]:
        """The calls that are to be made now. Raises ``ApiError`` for an answer to what was not asked, and for a call of
        a server whose label is none of ``servers``."""
        calls = []
        for id, place in self._asked_now.items():
            param = f"input[{place}].approval_request_id"
            request = self._requests.get(id)
            if request is None:
                raise ApiError(f"No approval request found with id '{id}'.", param=param, code="invalid_value")
            if not self._answers[id].approve or id in self._made:
                continue
            if request.server_label not in servers:
                message = f"The call is one of MCP server '{request.server_label}', which 'tools' does not name."
                raise ApiError(message, param=param, code="invalid_value")
            calls.append(request)
        return calls

    def unmade(self, request: McpApprovalRequest) -> McpCall | None:
        """What a model is shown of a call that was asked for and not made; None where it was made, or is to be."""
        answer = self._answers.get(request.id or "")
        if request.id in self._made or (answer and answer.approve and request.id in self._asked_now):
            return None
        why = _UNANSWERED if answer is None else _NOT_MADE
        if answer is not None and not answer.approve:
            why = f"The user has refused this call. {answer.reason or ''}".strip()
        return McpCall(
            id=request.id,
            status="failed",
            server_label=request.server_label,
            name=request.name,
            arguments=request.arguments,
            error=why,
        )
