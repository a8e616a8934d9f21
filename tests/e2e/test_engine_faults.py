"""Docker Engines that are killed while code runs: told in a line, no file lost, and afterwards all goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sandboxes
from command import serving
from engines import SecondEngine, engine
from sandboxes import until

from e2e import coding, machines
from e2e.coding import WARM, call_of, client, run
from sandbox.engine import USUAL

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BEGUN = "/tmp/begun"
FOREVER = f"open('{BEGUN}', 'w').close()\nwhile True: pass"
LOST = "The code did not run: The sandbox has ended."


@pytest.fixture(scope="module")
def other() -> Iterator[SecondEngine]:
    with engine(sandboxes.image()) as running:
        yield running


@pytest.fixture
def second(other: SecondEngine) -> Iterator[SecondEngine]:
    """An engine that may be killed."""
    yield other
    other.start()


async def begun(data: Path, url: str) -> None:
    """Returns when a cell runs in one of the server's containers at this engine, some moments after it was told."""
    await until(lambda: any(machines.has(id, BEGUN, url) for id in machines.of(data, url)), 60)


@pytest_asyncio.fixture
async def configured(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """Settings of a server whose model runs what it is sent."""
    async with coding.settings(tmp_path / "data", **coding.in_docker(), sandbox_runtime="runc") as settings:
        yield settings


async def test_an_engine_that_is_killed_fails_its_calls_in_a_line_until_it_is_back(
    configured: dict[str, Any], second: SecondEngine
) -> None:
    data = configured["data"]
    log = data.parent / "log"
    with serving(log, variables={"DOCKER_HOST": second.url}, **configured) as url:
        async with client(url) as api:
            first = await run(api, "x = 1; open('kept.txt', 'w').write('sesame')")
            cell = asyncio.create_task(run(api, FOREVER, previous=first.id))
            await begun(data, second.url)
            second.kill()
            lost = await cell
            assert (lost.status, call_of(lost).status, lost.output_text) == ("completed", "failed", LOST)
            down = await run(api, "1", previous=lost.id)
            assert (down.status, call_of(down).status) == ("completed", "failed")
            assert (
                down.output_text
                == f"The code did not run: No Docker Engine answers at {second.url}: Connection refused"
            )
            await asyncio.to_thread(second.start)
            code = "print(open('kept.txt').read(), 'x' in globals())"
            assert (await run(api, code, previous=down.id)).output_text == "sesame False"
            await until(lambda: len(machines.of(data, second.url)) == 1 + WARM, 240)
    await until(lambda: machines.of(data, second.url) == [], 60)
    assert "Traceback" not in log.read_text()


async def test_of_two_engines_one_is_killed_and_the_other_goes_on(
    configured: dict[str, Any], second: SecondEngine
) -> None:
    data = configured["data"]
    log = data.parent / "log"
    hosts = f"{USUAL},{second.url}"

    def where() -> dict[str, int]:
        return {url: len(machines.of(data, url)) for url in (USUAL, second.url)}

    with serving(log, sandbox_hosts=hosts, **configured) as url:
        async with client(url) as api:
            firsts = [await run(api, f"open('kept.txt', 'w').write('{n}')") for n in range(2)]
            await until(lambda: where() == {USUAL: 1 + WARM, second.url: 1 + WARM}, 240)
            wait = f"import os, time\nopen('{BEGUN}', 'w').close()\n"
            wait += "while not os.path.exists('/tmp/go'): time.sleep(0.05)\nopen('kept.txt').read()"
            cells = [asyncio.create_task(run(api, wait, previous=first.id)) for first in firsts]
            for engine_url in (USUAL, second.url):
                await begun(data, engine_url)
            second.kill()
            done, running = await asyncio.wait(cells, return_when=asyncio.FIRST_COMPLETED)
            (lost,), (going,) = [task.result() for task in done], running
            assert (call_of(lost).status, lost.output_text) == ("failed", LOST)
            for id in machines.of(data):
                machines.docker(USUAL, "exec", id, "touch", "/tmp/go")
            kept = await going
            assert call_of(kept).status == "completed"
            number = cells.index(going)
            assert kept.output_text == f"'{number}'"

            again = await run(api, "print(open('kept.txt').read())", previous=lost.id)
            assert again.output_text == str(1 - number)
            assert (await run(api, "print(2)")).output_text == "2"
            await asyncio.to_thread(second.start)
            await until(lambda: where()[second.url] == WARM, 240)
            assert (await run(api, "print(3)")).output_text == "3"
            await until(lambda: where()[second.url] == 1 + WARM, 240)
    await until(lambda: where() == {USUAL: 0, second.url: 0}, 60)
    said = log.read_text()
    assert f"{second.url} runs no sandboxes for the time being" in said and "Traceback" not in said
