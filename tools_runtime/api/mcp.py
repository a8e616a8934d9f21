"""``/mcp``: the hosted tools for any MCP client, by streamable HTTP. No sessions: each request stands for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import HTTPConnection
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tools_runtime import __version__
from tools_runtime.api.auth import owner_of
from tools_runtime.api.mcp_tools import McpTools
from tools_runtime.api.origins import check_origin

PATH = "/mcp"


class McpEndpoint:
    """An ASGI application that serves ``tools`` while ``running``."""

    def __init__(self, tools: McpTools, max_request_bytes: int, origins: Sequence[str] = ()) -> None:
        self._tools = tools
        self._origins = origins
        server: Server[Any] = Server(
            "tools-runtime", version=__version__, on_list_tools=self._list, on_call_tool=self._call
        )
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=max_request_bytes
        )

    def route(self) -> Route:
        return Route(PATH, self, methods=["GET", "POST", "DELETE"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ``ApiError`` for who has no key, and for web pages that are not allowed."""
        connection = HTTPConnection(scope)
        check_origin(connection, self._origins)
        connection.state.owner = await owner_of(connection)
        await self._manager.handle_request(scope, receive, send)

    async def _list(
        self, context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools.listed())

    async def _call(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        assert context.request is not None
        return await self._tools.call(context.request.state.owner, params.name, params.arguments or {})
