"""Servers, containers and disks that fail while code runs: told in a line, no file lost, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from command import killable, serving
from openai import AsyncOpenAI
from sandboxes import until

from e2e import coding, machines
from e2e.coding import WARM, call_of, client, run

pytestmark = [pytest.mark.docker, pytest.mark.slow]

FOREVER = "while True: pass"
LOST = "The code did not run: The sandbox has ended."


@pytest_asyncio.fixture
async def configured(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """Settings of a server whose model runs what it is sent."""
    async with coding.settings(tmp_path / "data", **coding.in_docker()) as settings:
        yield settings


async def test_a_killed_server_leaves_no_machine_and_loses_no_file(tmp_path: Path, configured: dict[str, Any]) -> None:
    data, log, began = configured["data"], tmp_path / "log", asyncio.Event()
    with killable(log, **configured) as (url, kill):
        async with client(url) as api:
            first = await run(api, "x = 1; open('kept.txt', 'w').write('sesame')")
            id = call_of(first).container_id
            cell = asyncio.create_task(run(api, FOREVER, id, began=began.set))
            await asyncio.wait_for(began.wait(), 60)
            await until(lambda: len(machines.running(data)) == 1 + WARM, 60)
            await asyncio.to_thread(kill)
            with pytest.raises(openai.APIError):
                await cell
    await until(lambda: not machines.of(data), 60)
    with killable(log, **configured) as (url, kill):
        async with client(url) as api:
            assert (await api.containers.retrieve(id)).status == "expired"
            (file,) = [file async for file in api.containers.files.list(id)]
            content = await api.containers.files.content.retrieve(file.id, container_id=id)
            assert content.read() == b"sesame"
            with pytest.raises(openai.BadRequestError, match="Container is expired"):
                await run(api, "1", id)
            again = await run(api, "print(open('kept.txt').read(), 'x' in globals())", previous=first.id)
            assert again.output_text == "sesame False" and call_of(again).container_id != id
    await until(lambda: not machines.of(data), 60)


async def test_a_killed_container_fails_its_call_and_the_next_one_begins_anew(configured: dict[str, Any]) -> None:
    data, began = configured["data"], asyncio.Event()
    with serving(data.parent / "log", **configured) as url:
        async with client(url) as api:
            first = await run(api, "open('kept.txt', 'w').write('sesame')")
            warm = set(machines.of(data))
            cell = asyncio.create_task(run(api, FOREVER, previous=first.id, began=began.set))
            await asyncio.wait_for(began.wait(), 60)
            machines.kill(warm)
            second = await cell
            assert (second.status, call_of(second).status) == ("completed", "failed")
            assert second.output_text == LOST
            third = await run(api, "print(open('kept.txt').read())", previous=second.id)
            assert third.output_text == "sesame"
            await until(lambda: len(machines.of(data)) == 1 + WARM, 60)
            assert not warm & set(machines.of(data))
    await until(lambda: machines.of(data) == [], 60)


async def test_whoever_goes_while_code_runs_stops_it_and_loses_nothing(configured: dict[str, Any]) -> None:
    with serving(configured["data"].parent / "log", **configured) as url:
        async with client(url) as api:
            id = call_of(first := await run(api, "x = 5")).container_id
            tools: Any = [{"type": "code_interpreter", "container": id}]
            async with api.responses.stream(model="fake", input=FOREVER, tools=tools) as stream:
                async for event in stream:
                    if event.type == "response.code_interpreter_call.interpreting":
                        break
            assert (await run(api, "x += 1\nprint(x)", id)).output_text == "6"

            asked = await api.responses.create(model="fake", input=FOREVER, tools=tools, background=True)
            async for event in await api.responses.retrieve(asked.id, stream=True):
                if event.type == "response.code_interpreter_call.interpreting":
                    break
            cancelled = await api.responses.cancel(asked.id)
            assert (cancelled.status, call_of(cancelled).status) == ("cancelled", "incomplete")
            again = await run(api, "x += 1\nprint(x)", previous=first.id)
            assert again.output_text == "7" and call_of(again).container_id == id


async def test_a_container_that_is_deleted_while_code_runs_fails_the_call(configured: dict[str, Any]) -> None:
    data, began = configured["data"], asyncio.Event()
    with serving(data.parent / "log", **configured) as url:
        async with client(url) as api:
            id = call_of(await run(api, "x = 5")).container_id
            cell = asyncio.create_task(run(api, FOREVER, id, began=began.set))
            await asyncio.wait_for(began.wait(), 60)
            await api.containers.delete(id)
            ended = await cell
            assert (ended.status, call_of(ended).status) == ("completed", "failed")
            assert ended.output_text.startswith("The code did not run: The ") and "\n" not in ended.output_text
            with pytest.raises(openai.NotFoundError):
                await api.containers.retrieve(id)
            await until(lambda: len(machines.of(data)) == WARM, 60)


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={24 * 2**20}", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_where_the_servers_disk_is_full_files_stay_in_the_container(
    disk: Path, configured: dict[str, Any]
) -> None:
    configured |= {"data": disk / "data"}
    with serving(disk.parent / "log", **configured) as url:
        async with client(url) as api:
            first = await run(api, "open('first', 'wb').write(b'a' * 2**20)")
            id = call_of(first).container_id
            ballast = disk / "ballast"
            room = os.statvfs(disk)
            ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 3 * 2**20))
            large = await run(api, "open('large', 'wb').write(b'b' * 8 * 2**20); open('small', 'w').write('c')", id)
            assert large.status == "completed" and "cannot get" in large.output_text
            with pytest.raises(openai.APIStatusError) as caught:
                await api.containers.files.create(id, file=("upload", bytes(8 * 2**20)))
            assert caught.value.status_code == 507
            assert (await run(api, "import os; print(os.path.getsize('large'))", id)).output_text == str(8 * 2**20)
            ballast.unlink()
            names = {file.path: file async for file in api.containers.files.list(id)}
            assert sorted(names) == ["/mnt/data/first", "/mnt/data/small"]
            again = await run(api, "open('large', 'ab').write(b'!')", id)
            assert again.status == "completed"
            large_file = {file.path: file async for file in api.containers.files.list(id)}["/mnt/data/large"]
            assert large_file.bytes == 8 * 2**20 + 1
    assert sorted(path.name for path in (disk / "data/container-files").rglob("*") if path.is_file()) == sorted(
        file.id for file in [*names.values(), large_file]
    )


async def test_a_full_container_says_so_and_goes_on(configured: dict[str, Any]) -> None:
    configured |= {"sandbox_disk_bytes": 8 * 2**20}
    with serving(configured["data"].parent / "log", **configured) as url:
        async with client(url) as api:
            first = await run(api, "open('kept', 'wb').write(b'a' * 2**20); x = 5")
            id = call_of(first).container_id
            full = await run(api, "open('ballast', 'wb').write(bytes(2**24))", id)
            assert "No space left on device" in full.output_text and full.status == "completed"
            with pytest.raises(openai.BadRequestError) as caught:
                await api.containers.files.create(id, file=("upload", bytes(8 * 2**20)))
            assert caught.value.param == "file"
            after = await run(api, "import os; os.remove('ballast'); print(x, len(open('kept').read()))", id)
            assert after.output_text.startswith(f"5 {2**20}")


CROWD = 50
PLACES = 3


async def test_a_crowd_on_a_full_pool_is_served_or_told_and_leaves_nothing(configured: dict[str, Any]) -> None:
    configured |= {"sandbox_max_sessions": PLACES, "sandbox_owner_containers": 10 * CROWD}
    with serving(configured["data"].parent / "log", **configured) as url:
        async with client(url) as api:
            ended = await asyncio.gather(*(_one(api, number) for number in range(CROWD)))
            assert set(ended) <= {"served", "429", "full"} and ended.count("served") >= PLACES
            await until(lambda: len(machines.of(configured["data"])) <= PLACES + WARM)
            # Whoever is gone holds no place: as many as there are fit in again at the same time.
            meet = "import time; time.sleep(2); print('here')"
            met = await asyncio.gather(*(run(api, meet) for _ in range(PLACES)))
            assert [response.output_text for response in met] == ["here"] * PLACES
    await until(lambda: machines.of(configured["data"]) == [], 60)


async def _one(api: AsyncOpenAI, number: int) -> str:
    try:
        response = await run(api, f"import time; time.sleep(0.3); print({number})")
    except openai.RateLimitError as error:
        assert int(error.response.headers["retry-after"]) >= 1
        return "429"
    if response.output_text == str(number):
        return "served"
    assert response.output_text == "The code did not run: All sandboxes of this server are in use."
    return "full"
