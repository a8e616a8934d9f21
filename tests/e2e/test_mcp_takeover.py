"""A call that the user has allowed, and the process that makes it is killed: nobody makes it a second time unasked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from aiohttp import web
from command import killable
from mcp_servers import Target, mcp_server
from upstreams import fake_server as fake
from upstreams.fake_server import FakeServer, chunk, tool_chunk

from e2e.test_kill_runs import _until

pytestmark = pytest.mark.slow

ASKED = "Use the tool."
HANGS = "Take your time."


async def _model(request: web.Request) -> web.StreamResponse:
    """Calls the tool when it is asked to, and else says that it is done, if ever."""
    if request.method == "GET":
        return web.json_response({"data": [{"id": "fake"}]})
    last = (await request.json())["messages"][-1]
    if ASKED in str(last["content"]):
        name = "mcp__demo__wait" if "wait" in last["content"] else "mcp__demo__delete"
        return await fake.events(tool_chunk((0, "call_1", name, '{"name": "x"}')), chunk("tool_calls"))(request)
    if HANGS in str(last["content"]):
        await asyncio.Event().wait()
    return await fake.events(chunk(content="Done."), chunk("stop"))(request)


@dataclass
class Pair:
    """Two processes on one database: ``kill`` ends the first, ``other`` is a client of the second."""

    first: httpx.AsyncClient
    other: httpx.AsyncClient
    kill: Callable[[], None]
    upstream: FakeServer
    tool: dict[str, Any]

    async def asked(self, tool: str) -> tuple[str, dict[str, Any]]:
        """A response that asks for leave to call the tool, and the user's leave."""
        body = {"input": f"{ASKED} {tool}", "tools": [self.tool]}
        response = (await self.first.post("/responses", json=body)).json()
        (request,) = [item for item in response["output"] if item["type"] == "mcp_approval_request"]
        return response["id"], {
            "type": "mcp_approval_response",
            "approval_request_id": request["id"],
            "approve": True,
        }

    async def begun(self, **body: Any) -> str:
        """A response in the background of the first process."""
        reply = await self.first.post("/responses", json={"background": True, "tools": [self.tool]} | body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])


@asynccontextmanager
async def pair(folder: Path, target: Target, **options: Any) -> AsyncIterator[Pair]:
    async with fake.running() as upstream:
        upstream.answer(_model)
        settings = {"data": folder / "data", "sandbox": "none", "upstream_url": upstream.url, "default_model": "fake"}
        settings |= {"run_lease_seconds": 2, "background_running": 1, "mcp_allow": target.place}
        with ExitStack() as stack:
            first, kill = await asyncio.to_thread(stack.enter_context, killable(folder / "1.log", **settings))
            other, _ = await asyncio.to_thread(stack.enter_context, killable(folder / "2.log", **settings))
            clients = [httpx.AsyncClient(base_url=f"{url}/v1", timeout=60, trust_env=False) for url in (first, other)]
            async with clients[0], clients[1]:
                tool = target.tool(require_approval="always", **options)
                yield Pair(clients[0], clients[1], kill, upstream, tool)


async def test_a_call_that_was_under_way_is_not_made_again(tmp_path: Path) -> None:
    async with mcp_server() as target, pair(tmp_path, target) as servers:
        asked, leave = await servers.asked("wait")
        begun = await servers.begun(previous_response_id=asked, input=[leave])
        while target.made != ["wait"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await _shown(servers.other, begun)
        servers.kill()
        failed = await _until(servers.other, begun, "failed")
        (item,) = failed["output"]
        assert (item["type"], item["status"], item["output"]) == ("mcp_call", "incomplete", None)
        assert item["approval_request_id"] == leave["approval_request_id"]
        # Whoever goes on from there knows, and so does the model.
        body = {"previous_response_id": begun, "input": "And now?", "tools": [servers.tool]}
        assert (await servers.other.post("/responses", json=body)).json()["status"] == "completed"
        told = [message["content"] for message in servers.upstream.bodies[-1]["messages"] if message["role"] == "tool"]
        assert told == ["The call was interrupted: it may have been made."]
        assert target.made == ["wait"]
        # Leave that is given again, before the failed response, is leave for another call.
        again = {"previous_response_id": asked, "input": [leave], "tools": [servers.tool], "background": True}
        await servers.other.post("/responses", json=again)
        while target.made != ["wait", "wait"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_call_that_had_not_begun_is_made_by_another_process(tmp_path: Path) -> None:
    async with mcp_server("s3cret") as target, pair(tmp_path, target, authorization="s3cret") as servers:
        asked, leave = await servers.asked("delete")
        # Both processes are busy, so what comes next waits.
        for client in (servers.first, servers.other):
            reply = await client.post("/responses", json={"input": HANGS, "background": True})
            await _until(servers.first, busy := reply.json()["id"], "in_progress")
        waits = await servers.begun(previous_response_id=asked, input=[leave])
        servers.kill()
        await servers.other.post(f"/responses/{busy}/cancel")
        done = await _until(servers.other, waits, "completed")
        assert [item["type"] for item in done["output"]] == ["mcp_call", "message"]
        assert (done["output"][0]["output"], target.made) == ("x is gone", ["delete"])


async def _shown(client: httpx.AsyncClient, id: str) -> None:
    """Returns when the call can be seen."""
    while not (await client.get(f"/responses/{id}")).json()["output"]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
