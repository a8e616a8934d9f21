"""Several machines as one driver: each has an engine and a warm pool of its own, and the least loaded is asked first.

A machine that does not answer is left out until it answers again. Its sessions have ended; those of others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sandbox import SandboxFull, SandboxUnavailable, Session, Spec
from sandbox.pool import WarmPool

RETRY_SECONDS = 10.0
"""How often a machine that is out is tried again."""

logger = logging.getLogger(__name__)


class Machine(Protocol):
    """The driver of one machine; ``DockerSandbox`` is one."""

    memory_bytes: int
    """What the machine has."""


@dataclass
class Host:
    """``complaint``: why nothing is asked of it; None while it is in. ``swept``: no orphans are left there."""

    name: str
    engine: Machine
    pool: WarmPool
    complaint: str | None = "It has not been asked yet."
    swept: bool = False

    @property
    def load(self) -> float:
        """Memory that is promised to sessions, as a share of what the machine has."""
        return self.pool.promised_bytes / self.engine.memory_bytes


class Hosts:
    name = "docker"

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._watch: asyncio.Task[None] | None = None

    async def create(self, spec: Spec) -> Session:
        full: SandboxFull | None = None
        for host in sorted(self._in(), key=lambda host: host.load):
            try:
                return await host.pool.create(spec)
            except SandboxFull as error:
                full = error
            except SandboxUnavailable as error:
                _leave_out(host, error)
        raise full or SandboxUnavailable(" ".join(f"{host.name}: {host.complaint}" for host in self._hosts))

    async def sweep(self) -> int:
        removed = await asyncio.gather(*(self._admit(host) for host in self._hosts))
        if self._watch is None:
            self._watch = asyncio.create_task(self._readmit())
        return sum(removed)

    async def probe(self) -> str:
        found = await asyncio.gather(*(host.pool.probe() for host in self._hosts), return_exceptions=True)
        lines = [f"{host.name}: {line}" for host, line in zip(self._hosts, found, strict=True)]
        for line in found:
            if isinstance(line, BaseException) and not isinstance(line, SandboxUnavailable):
                raise line
        if all(isinstance(line, BaseException) for line in found):
            raise SandboxUnavailable(" Or: ".join(lines))
        return "; ".join(lines)

    async def aclose(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await asyncio.gather(*(host.pool.aclose() for host in self._hosts))

    @property
    def names(self) -> list[str]:
        """Of the machines that sessions may go to."""
        return [host.name for host in self._in()]

    def _in(self) -> list[Host]:
        return [host for host in self._hosts if host.complaint is None]

    async def _admit(self, host: Host) -> int:
        """Lets a machine in that answers, once it is rid of what an earlier server left there."""
        removed = 0
        try:
            await host.pool.probe()
            if not host.swept:
                removed = await host.pool.sweep()
                host.swept = True
        except SandboxUnavailable as error:
            _leave_out(host, error)
            return 0
        host.complaint = None
        logger.info("%s runs sandboxes", host.name)
        return removed

    async def _readmit(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await asyncio.gather(*(self._admit(host) for host in self._hosts if host.complaint is not None))


def _leave_out(host: Host, error: SandboxUnavailable) -> None:
    if host.complaint != str(error):
        logger.warning("%s runs no sandboxes for the time being: %s", host.name, error)
    host.complaint = str(error)
