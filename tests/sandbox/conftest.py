"""The real drivers on the real image."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import sandboxes

from sandbox import Sandbox, Session
from sandbox.docker import DockerSandbox

NewDriver = Callable[[], Sandbox]
DRIVERS = ["docker"]


@pytest.fixture(scope="session")
def image() -> str:
    return sandboxes.image()


@pytest.fixture
def owner() -> str:
    """Nobody else's: test runs share one engine."""
    return f"test-{uuid.uuid4().hex}"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DRIVERS)
async def new_driver(request: pytest.FixtureRequest, image: str) -> AsyncIterator[NewDriver]:
    """Makes drivers of one kind, each with an owner of its own."""
    drivers: list[Sandbox] = []

    def made() -> Sandbox:
        owner = f"test-{uuid.uuid4().hex}"
        drivers.append(DockerSandbox(image, owner))
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
