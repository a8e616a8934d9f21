"""What an MCP server answers, as an item keeps it and as a model is shown it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import mcp_types as types
import orjson
from mcp import MCPError
from pydantic import ValidationError

from tools_runtime.protocol.mcp_items import McpCall
from tools_runtime.search.hygiene import clean_data
from tools_runtime.tools.mcp.transport import Blocked

_RESERVED = 200
"""Characters for the fence and the note on what was left out."""


def text_of(result: types.CallToolResult, max_chars: int) -> str:
    """All parts of a result, one after the other."""
    text = "\n".join(map(_part, result.content))
    if not text and result.structured_content is not None:
        text = orjson.dumps(result.structured_content).decode()
    return text if len(text) <= max_chars else f"{text[:max_chars]}\n[{len(text) - max_chars} more characters]"


def _part(part: types.ContentBlock) -> str:
    match part:
        case types.TextContent():
            return part.text
        case types.ResourceLink():
            about = f" ({part.description})" if part.description else ""
            return f"[resource: {part.name}{about} {part.uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.EmbeddedResource(resource=resource):
            return f"[resource, not shown: {resource.mime_type} {resource.uri}]"
    return f"[{part.type}, not shown: {part.mime_type}]"


def execution_error(text: str) -> dict[str, Any]:
    """The item's ``error`` for a result that says that the tool has failed."""
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}


def http_error(code: int, message: str) -> dict[str, Any]:
    """The item's ``error`` where no answer came that could be understood."""
    return {"type": "http_error", "code": code, "message": message}


def error_of(failure: Exception, status: int | None) -> dict[str, Any]:
    """The item's ``error`` for what the client raised; ``status`` is that of the last HTTP answer, if it was an
    error."""
    leaf = next(_leaves(failure))
    if status is not None:
        return http_error(status, f"The MCP server answered with HTTP status {status}.")
    if isinstance(leaf, Blocked):
        return http_error(403, str(leaf))
    if isinstance(leaf, MCPError):
        return {"type": "mcp_protocol_error", "code": leaf.code, "message": leaf.message[:1000]}
    if isinstance(leaf, ValidationError):
        return http_error(502, "The MCP server's answer does not follow the protocol.")
    if isinstance(leaf, httpx2.TransportError):
        return http_error(502, f"The MCP server could not be reached or broke off: {str(leaf)[:500]}")
    return http_error(502, "The MCP server could not be asked.")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def shown(item: McpCall, max_chars: int) -> str:
    """What a model is shown of a call. What the server said stands within a fence that it cannot have known."""
    if item.output is None and not isinstance(item.error, dict):
        return item.error or "The call was interrupted: it may have been made."
    said = item.output if item.output is not None else _error_text(item.error)
    text = clean_data(said)
    room = max_chars - _RESERVED
    if len(text) > room:
        text = f"{text[:room]}\n[{len(text) - room} more characters]"
    fence = f"data-{(item.id or '')[-16:]}"
    failed = "The call failed.\n" if item.output is None else ""
    return f"{failed}<{fence}>\n{text}\n</{fence}>"


def _error_text(error: Any) -> str:
    content = error.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(error.get("message", content))
