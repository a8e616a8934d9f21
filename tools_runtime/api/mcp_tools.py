"""The hosted tools as tools of an MCP server: the same code as in a response, one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types as mcp
import orjson

from tools_runtime import ids
from tools_runtime.api.validation import validate
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import CodeInterpreterCall, ImageOutput, InputText, Message
from tools_runtime.protocol.prompt import Function
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import CodeInterpreterTool, FileSearchTool, HostedToolParam, WebSearchTool
from tools_runtime.tools import HostedTool, Scope, code_interpreter, file_search
from tools_runtime.tools.sources import Sources
from tools_runtime.tools.web_search.faces import OURS

_STORES = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "description": "Ids of the vector stores to search.",
}
_CONTAINER = {
    "type": "string",
    "description": "Id of the container of an earlier call, to go on with its variables and files.",
}


@dataclass(frozen=True)
class McpLimits:
    """Of one call: ``seconds``, and the characters of its result. ``public_url``: where files are had from."""

    seconds: float
    chars: int
    public_url: str | None = None


class McpTools:
    """``tools`` as an MCP server has them."""

    def __init__(self, tools: Sequence[HostedTool], limits: McpLimits) -> None:
        self._tools = {type: tool for tool in tools for type in tool.types}
        self._limits = limits

    def listed(self) -> list[mcp.Tool]:
        """What a client may call."""
        found = []
        if "web_search" in self._tools:
            found += [_tool(function, reads=True) for function in OURS.functions]
        if "file_search" in self._tools:
            found.append(_tool(file_search.FUNCTION, {"vector_store_ids": _STORES}, ["vector_store_ids"], reads=True))
        if "code_interpreter" in self._tools:
            function = Function(code_interpreter.NAME, code_interpreter.DESCRIPTION, code_interpreter.PARAMETERS)
            found.append(_tool(function, {"container": _CONTAINER}))
        return found

    async def call(self, owner: str, name: str, arguments: dict[str, Any]) -> mcp.CallToolResult:
        """Runs one call. What goes wrong is a result that says so."""
        try:
            options, arguments = _options(name, arguments)
            tool = self._tools.get(options.type) if options else None
            if options is None or tool is None:
                raise ApiError(f"There is no tool named '{name[:200]}'.")
            async with asyncio.timeout(self._limits.seconds):
                return await self._run(tool, options, owner, name, arguments)
        except ApiError as error:
            return _failure(error.message)
        except TimeoutError:
            return _failure(f"The tool was stopped because it took longer than {self._limits.seconds:g} seconds.")

    async def _run(
        self, tool: HostedTool, options: HostedToolParam, owner: str, name: str, arguments: dict[str, Any]
    ) -> mcp.CallToolResult:
        # What the client names counts as named by the user: it answers for the addresses that it wants opened.
        history = [Message(role="user", content=[InputText(text=str(arguments.get("target", "")))])]
        sources = Sources()
        scope = Scope(owner, ids.new("resp"), CreateResponse(), history, sources)
        bound = await tool.bind(options, scope, "arguments")
        call = bound.call(name, lambda event: None)
        text = await call.run(orjson.dumps(arguments).decode())
        text = text[: self._limits.chars]
        more: list[mcp.ContentBlock] = []
        structured = None
        if isinstance(call.item, CodeInterpreterCall):
            text += f"\n\nContainer: {call.item.container_id}"
            more = [*_images(call.item), *self._links(sources)]
            structured = {"container": call.item.container_id, "files": _files(sources)}
        failed = getattr(call.item, "status", None) == "failed"
        content = [mcp.TextContent(type="text", text=text), *more]
        return mcp.CallToolResult(content=content, structured_content=structured, is_error=failed)

    def _links(self, sources: Sources) -> list[mcp.ContentBlock]:
        """The files that the code made, where the server knows how it is reached."""
        if self._limits.public_url is None:
            return []
        base = self._limits.public_url.rstrip("/")
        return [
            mcp.ResourceLink(
                type="resource_link",
                name=file.path.rsplit("/", 1)[-1],
                uri=f"{base}/containers/{file.container_id}/files/{file.file_id}/content",
            )
            for file in sources.unlinked.values()
        ]


def _files(sources: Sources) -> list[dict[str, str]]:
    return [{"path": file.path, "file_id": file.file_id} for file in sources.unlinked.values()]


def _images(item: CodeInterpreterCall) -> list[mcp.ContentBlock]:
    urls = [output.url for output in item.outputs or () if isinstance(output, ImageOutput)]
    parts = [url.removeprefix("data:").partition(";base64,") for url in urls if url.startswith("data:")]
    return [mcp.ImageContent(type="image", mime_type=media, data=data) for media, _, data in parts]


def _options(name: str, arguments: dict[str, Any]) -> tuple[HostedToolParam | None, dict[str, Any]]:
    """The options of the tool that has this function, and the function's own arguments. Raises ``ApiError``."""
    rest = dict(arguments)
    if name in {function.name for function in OURS.functions}:
        return WebSearchTool(type="web_search"), rest
    if name == file_search.FUNCTION.name:
        stores = {"vector_store_ids": rest.pop("vector_store_ids", None)}
        return validate(FileSearchTool, {"type": "file_search"} | stores), rest
    if name == code_interpreter.NAME:
        container = rest.pop("container", None) or {"type": "auto"}
        return validate(CodeInterpreterTool, {"type": "code_interpreter", "container": container}), rest
    return None, rest


def _tool(
    function: Function, more: dict[str, Any] | None = None, required: Sequence[str] = (), *, reads: bool = False
) -> mcp.Tool:
    schema = dict(function.parameters)
    schema["properties"] = schema["properties"] | (more or {})
    schema["required"] = [*schema.get("required", ()), *required]
    return mcp.Tool(
        name=function.name,
        description=function.description,
        input_schema=schema,
        annotations=mcp.ToolAnnotations(read_only_hint=reads),
    )


def _failure(text: str) -> mcp.CallToolResult:
    return mcp.CallToolResult(content=[mcp.TextContent(type="text", text=text)], is_error=True)
