"""MCP servers as tools, by the clients that people use, against the whole server: ``openai`` and the Agents SDK."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import agents
import pytest
from mcp_servers import Target, mcp_server
from openai import APIStatusError, AsyncOpenAI
from openai.types.responses.response_output_item import McpApprovalRequest, McpCall, McpListTools

from e2e.servers import Model, call, say, serving, settings

DELETE = call("mcp__demo__delete", name="x")
TOKEN = "s3cret-token"


@contextlib.asynccontextmanager
async def place(folder: Path, model: Model, **options: Any) -> AsyncIterator[tuple[AsyncOpenAI, Target]]:
    """A client of a server that may reach an MCP server which asks for a token."""
    async with mcp_server(TOKEN) as target:
        configured = settings(folder, **({"sandbox": "none", "mcp_allow": (target.place,)} | options))
        with serving(configured, model) as server:
            async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
                yield client, target


async def test_openai_package_lists_calls_and_approves(tmp_path: Path) -> None:
    model = Model()
    model.plays(call("mcp__demo__add", a=40, b=2), say("It is 42."), DELETE, say("Gone."))
    async with place(tmp_path, model) as (client, target):
        tool: Any = target.tool(authorization=TOKEN, require_approval={"never": {"read_only": True}})
        async with client.responses.stream(model="any", input="40 + 2?", tools=[tool]) as stream:
            types = [event.type async for event in stream]
            first = await stream.get_final_response()
        listing, made, _ = first.output
        assert isinstance(listing, McpListTools) and listing.tools[0].name == "add"
        assert isinstance(made, McpCall) and (made.output, made.error) == ("42", None)
        assert "response.mcp_call.completed" in types and first.output_text == "It is 42."
        second = await client.responses.create(
            model="any", input="Delete x.", tools=[tool], previous_response_id=first.id
        )
        (request,) = second.output
        assert isinstance(request, McpApprovalRequest) and target.made == ["add"]
        third = await client.responses.create(
            model="any",
            input=[{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}],
            tools=[tool],
            previous_response_id=second.id,
        )
        made = third.output[0]
        assert isinstance(made, McpCall) and made.approval_request_id == request.id
        assert (made.output, third.output_text, target.made) == ("x is gone", "Gone.", ["add", "delete"])
        assert target.count("tools/list") == 1
        stored = await client.responses.retrieve(third.id)
        assert stored.output[0] == made and TOKEN not in stored.to_json()


async def test_openai_package_raises_openais_error_for_a_list_that_cannot_be_had(tmp_path: Path) -> None:
    async with place(tmp_path, Model(), mcp_allow=()) as (client, target):
        tool: Any = target.tool(authorization=TOKEN)
        with pytest.raises(APIStatusError) as raised:
            await client.responses.create(model="any", input="hi", tools=[tool])
        assert (raised.value.status_code, raised.value.code, raised.value.type) == (
            424,
            "http_error",
            "external_connector_error",
        )
        assert target.asked == []


@pytest.mark.parametrize("approve", [True, False])
async def test_agents_sdk_asks_its_callback(tmp_path: Path, approve: bool) -> None:
    model = Model()
    model.plays(DELETE, say("Done."), say("As I said."))
    asked: list[str] = []

    def decide(request: agents.MCPToolApprovalRequest) -> agents.MCPToolApprovalFunctionResult:
        asked.append(f"{request.data.name} {request.data.arguments}")
        return {"approve": approve, "reason": "My cat."}

    async with place(tmp_path, model) as (client, target):
        tool: Any = target.tool(authorization=TOKEN, require_approval="always")
        agent = agents.Agent[None](
            name="keeper",
            model=agents.OpenAIResponsesModel(model="any", openai_client=client),
            tools=[agents.HostedMCPTool(tool_config=tool, on_approval_request=decide)],
        )
        config = agents.RunConfig(tracing_disabled=True)
        first = await agents.Runner.run(agent, "Delete x.", run_config=config)
        again = [*first.to_input_list(), {"role": "user", "content": "What did you do?"}]
        second = agents.Runner.run_streamed(agent, again, run_config=config)  # type: ignore[arg-type]
        async for _ in second.stream_events():
            pass
        assert target.count("tools/list") == 1
    assert asked == ['delete {"name":"x"}']
    assert (first.final_output, second.final_output) == ("Done.", "As I said.")
    assert target.made == (["delete"] if approve else [])
    told = "x is gone" if approve else "The user has refused this call. My cat."
    for prompt in model.prompts[1:]:
        assert sum(told in str(item) for item in prompt.items) == 1
