"""mcp: the tools of other people's MCP servers (streamable HTTP), by the official client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httpx2

from tools_runtime import ids
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import FunctionCall, FunctionCallOutput, Item
from tools_runtime.protocol.mcp_items import McpCall, McpListTools
from tools_runtime.protocol.prompt import PromptItem
from tools_runtime.protocol.tools import HostedToolParam, McpTool
from tools_runtime.tools import BoundTool, Scope
from tools_runtime.tools.mcp import results
from tools_runtime.tools.mcp.connection import Connection, Network
from tools_runtime.tools.mcp.names import function_name
from tools_runtime.tools.mcp.server import Server
from tools_runtime.tools.sources import Sources

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset(
    ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "accept-encoding")
)
"""Headers that HTTP and MCP need for themselves."""
_SECRET = {"headers", "authorization"}


class Mcp:
    """The hosted tool: each request names its servers. Nothing of them is kept but their items."""

    types: tuple[str, ...] = ("mcp",)
    item_type = "mcp_call"

    def __init__(self, network: Network) -> None:
        self._network = network

    def shown_to(self, model: str) -> Mcp:
        return self

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        """Raises ``ApiError`` for a server that cannot be asked by its URL, and for headers that cannot be sent. The
        server itself is not asked yet."""
        assert isinstance(options, McpTool)
        url = _url(options, param)
        connection = Connection(self._network, options.server_label, str(url), _headers(options, param))
        return Server(options, _echo(options, url), connection, _listing(scope.history, options.server_label))

    def render(self, item: Any, sources: Sources) -> list[PromptItem]:
        assert isinstance(item, McpCall)
        call_id = item.id or ids.new("call")
        name = function_name(item.server_label, item.name)
        text = results.shown(item, self._network.limits.output_chars)
        return [
            FunctionCall(call_id=call_id, name=name, arguments=item.arguments),
            FunctionCallOutput(call_id=call_id, output=text),
        ]


def _url(options: McpTool, param: str) -> httpx2.URL:
    if not _LABEL.fullmatch(options.server_label):
        raise ApiError(
            "A server label begins with a letter and has at most 64 letters, digits, '-' and '_'.",
            param=f"{param}.server_label",
            code="invalid_value",
        )
    for name in ("connector_id", "tunnel_id"):
        if getattr(options, name) is not None:
            message = f"'{name}' is not supported by this server: name the MCP server by 'server_url'."
            raise ApiError(message, param=f"{param}.{name}", code="unsupported_parameter")
    if options.server_url is None:
        message = f"Missing required parameter: '{param}.server_url'."
        raise ApiError(message, param=f"{param}.server_url", code="missing_required_parameter")
    try:
        url = httpx2.URL(options.server_url)
    except (httpx2.InvalidURL, UnicodeError):
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        message = "An MCP server's URL is http or https, and holds no credentials."
        raise ApiError(message, param=f"{param}.server_url", code="invalid_value")
    return url


def _headers(options: McpTool, param: str) -> dict[str, str]:
    headers = dict(options.headers or {})
    for name, value in headers.items():
        mine = name.lower() in _OURS or name.lower().startswith("mcp-")
        if mine or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            message = "A name or a value of the headers cannot be sent."
            raise ApiError(message, param=f"{param}.headers", code="invalid_value")
    if options.authorization is None:
        return headers
    given = any(name.lower() == "authorization" for name in headers)
    if given or not _HEADER_VALUE.fullmatch(options.authorization):
        message = "The token cannot be sent: it has other characters, or the headers hold one already."
        raise ApiError(message, param=f"{param}.authorization", code="invalid_value")
    return headers | {"Authorization": f"Bearer {options.authorization}"}


def _echo(options: McpTool, url: httpx2.URL) -> dict[str, Any]:
    """As OpenAI's recorded responses show it. What is echoed is stored, and URLs hold credentials in their query."""
    defaults = {"allowed_tools": None, "headers": None, "require_approval": "always", "server_description": None}
    given = options.model_dump(mode="json", exclude_none=True, exclude=_SECRET)
    return {"type": "mcp"} | defaults | given | {"server_url": str(url.copy_with(query=None, fragment=None))}


def _listing(history: Sequence[Item], label: str) -> McpListTools | None:
    """The last list of the server's that was made."""
    for item in reversed(history):
        if isinstance(item, McpListTools) and item.server_label == label and item.error is None:
            return item
    return None
