"""The warm pool, around a driver without machines and around a real one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
from sandboxes import SMALL, FakeSandbox, FakeSession, nothing, printed, run, until

from sandbox import Sandbox, SandboxFull, SandboxUnavailable, Spec
from sandbox.docker import DockerSandbox
from sandbox.pool import WarmPool

OTHER = Spec(memory_bytes=2 * SMALL.memory_bytes)

NewPool = Callable[..., WarmPool]


class Gated(FakeSandbox):
    """Starts sessions when it is let, and remembers how many starts there were at a time."""

    def __init__(self) -> None:
        super().__init__(nothing)
        self.gate = asyncio.Event()
        self.broken = False
        self.asked: list[Spec] = []
        self.starting = self.most_starting = 0

    async def create(self, spec: Spec) -> FakeSession:
        self.asked.append(spec)
        if self.broken:
            raise SandboxUnavailable("no engine")
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            return await super().create(spec)
        finally:
            self.starting -= 1

    @property
    def living(self) -> list[FakeSession]:
        return [session for session in self.sessions if session.alive]


@pytest_asyncio.fixture
async def new_pool() -> AsyncIterator[NewPool]:
    pools: list[WarmPool] = []

    def made(sandbox: Sandbox, warm: Mapping[Spec, int], sessions: int = 100) -> WarmPool:
        pools.append(WarmPool(sandbox, warm, memory_bytes=sessions * SMALL.memory_bytes))
        return pools[-1]

    yield made
    for pool in pools:
        await pool.aclose()


@pytest.fixture
def sandbox() -> Gated:
    sandbox = Gated()
    sandbox.gate.set()
    return sandbox


async def test_sessions_are_kept_ready_and_handed_out_once(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 2})
    assert sandbox.sessions == []
    assert await pool.sweep() == 0 and sandbox.swept == 1
    await until(lambda: len(sandbox.sessions) == 2)
    warm = list(sandbox.sessions)
    sandbox.gate.clear()
    taken = [await pool.create(SMALL) for _ in range(2)]
    assert taken == warm
    sandbox.gate.set()
    await until(lambda: len(sandbox.sessions) == 4)
    for session in taken:
        await session.close()
    assert {await pool.create(SMALL) for _ in range(2)} == set(sandbox.sessions[2:4])


async def test_other_sizes_are_started_when_asked_for(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 1})
    await pool.sweep()
    await until(lambda: sandbox.sessions)
    session = await pool.create(OTHER)
    assert session is sandbox.sessions[-1] and sandbox.sessions[-1].spec == OTHER


@pytest.mark.parametrize("warm", [{}, {SMALL: 0}])
async def test_a_pool_may_keep_nothing_warm(new_pool: NewPool, sandbox: Gated, warm: dict[Spec, int]) -> None:
    pool = new_pool(sandbox, warm)
    await pool.sweep()
    assert (await pool.create(SMALL)).alive
    await asyncio.sleep(0.01)
    assert len(sandbox.sessions) == 1


async def test_few_sessions_start_at_a_time(new_pool: NewPool) -> None:
    sandbox = Gated()
    pool = new_pool(sandbox, {SMALL: 4})
    await pool.sweep()
    waiting = [asyncio.create_task(pool.create(SMALL)) for _ in range(20)]
    await until(lambda: sandbox.starting)
    sandbox.gate.set()
    assert len({id(await task) for task in waiting}) == 20
    assert sandbox.most_starting <= max(1, (os.cpu_count() or 1) // 2)


async def test_a_dead_session_is_not_handed_out_and_is_replaced(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 2})
    await pool.sweep()
    await until(lambda: len(sandbox.sessions) == 2)
    first, second = sandbox.sessions
    first.alive = False
    assert await pool.create(SMALL) is second
    await until(lambda: len(sandbox.living) == 3)


async def test_the_death_of_a_warm_session_is_noticed_without_being_asked(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 1})
    await pool.sweep()
    await until(lambda: sandbox.sessions)
    sandbox.sessions[0].alive = False
    await until(lambda: len(sandbox.sessions) == 2)


async def test_a_full_pool_says_when_to_come_again(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 2}, sessions=3)
    await pool.sweep()
    results = await asyncio.gather(*(pool.create(SMALL) for _ in range(50)), return_exceptions=True)
    full = [result for result in results if isinstance(result, SandboxFull)]
    assert len(full) == 47 and len(sandbox.living) == 3 and full[0].retry_after > 0
    await sandbox.sessions[0].close()
    assert (await pool.create(SMALL)).alive


async def test_what_sessions_take_beyond_their_size_counts(new_pool: NewPool, sandbox: Gated) -> None:
    sandbox.overhead = SMALL.memory_bytes // 2
    pool = new_pool(sandbox, {SMALL: 3}, sessions=3)
    await pool.sweep()
    await until(lambda: len(sandbox.sessions) == 2)
    assert pool.promised_bytes == 3 * SMALL.memory_bytes
    await asyncio.sleep(0.01)
    assert len(sandbox.sessions) == 2
    taken = [await pool.create(SMALL) for _ in range(2)]
    with pytest.raises(SandboxFull):
        await pool.create(SMALL)
    assert sandbox.living == taken


async def test_warm_sessions_make_room_for_those_that_are_asked_for(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 2}, sessions=3)
    await pool.sweep()
    await until(lambda: len(sandbox.sessions) == 2)
    large = await pool.create(OTHER)
    assert large.alive and len(sandbox.living) == 2
    await asyncio.sleep(0.01)
    with pytest.raises(SandboxFull):
        await pool.create(OTHER)


async def test_what_cannot_be_started_is_tried_again_later(new_pool: NewPool, sandbox: Gated) -> None:
    sandbox.broken = True
    pool = new_pool(sandbox, {SMALL: 1})
    await pool.sweep()
    await until(lambda: sandbox.asked)
    with pytest.raises(SandboxUnavailable, match="no engine"):
        await pool.create(SMALL)
    sandbox.broken = False
    assert (await pool.create(SMALL)).alive
    await until(lambda: len(sandbox.sessions) == 2)


async def test_a_cancelled_start_gives_its_room_back(new_pool: NewPool) -> None:
    sandbox = Gated()
    pool = new_pool(sandbox, {}, sessions=1)
    creating = asyncio.create_task(pool.create(SMALL))
    await until(lambda: sandbox.starting)
    with pytest.raises(SandboxFull):
        await pool.create(SMALL)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    sandbox.gate.set()
    assert (await pool.create(SMALL)).alive


async def test_closing_ends_what_is_warm_or_being_started(new_pool: NewPool, sandbox: Gated) -> None:
    pool = new_pool(sandbox, {SMALL: 2})
    await pool.sweep()
    await until(lambda: len(sandbox.sessions) == 2)
    sandbox.gate.clear()
    taken = await pool.create(SMALL)
    await until(lambda: sandbox.starting)
    await pool.aclose()
    assert sandbox.living == [taken] and sandbox.starting == 0


@pytest.mark.docker
async def test_real_sessions_are_warm_and_fresh(new_pool: NewPool, image: str, owner: str) -> None:
    pool = new_pool(DockerSandbox(image, owner), {SMALL: 1})
    await pool.sweep()
    first = await pool.create(SMALL)
    await run(first, "kept = 1\nopen('kept', 'w').close()")
    await first.close()
    second = await pool.create(SMALL)
    look = "import os\nprint('kept' in globals(), os.listdir())"
    assert printed(await run(second, look)) == "False []\n"
    await second.close()
