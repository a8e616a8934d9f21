"""Sessions that nobody needs any more: begun for code that never came, or dead and not yet noticed."""

from __future__ import annotations

import asyncio
from typing import Any

import interpreters
import pytest
from sandboxes import FakeSandbox, until

from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.tools import CodeInterpreterTool
from tools_runtime.settings import Settings
from tools_runtime.tools import HostedCall, Scope
from tools_runtime.tools.code_interpreter import CodeInterpreter
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.sources import Sources


async def no_file(owner: str, file_id: str) -> tuple[str, bytes]:
    raise AssertionError


async def call(containers: Containers, container: Any) -> HostedCall:
    tool = CodeInterpreter(containers, Settings(), no_file)
    options = CodeInterpreterTool(type="code_interpreter", container=container)
    scope = Scope("me", "resp_1", CreateResponse(model="m", input="hi"), (), Sources())
    return (await tool.bind(options, scope, "tools[0]")).call("code_interpreter", lambda event: None)


@pytest.mark.parametrize("early", [True, False], ids=["before it has begun", "once it has begun"])
async def test_a_session_for_code_that_never_came_is_ended(early: bool) -> None:
    sandbox = FakeSandbox()
    async with interpreters.serving(sandbox) as containers:
        begun = await call(containers, {"type": "auto"})
        begun.argument_delta('{"code": "pri')
        if not early:
            await until(lambda: sandbox.sessions)
        begun.close("incomplete")
        await until(lambda: sandbox.sessions and not sandbox.sessions[0].alive)
        found = await containers.store.get("me", begun.item.container_id)  # type: ignore[union-attr]
        assert found is not None and found.expired
        # The response may still go on, with another call: the container begins again.
        again = await call(containers, {"type": "auto"})
        again.argument_delta('{"code": "1"}')
        assert await again.run('{"code": "1"}') == "(no output)"
        again.close("incomplete")
        await asyncio.sleep(0)
        assert sandbox.sessions[1].alive


async def test_a_machine_that_has_died_makes_room_before_one_that_works() -> None:
    sandbox = FakeSandbox()
    async with interpreters.serving(sandbox, sandbox_max_sessions=2) as containers:
        for name in ("older", "newer", "another"):
            options = containers.options.chosen(name, None, None)
            await containers.execute(containers.new("me", options), "1")
            if name == "newer":
                sandbox.sessions[1].alive = False
        assert [session.alive for session in sandbox.sessions] == [True, False, True]


async def test_a_container_of_the_clients_own_keeps_its_session() -> None:
    sandbox = FakeSandbox()
    async with interpreters.serving(sandbox) as containers:
        made = await containers.create("me", containers.options.chosen("mine", None, None), {})
        begun = await call(containers, made.id)
        begun.argument_delta('{"code": "pri')
        begun.close("incomplete")
        await until(lambda: sandbox.sessions)
        for _ in range(20):
            await asyncio.sleep(0)
        assert sandbox.sessions[0].alive and await containers.find("me", made.id) is not None
