"""Which sandbox drivers the settings ask for, and which of them is there."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox import Sandbox, SandboxUnavailable
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandbox.hosts import Host, Hosts
from sandbox.pool import Driver, WarmPool
from tools_runtime.settings import Settings
from tools_runtime.tools.code_interpreter.options import warm


def configured(settings: Settings, owner: str) -> tuple[Sandbox, ...]:
    """In the order in which they are tried, each with its warm pool. ``owner`` names this server to them. None is
    started yet."""
    match settings.sandbox:
        case "auto":
            return _docker(settings, owner), _bubblewrap(settings, owner)
        case "docker":
            return (_docker(settings, owner),)
        case "bubblewrap":
            return (_bubblewrap(settings, owner),)
        case "none":
            return ()


async def first(drivers: Sequence[Sandbox]) -> tuple[Sandbox, str]:
    """The first driver that is there, and what it says of itself.

    Raises ``SandboxUnavailable`` with what each of them lacks.
    """
    complaints = []
    for driver in drivers:
        try:
            return driver, await driver.probe()
        except SandboxUnavailable as error:
            complaints.append(str(error))
            await driver.aclose()
        except BaseException:
            await driver.aclose()
            raise
    raise SandboxUnavailable(" Or: ".join(complaints))


def _docker(settings: Settings, owner: str) -> Sandbox:
    if not settings.sandbox_hosts:
        return _pool(settings, _engine(settings, owner, None))
    hosts = []
    for url in settings.sandbox_hosts:
        tls = settings.sandbox_certificates if url.startswith("tcp://") else None
        engine = _engine(settings, owner, Address(url, tls))
        hosts.append(Host(url, engine, _pool(settings, engine)))
    return Hosts(hosts)


def _engine(settings: Settings, owner: str, address: Address | None) -> DockerSandbox:
    return DockerSandbox(settings.sandbox_image, owner, settings.sandbox_runtime, address)


def _bubblewrap(settings: Settings, owner: str) -> Sandbox:
    return _pool(settings, BubblewrapSandbox(settings.sandbox_rootfs, owner))


def _pool(settings: Settings, driver: Driver) -> WarmPool:
    return WarmPool(driver, warm(settings), settings.sandbox_total_memory_bytes)
