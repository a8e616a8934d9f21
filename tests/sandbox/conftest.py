"""The real drivers on the real image."""

from __future__ import annotations

import functools
import os
import random
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import campaigns
import pytest
import pytest_asyncio
import sandboxes
from engines import SecondEngine, engine, podman
from sandboxes import Shared

from sandbox import Sandbox, Session
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.build import export
from sandbox.docker import DockerSandbox
from sandbox.engine import Address
from sandbox.flags import GVISOR

NewDriver = Callable[[], Sandbox]
KINDS = [
    "docker",
    *(["bubblewrap"] if shutil.which("bwrap") else []),
    *(["gvisor"] if "CI" in os.environ or (shutil.which(GVISOR) and os.geteuid() == 0) else []),
    *(["podman"] if "CI" in os.environ or (shutil.which("podman") and os.geteuid() == 0) else []),
]
"""gVisor needs an engine of the tests' own, and that needs root. CI installs all of them, and leaves nothing out."""

PARTS = {"gvisor": 40, "podman": 15}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """gVisor is slow, and Podman much like Docker. A test run holds them to a part of the suites, another each time,
    ``make campaign`` to all."""
    for kind, part in PARTS.items():
        suites = [item for item in items if isinstance(item, pytest.Function) and _kind(item) == kind]
        for item in suites:
            item.add_marker("campaign")
        if "campaign" not in config.option.markexpr and len(suites) > part:
            # Every process of a parallel run must choose the same ones, in whatever order it has found them.
            seed = campaigns.of(config).seed
            drawn = sorted(suites, key=lambda item: random.Random(f"{seed} {item.nodeid}").random())
            left_out = set(drawn[part:])
            config.hook.pytest_deselected(items=list(left_out))
            items[:] = [item for item in items if item not in left_out]


def _kind(item: pytest.Function) -> object:
    return item.callspec.params.get("kind") if hasattr(item, "callspec") else None


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


@pytest.fixture(scope="session", params=[kind for kind in KINDS if kind == "gvisor"])
def gvisor(second_engine: SecondEngine) -> SecondEngine:
    """Where gVisor is; for tests that run where it can be."""
    return second_engine


@pytest.fixture(scope="session")
def podman_url(image: str) -> Iterator[str]:
    with podman(image) as url:
        yield url


@pytest.fixture(params=[kind for kind in KINDS if kind in ("docker", "podman")])
def either_engine(request: pytest.FixtureRequest) -> Address:
    """The Docker Engine, and where it can be Podman; for tests of what they might tell differently."""
    return Address() if request.param == "docker" else Address(request.getfixturevalue("podman_url"))


@pytest.fixture(scope="session")
def second_engine(image: str) -> Iterator[SecondEngine]:
    """An engine that offers gVisor."""
    with engine(image) as second:
        yield second


@pytest.fixture(params=[kind for kind in KINDS if kind == "bubblewrap"])
def bubblewrap(request: pytest.FixtureRequest, rootfs: Path) -> Callable[[str], Sandbox]:
    """Makes bubblewrap drivers, from an owner; for tests that run where there is a bwrap."""
    return functools.partial(BubblewrapSandbox, rootfs)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Of the driver: Docker with runc, Docker with gVisor, Podman, or bubblewrap."""
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_driver(kind: str, request: pytest.FixtureRequest, image: str) -> AsyncIterator[NewDriver]:
    """Makes drivers of one kind, each with an owner of its own."""
    drivers: list[Sandbox] = []

    def made() -> Sandbox:
        owner = f"test-{uuid.uuid4().hex}"
        match kind:
            case "bubblewrap":
                drivers.append(BubblewrapSandbox(request.getfixturevalue("rootfs"), owner))
            case "gvisor":
                second: SecondEngine = request.getfixturevalue("second_engine")
                drivers.append(DockerSandbox(image, owner, GVISOR, Address(second.url)))
            case "podman":
                address = Address(request.getfixturevalue("podman_url"))
                drivers.append(DockerSandbox(image, owner, "runc", address))
            case _:
                drivers.append(DockerSandbox(image, owner, "runc"))
        return drivers[-1]

    yield made
    for driver in drivers:
        await driver.sweep()
        await driver.aclose()


@pytest.fixture(scope="module")
def driver(new_driver: NewDriver) -> Sandbox:
    return new_driver()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(driver: Sandbox) -> AsyncIterator[Shared]:
    shared = Shared(driver)
    yield shared
    await shared.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(shared: Shared) -> Session:
    """One session for the tests of a module: what one of them does to it, it must survive."""
    return await shared.session()
