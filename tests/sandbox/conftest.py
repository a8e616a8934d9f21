"""The real drivers on the real image."""

from __future__ import annotations

import functools
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import sandboxes

from sandbox import Sandbox, Session
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.build import export
from sandbox.docker import DockerSandbox

NewDriver = Callable[[], Sandbox]
DRIVERS = ["docker", *(["bubblewrap"] if shutil.which("bwrap") else [])]


@pytest.fixture(scope="session")
def image() -> str:
    return sandboxes.image()


@pytest.fixture(scope="session")
def rootfs(image: str) -> Path:
    """The image, unpacked where whoever runs sessions may look."""
    folder = Path("/var/tmp/tools-runtime-tests/sandbox")
    export(image, folder)
    return folder


@pytest.fixture
def owner() -> str:
    """Nobody else's: test runs share one engine."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(params=[driver for driver in DRIVERS if driver == "bubblewrap"])
def bubblewrap(request: pytest.FixtureRequest, rootfs: Path) -> Callable[[str], Sandbox]:
    """Makes bubblewrap drivers, from an owner; for tests that run where there is a bwrap."""
    return functools.partial(BubblewrapSandbox, rootfs)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DRIVERS)
async def new_driver(request: pytest.FixtureRequest, image: str) -> AsyncIterator[NewDriver]:
    """Makes drivers of one kind, each with an owner of its own."""
    drivers: list[Sandbox] = []

    def made() -> Sandbox:
        owner = f"test-{uuid.uuid4().hex}"
        if request.param == "docker":
            drivers.append(DockerSandbox(image, owner))
        else:
            drivers.append(BubblewrapSandbox(request.getfixturevalue("rootfs"), owner))
        return drivers[-1]

    yield made
    for driver in drivers:
        await driver.sweep()
        await driver.aclose()


@pytest.fixture(scope="module")
def driver(new_driver: NewDriver) -> Sandbox:
    return new_driver()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(driver: Sandbox) -> AsyncIterator[Session]:
    """One session for the tests of a module: what one of them does to it, it must survive."""
    session = await driver.create(sandboxes.SMALL)
    yield session
    await session.close()
