"""The real driver on the real image."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sandboxes

from sandbox.docker import DockerSandbox
from sandbox.session import StreamSession


@pytest.fixture(scope="session")
def image() -> str:
    return sandboxes.image()


@pytest.fixture
def owner() -> str:
    """Nobody else's: test runs share one engine."""
    return f"test-{uuid.uuid4().hex}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver(image: str) -> AsyncIterator[DockerSandbox]:
    driver = DockerSandbox(image, owner=f"test-{uuid.uuid4().hex}")
    yield driver
    await driver.sweep()
    await driver.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(driver: DockerSandbox) -> AsyncIterator[StreamSession]:
    """One session for the tests of a module: what one of them does to it, it must survive."""
    session = await driver.create(sandboxes.SMALL)
    yield session
    await session.close()
