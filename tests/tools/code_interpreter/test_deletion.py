"""Containers that are deleted while something goes on in them."""

from __future__ import annotations

import asyncio

import interpreters
import pytest
from sandboxes import FakeSandbox, FakeSession, until

from sandbox import SandboxUnavailable, Spec


class _Slow(FakeSandbox):
    """Files go into its sessions when ``open`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def create(self, spec: Spec) -> FakeSession:
        session = await super().create(spec)
        put = session.put

        async def slowly(name: str, data: bytes) -> None:
            await self.open.wait()
            await put(name, data)

        session.put = slowly  # type: ignore[method-assign]
        return session


async def test_a_container_that_is_deleted_while_it_begins_leaves_no_session() -> None:
    sandbox = _Slow()
    async with interpreters.serving(sandbox) as containers:
        options = containers.options.chosen("named", None, None)
        made = await containers.create("me", options, {"a.txt": b"x"})
        container = await containers.use("me", made.id, "container")
        running = asyncio.create_task(containers.execute(container, "1"))
        await until(lambda: sandbox.sessions)
        assert await containers.delete("me", made.id)
        sandbox.open.set()
        with pytest.raises(SandboxUnavailable, match="deleted"):
            await running
        (session,) = sandbox.sessions
        assert not session.alive and session.cells == []
        assert await containers.find("me", made.id) is None
