"""Containers that two server processes use by turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import interpreters
import pytest
from interpreters import Clock
from sandboxes import FakeSandbox

from tools_runtime.tools.code_interpreter.containers import Containers


@dataclass
class Worker:
    sandbox: FakeSandbox
    containers: Containers

    async def runs(self, id: str) -> None:
        container = await self.containers.use("me", id, "container")
        await self.containers.execute(container, "1")

    @property
    def alive(self) -> list[bool]:
        return [session.alive for session in self.sandbox.sessions]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pair(tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[Worker, Worker]]:
    async with AsyncExitStack() as stack:
        found = []
        for name in ("one", "two"):
            sandbox = FakeSandbox()
            serving = interpreters.serving(sandbox, tmp_path, clock, name)
            found.append(Worker(sandbox, await stack.enter_async_context(serving)))
        yield found[0], found[1]


async def made(worker: Worker) -> str:
    options = worker.containers.options.chosen("named", None, None)
    return (await worker.containers.create("me", options, {"a.txt": b"a"})).id


async def test_a_session_is_not_used_again_after_another_worker_has_begun_one(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    id = await made(one)
    await one.runs(id)
    await two.runs(id)
    assert (one.alive, two.alive) == ([True], [True])
    await two.containers.upload("me", id, "a.txt", b"two", "file")
    await one.runs(id)
    assert one.alive == [False, True]
    assert one.sandbox.sessions[-1].stored == {"a.txt": b"two"}
    await two.containers.sweep()
    assert two.alive == [False]


async def test_files_that_come_and_go_by_another_worker_are_in_the_next_cell(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    id = await made(one)
    await one.runs(id)
    (first,) = await two.containers.files.current("me", id)
    await two.containers.upload("me", id, "b.txt", b"b", "file")
    assert await two.containers.remove("me", id, first.id)
    await one.runs(id)
    assert one.alive == [True]
    assert one.sandbox.sessions[0].stored == {"b.txt": b"b"}


async def test_a_container_that_another_worker_deletes_ends(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    id = await made(one)
    await one.runs(id)
    await two.containers.delete("me", id)
    await one.containers.sweep()
    assert one.alive == [False]


async def test_use_by_any_worker_puts_off_expiry(pair: tuple[Worker, Worker], clock: Clock) -> None:
    one, two = pair
    id = await made(one)
    await one.runs(id)
    clock.ahead = 15 * 60
    await two.containers.touch("me", id)
    await one.containers.flush()
    clock.ahead = 25 * 60
    await one.containers.sweep()
    assert one.alive == [True]
    clock.ahead = 40 * 60
    await one.containers.sweep()
    assert one.alive == [False]
