"""gVisor as the engine's runtime, on an engine of the tests' own: what it adds, and what it keeps.

The other drivers' whole contract is not its own; where it differs: docs/sandbox.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from engines import engine
from sandboxes import SMALL, printed, run, value

from sandbox import SandboxUnavailable, Session
from sandbox.docker import GVISOR, DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
if "CI" not in os.environ and (shutil.which(GVISOR) is None or os.geteuid() != 0):
    pytest.skip("needs Debian's runsc, which CI installs, and root", allow_module_level=True)


@pytest.fixture(scope="module")
def environment(image: str) -> Iterator[dict[str, str]]:
    with engine(image) as environment:
        yield environment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(image: str, environment: dict[str, str]) -> AsyncIterator[Session]:
    driver = DockerSandbox(image, "test-gvisor", GVISOR, environment)
    session = await driver.create(SMALL)
    yield session
    await session.close()
    await driver.aclose()


async def test_programs_see_a_kernel_that_is_not_the_machines(session: Session) -> None:
    seen = value(await run(session, "import os; os.uname().release, os.path.exists('/proc/config.gz')"))
    assert os.uname().release not in seen and "False" in seen


async def test_state_and_files_are_kept_from_cell_to_cell(session: Session) -> None:
    result = await run(session, "kept = 6\nopen('x', 'w').write('hi')\nprint(kept)")
    assert printed(result) == "6\n" and [file.name for file in result.files] == ["x"]
    assert await session.get("x") == b"hi"
    await session.put("y", b"there")
    assert value(await run(session, "open('y').read(), kept")) == "('there', 6)"


async def test_an_endless_cell_is_interrupted_and_its_state_kept(session: Session) -> None:
    await run(session, "held = 7")
    assert (await session.execute("while True: pass", 1)).status == "interrupted"
    assert value(await run(session, "held")) == "7"


async def test_there_is_no_network(session: Session) -> None:
    code = (
        "import socket\ntry: socket.create_connection(('1.1.1.1', 443), 5)\n"
        "except OSError as error: print('refused', error.errno)"
    )
    assert printed(await run(session, code)).startswith("refused")


async def test_the_system_is_read_only_and_has_no_root(session: Session) -> None:
    code = (
        "import os\nfor path in ('/x', '/usr/x', '/etc/x'):\n    try: open(path, 'w')\n"
        "    except OSError: print('refused')\nprint(os.getuid())"
    )
    assert printed(await run(session, code)) == "refused\n" * 3 + "10001\n"


async def test_a_runtime_that_is_not_offered_is_an_error(image: str, environment: dict[str, str]) -> None:
    driver = DockerSandbox(image, "test-gvisor", "kata", environment)
    with pytest.raises(SandboxUnavailable, match=r"no runtime kata; it offers .*runsc"):
        await driver.probe()
    await driver.aclose()
