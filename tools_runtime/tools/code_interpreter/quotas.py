"""What one owner's containers may use, and the count of what they used. Who has used it up gets HTTP 429, or for stored
files 400: those do not go away by waiting.

What is used is counted in memory and written from time to time, so that a cell costs no transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from tools_runtime import metrics
from tools_runtime.errors import ApiError
from tools_runtime.settings import Settings
from tools_runtime.stores import ContainerUsage
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.containers import ContainerStore

_HOUR = 3600


class Quotas:
    """``clock`` tells the seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        containers: ContainerStore,
        files: ContainerFileStore,
        usage: ContainerUsageStore,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._containers = containers
        self._files = files
        self._usage = usage
        self._now = clock
        self._written: dict[tuple[str, int], ContainerUsage] = {}
        self._unwritten: dict[tuple[str, int], ContainerUsage] = {}

    async def check(self, owner: str) -> None:
        """Raises a 429 ``ApiError`` when the owner has used up this hour's calls, processor time or bytes."""
        used, settings = await self.used(owner), self._settings
        for name, amount, limit in (
            ("calls", used.cells, settings.sandbox_hourly_calls),
            ("processor seconds", used.cpu_seconds, settings.sandbox_hourly_cpu_seconds),
            ("bytes", used.bytes_in + used.bytes_out, settings.sandbox_hourly_bytes),
        ):
            if amount >= limit:
                raise exceeded(
                    f"The limit of {limit:g} code_interpreter {name} an hour is reached.", _HOUR - self._now() % _HOUR
                )

    async def check_containers(self, owner: str) -> None:
        """Raises a 429 ``ApiError`` when the owner may not have one more container."""
        limit = self._settings.sandbox_owner_containers
        count, first_ends = await self._containers.running(owner)
        if count >= limit:
            raise exceeded(f"The limit of {limit} containers is reached.", first_ends - self._now())

    async def check_storage(self, owner: str, size: int, param: str) -> None:
        """Raises a 400 ``ApiError`` when a file of ``size`` bytes may not be kept."""
        files, room = await self.room(owner)
        if files < 1 or size > room:
            raise ApiError(
                "There is no room for this file. Delete containers or files of theirs that you no longer need.",
                param=param,
                code="container_storage_exceeded",
            )

    async def room(self, owner: str) -> tuple[int, int]:
        """How many more files of the owner may be kept, and how many bytes."""
        files, size = await self._files.stored(owner)
        return self._settings.sandbox_owner_files - files, self._settings.sandbox_owner_bytes - size

    async def used(self, owner: str) -> ContainerUsage:
        """What the owner's containers did in this clock hour."""
        key = owner, self._hour()
        if key not in self._written:
            self._written[key] = await self._usage.get(*key)
        return self._written[key] + self._unwritten.get(key, ContainerUsage())

    def record(self, owner: str, usage: ContainerUsage) -> None:
        metrics.container_cpu.inc(usage.cpu_seconds)
        metrics.container_bytes.labels("in").inc(usage.bytes_in)
        metrics.container_bytes.labels("out").inc(usage.bytes_out)
        key = owner, self._hour()
        self._unwritten[key] = self._unwritten.get(key, ContainerUsage()) + usage

    async def flush(self) -> None:
        """Writes what was counted, and forgets the hours that are over."""
        counted, self._unwritten = self._unwritten, {}
        for (owner, hour), usage in counted.items():
            self._written.pop((owner, hour), None)
            await self._usage.add(owner, hour, usage)
        hour = self._hour()
        self._written = {key: usage for key, usage in self._written.items() if key[1] == hour}

    def _hour(self) -> int:
        return int(self._now() // _HOUR)


def exceeded(message: str, seconds: float) -> ApiError:
    """A 429, and in how many seconds it is worth trying again."""
    return ApiError(
        message, status=429, type="rate_limit_error", code="rate_limit_exceeded", retry_after=max(seconds, 1)
    )
