"""The MCP server by the official client: the tools of this server, their results, keys, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import harness.tools
import httpx2
import pytest
from fastapi import FastAPI
from harness.server import listening
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, ResourceLink, TextContent
from pydantic import SecretStr

from tools_runtime.api import auth, errors
from tools_runtime.api.mcp import McpEndpoint
from tools_runtime.api.mcp_tools import McpLimits, McpTools
from tools_runtime.errors import ApiError
from tools_runtime.protocol.items import CodeInterpreterCall, ImageOutput, LogsOutput
from tools_runtime.protocol.tools import CodeInterpreterTool, FileSearchTool, HostedToolParam
from tools_runtime.tools import BoundTool, Emit, HostedCall, HostedTool, Scope
from tools_runtime.tools.sources import ContainerFile

LIMITS = McpLimits(seconds=10, chars=1000, public_url="https://tools.example/v1/")


class Remembering(harness.tools.FakeTool):
    """A tool that remembers what it was bound to, and refuses the store ``vs_none``."""

    def __init__(self, type: str, make_call: Any, *further: str) -> None:
        super().__init__(type, make_call, *further)
        self.bound: list[tuple[HostedToolParam, Scope]] = []

    async def bind(self, options: HostedToolParam, scope: Scope, param: str) -> BoundTool:
        if isinstance(options, FileSearchTool) and options.vector_store_ids == ["vs_none"]:
            raise ApiError("Vector store with id 'vs_none' not found.")
        self.bound.append((options, scope))
        return await super().bind(options, scope, param)


class Told(HostedCall):
    """Answers with its arguments."""

    def __init__(self, emit: Emit, scope: Scope) -> None:
        super().__init__(emit, CodeInterpreterCall(id="ci_1", container_id="cntr_1", outputs=[]))
        self._scope = scope

    async def run(self, arguments: str) -> str:
        self.open()
        assert isinstance(self.item, CodeInterpreterCall)
        if "wait" in arguments:
            await asyncio.Event().wait()
        self.item.outputs = [LogsOutput(logs="x"), ImageOutput(url="data:image/png;base64,iVBORw0KGgo=")]
        self._scope.sources.add_container_file(ContainerFile("cntr_1", "cfile_1", "/mnt/data/a.csv"), fresh=True)
        self.close("failed" if "fail" in arguments else "completed")
        return arguments * 1000 if "long" in arguments else arguments


class Plain(Told):
    """The same, of another kind."""

    def __init__(self, emit: Emit, scope: Scope) -> None:
        super().__init__(emit, scope)
        self.item = harness.tools.FileSearchCall(id="fs_1")

    async def run(self, arguments: str) -> str:
        self.open()
        self.close("completed")
        return arguments


@asynccontextmanager
async def mcp_server(
    tools: Sequence[HostedTool], limits: McpLimits = LIMITS, keys: Sequence[str] = ()
) -> AsyncIterator[str]:
    endpoint = McpEndpoint(McpTools(tools, limits), 10_000, ["https://good.example"])
    app = FastAPI()
    errors.install(app)
    auth.install(app, auth.Keyring([SecretStr(key) for key in keys]))
    app.router.routes.append(endpoint.route())
    async with endpoint.running(), listening(app) as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture
def tools() -> list[Remembering]:
    return [
        Remembering("web_search", Plain, "open_page", "find_in_page"),
        Remembering("file_search", Plain),
        Remembering("code_interpreter", Told),
    ]


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tools_are_listed_and_called(tools: list[Remembering], mode: str) -> None:
    async with mcp_server(tools) as url, Client(url, mode=mode) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("web_search", {"queries": ["a"]})
    assert listed.keys() == {"web_search", "open_page", "find_in_page", "file_search", "code_interpreter"}
    assert "vector_store_ids" in listed["file_search"].input_schema["required"]
    assert (text(result), result.is_error) == ('{"queries":["a"]}', False)


async def test_a_page_that_the_client_names_counts_as_named_by_the_user(tools: list[Remembering]) -> None:
    async with mcp_server(tools) as url, Client(url) as client:
        await client.call_tool("open_page", {"target": "https://python.test/a"})
    ((_, scope),) = tools[0].bound
    assert "https://python.test/a" in str(scope.history[0])


async def test_stores_are_options_and_not_arguments(tools: list[Remembering]) -> None:
    async with mcp_server(tools) as url, Client(url) as client:
        result = await client.call_tool("file_search", {"queries": ["a"], "vector_store_ids": ["vs_1"]})
        missing = await client.call_tool("file_search", {"queries": ["a"], "vector_store_ids": ["vs_none"]})
        without = await client.call_tool("file_search", {"queries": ["a"]})
    ((options, _),) = tools[1].bound
    assert isinstance(options, FileSearchTool)
    assert options.vector_store_ids == ["vs_1"]
    assert text(result) == '{"queries":["a"]}'
    assert (missing.is_error, text(missing)) == (True, "Vector store with id 'vs_none' not found.")
    assert (without.is_error, "vector_store_ids" in text(without)) == (True, True)


async def test_code_gives_its_container_images_and_files(tools: list[Remembering]) -> None:
    async with mcp_server(tools) as url, Client(url) as client:
        result = await client.call_tool("code_interpreter", {"code": "1", "container": "cntr_9"})
        failed = await client.call_tool("code_interpreter", {"code": "fail"})
    options = [options.container for options, _ in tools[2].bound if isinstance(options, CodeInterpreterTool)]
    assert (options[0], getattr(options[1], "type", None)) == ("cntr_9", "auto")
    assert "Container: cntr_1" in text(result)
    files = [{"path": "/mnt/data/a.csv", "file_id": "cfile_1"}]
    assert result.structured_content == {"container": "cntr_1", "files": files}
    image, link = result.content[1:]
    assert isinstance(image, ImageContent)
    assert (image.mime_type, image.data) == ("image/png", "iVBORw0KGgo=")
    assert isinstance(link, ResourceLink)
    assert str(link.uri) == "https://tools.example/v1/containers/cntr_1/files/cfile_1/content"
    assert failed.is_error


async def test_time_and_size_are_limited(tools: list[Remembering]) -> None:
    limits = McpLimits(seconds=0.1, chars=50)
    async with mcp_server(tools, limits) as url, Client(url) as client:
        slow = await client.call_tool("code_interpreter", {"code": "wait"})
        long = await client.call_tool("code_interpreter", {"code": "long"})
    assert (slow.is_error, "longer than 0.1 seconds" in text(slow)) == (True, True)
    assert len(text(long)) < 100


async def test_an_unknown_tool_is_an_error_of_the_result(tools: list[Remembering]) -> None:
    async with mcp_server(tools[:1]) as url, Client(url) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["web_search", "open_page", "find_in_page"]
        for name in ("rm", "code_interpreter"):
            assert (await client.call_tool(name, {})).is_error


async def test_keys_say_whose_things_are_used(tools: list[Remembering]) -> None:
    async with mcp_server(tools, keys=["alice:sk-a"]) as url:
        async with aiohttp.ClientSession() as session, session.post(url, json={}) as refused:
            assert refused.status == 401
            assert (await refused.json())["error"]["code"] == "invalid_api_key"
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer sk-a"}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await client.call_tool("web_search", {"queries": ["a"]})
    ((_, scope),) = tools[0].bound
    assert scope.owner == "alice"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "https://evil.example"}, b"{}", 403),
        ({}, b"x" * 10_001, 413),
        ({}, b"{", 400),
        ({}, b"[" * 9000, 400),
        ({}, b"\xff" * 100, 400),
        ({}, b'{"jsonrpc": "2.0", "id": 1, "method": 5}', 400),
    ],
)
async def test_hostile_requests_are_refused(
    tools: list[Remembering], headers: dict[str, str], body: bytes, status: int
) -> None:
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with (
        mcp_server(tools) as url,
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=usual | headers) as refused,
    ):
        assert refused.status == status
