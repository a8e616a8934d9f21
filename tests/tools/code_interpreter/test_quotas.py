"""What an owner has used: counted in memory, kept in the database, by the clock hour."""

from __future__ import annotations

from pathlib import Path

import interpreters
import pytest
from interpreters import Clock
from sandboxes import FakeSandbox

from tools_runtime.errors import ApiError
from tools_runtime.stores import ContainerUsage


async def test_what_was_counted_outlives_the_server(tmp_path: Path) -> None:
    async with interpreters.serving(FakeSandbox(), tmp_path, sandbox_hourly_cpu_seconds=10) as containers:
        containers.quotas.record("me", ContainerUsage(cells=1, cpu_seconds=6))
        await containers.flush()
        containers.quotas.record("me", ContainerUsage(cells=1, cpu_seconds=5))
        assert (await containers.quotas.used("me")).cpu_seconds == 11
    async with interpreters.serving(FakeSandbox(), tmp_path, sandbox_hourly_cpu_seconds=10) as containers:
        assert await containers.quotas.used("me") == ContainerUsage(cells=2, cpu_seconds=11)
        with pytest.raises(ApiError, match="10 code_interpreter processor seconds an hour"):
            await containers.quotas.check("me")
        await containers.quotas.check("them")


async def test_each_hour_begins_at_nothing() -> None:
    clock = Clock()
    async with interpreters.serving(FakeSandbox(), clock=clock, sandbox_hourly_calls=1) as containers:
        containers.quotas.record("me", ContainerUsage(cells=1))
        with pytest.raises(ApiError) as caught:
            await containers.quotas.check("me")
        assert caught.value.retry_after is not None
        clock.ahead += caught.value.retry_after
        await containers.quotas.check("me")
        await containers.flush()
        assert await containers.quotas.used("me") == ContainerUsage()
