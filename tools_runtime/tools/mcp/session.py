"""A session with an MCP server, by the official client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import mcp_types as types
from mcp import Client, MCPError

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 5
"""For telling the server that the session is over."""
_MAX_PAGES = 50
"""Of a list of tools."""

Connect = Callable[[], AbstractAsyncContextManager[Client]]


class Session:
    """From its first use to ``aclose``. The client lives in a task of its own: where its connection fails, it cancels
    the task that has opened it."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Client] | None = None
        self._over = asyncio.Event()

    async def tools(self) -> AsyncIterator[types.Tool]:
        """What the server offers, page by page. Raises what the client does."""
        client = await self._client()
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                yield tool
            cursor = page.next_cursor
            if not cursor:
                return

    async def call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """Raises what the client does. Its own ``call_tool`` would check the result by a JSON schema of the server's,
        patterns and all, which can take for ever."""
        client = await self._client()
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        try:
            return await client.session.send_request(request, types.CallToolResult)
        except MCPError as error:
            if error.code != types.HEADER_MISMATCH:
                raise
        # The server wants arguments as headers, which the client knows of once it has seen the list.
        async for _ in self.tools():
            pass
        return await client.session.send_request(request, types.CallToolResult)

    async def aclose(self) -> None:
        """Ends the session, if there is one."""
        if self._task is None or self._ready is None:
            return
        self._over.set()
        if not self._ready.done():
            self._task.cancel()
        _, late = await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)
        for task in late:
            task.cancel()
            await asyncio.wait({task})

    async def _client(self) -> Client:
        if self._task is None or self._task.done() or self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._ready))
        return await asyncio.shield(self._ready)

    async def _live(self, ready: asyncio.Future[Client]) -> None:
        try:
            async with self._connect() as client:
                ready.set_result(client)
                await self._over.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error if isinstance(error, Exception) else ConnectionError("interrupted"))
                ready.exception()  # asked for by now, or by nobody
            elif isinstance(error, Exception):
                logger.info("a session with an MCP server ended: %s", type(error).__name__)
            if isinstance(error, asyncio.CancelledError):
                raise
