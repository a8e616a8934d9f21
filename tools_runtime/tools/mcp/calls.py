"""One call of an MCP server's tool, or the request that the user allow it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from tools_runtime import ids
from tools_runtime.protocol.events import ForeignProgress, McpArgumentsDelta, McpArgumentsDone
from tools_runtime.protocol.mcp_items import McpApprovalRequest, McpCall
from tools_runtime.tools import Emit, HostedCall
from tools_runtime.tools.mcp import results
from tools_runtime.tools.mcp.connection import Connection

_BAD_ARGUMENTS = "The call was not made: the arguments must be a JSON object."


class ToolCall(HostedCall):
    """Makes the call. ``approval``: the id of the request by which the user has allowed it."""

    item: McpCall

    def __init__(self, emit: Emit, connection: Connection, name: str, approval: str | None = None) -> None:
        item = McpCall(
            id=ids.new("mcp"),
            status="in_progress",
            approval_request_id=approval,
            arguments="",
            error=None,
            name=name,
            output=None,
            server_label=connection.label,
        )
        super().__init__(emit, item)
        self._connection = connection

    def open(self) -> None:
        if self._state == "unopened":
            super().open()
            self._progress("in_progress")

    def argument_delta(self, delta: str) -> None:
        self.open()
        self.emit(McpArgumentsDelta(item_id=self.item_id, delta=delta))
        self.item.arguments += delta

    async def run(self, arguments: str) -> str:
        self.open()
        if not self.item.arguments and arguments:
            self.argument_delta(arguments)
        self.item.arguments = arguments
        self.emit(McpArgumentsDone(item_id=self.item_id, arguments=arguments))
        self.item.output, self.item.error = await self._made(read_arguments(arguments))
        failed = self.item.error is not None
        self._progress("failed" if failed else "completed")
        self.close("failed" if failed else "completed")
        return results.shown(self.item, self._connection.limits.output_chars)

    async def _made(self, arguments: dict[str, Any] | None) -> tuple[str | None, dict[str, Any] | None]:
        """The output, or the error."""
        limits = self._connection.limits
        if arguments is None:
            return None, results.execution_error(_BAD_ARGUMENTS)
        try:
            async with asyncio.timeout(limits.call_seconds):
                result = await self._connection.session.call(self.item.name, arguments)
        except TimeoutError:
            return None, results.http_error(504, f"The call took longer than {limits.call_seconds:g} seconds.")
        except Exception as error:
            return None, results.error_of(error, self._connection.error_status)
        text = results.text_of(result, limits.output_chars)
        return (None, results.execution_error(text)) if result.is_error else (text, None)

    def _progress(self, state: str) -> None:
        self.emit(ForeignProgress(type=f"response.mcp_call.{state}", item_id=self.item_id))


class Asking(HostedCall):
    """Asks the user for leave. The call itself is made in the next response."""

    item: McpApprovalRequest

    def __init__(self, emit: Emit, connection: Connection, name: str) -> None:
        item = McpApprovalRequest(id=ids.new("mcpr"), arguments="", name=name, server_label=connection.label)
        super().__init__(emit, item)

    def announce(self, arguments: str) -> None:
        """The item is opened with all its arguments: later."""

    async def run(self, arguments: str) -> str:
        if read_arguments(arguments) is None:
            return _BAD_ARGUMENTS
        self.item.arguments = arguments
        self.open()
        self.close("completed")
        self.client_is_next = True
        return ""


def read_arguments(text: str) -> dict[str, Any] | None:
    """None where the model has written something else."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return None
    return arguments if isinstance(arguments, dict) else None
