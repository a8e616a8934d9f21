from __future__ import annotations

import asyncio

import pytest

from tools_runtime.search.cache import Cache


async def test_values_are_kept_for_their_time_only() -> None:
    now = [0.0]
    cache: Cache[str] = Cache(seconds=10, capacity=10, clock=lambda: now[0])
    cache.put("a", "1")
    now[0] = 9
    assert cache.get("a") == "1"
    now[0] = 10
    assert cache.get("a") is None


async def test_the_longest_unused_makes_room() -> None:
    cache: Cache[str] = Cache(seconds=10, capacity=6, size=len)
    cache.put("a", "xxx")
    cache.put("b", "xxx")
    cache.get("a")
    cache.put("c", "xx")
    assert [cache.get(key) for key in "abc"] == ["xxx", None, "xx"]
    cache.put("a", "x")
    cache.put("d", "xxx")
    assert [cache.get(key) for key in "acd"] == ["x", "xx", "xxx"]
    cache.put("e", "x" * 7)
    assert [cache.get(key) for key in "acde"] == [None] * 4


async def test_what_many_ask_for_at_once_is_made_once() -> None:
    cache: Cache[int] = Cache(seconds=10, capacity=10)
    made: list[int] = []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0)
        return 7

    assert await asyncio.gather(*(cache.get_or_make("a", make) for _ in range(5))) == [7] * 5
    assert await cache.get_or_make("a", make) == 7
    assert len(made) == 1


async def test_failures_reach_all_and_are_not_kept() -> None:
    cache: Cache[int] = Cache(seconds=10, capacity=10)

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError

    async def make() -> int:
        return 1

    failures = await asyncio.gather(*(cache.get_or_make("a", fail) for _ in range(2)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [ValueError] * 2
    assert await cache.get_or_make("a", make) == 1


async def test_making_goes_on_while_anybody_waits_and_is_cancelled_after() -> None:
    cache: Cache[int] = Cache(seconds=10, capacity=10)
    go = asyncio.Event()
    cancelled: list[int] = []

    async def make() -> int:
        try:
            await go.wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise
        return 1

    first, second = (asyncio.create_task(cache.get_or_make("a", make)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == 1 and not cancelled
    go.clear()
    third = asyncio.create_task(cache.get_or_make("b", make))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    await asyncio.sleep(0)
    assert cancelled == [1]
