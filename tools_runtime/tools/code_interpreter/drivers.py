"""Which sandbox drivers the settings ask for, and which of them is there."""

from __future__ import annotations

from collections.abc import Sequence

from sandbox import Sandbox, SandboxUnavailable
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.docker import DockerSandbox
from tools_runtime.settings import Settings


def configured(settings: Settings, owner: str) -> tuple[Sandbox, ...]:
    """In the order in which they are tried. ``owner`` names this server to them. None is started yet."""
    docker = DockerSandbox(settings.sandbox_image, owner, settings.sandbox_runtime)
    bubblewrap = BubblewrapSandbox(settings.sandbox_rootfs, owner)
    match settings.sandbox:
        case "auto":
            return docker, bubblewrap
        case "docker":
            return (docker,)
        case "bubblewrap":
            return (bubblewrap,)
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
