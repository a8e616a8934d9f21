"""Servers where no Docker Engine answers: bubblewrap takes its place, or the tool is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
import sandboxes
from command import killable, serving
from sandboxes import until

from e2e import coding
from e2e.coding import call_of, client, run
from sandbox.build import export
from sandbox.cgroups import Groups

pytestmark = pytest.mark.docker  # the image comes from there
if "CI" not in os.environ and shutil.which("bwrap") is None:
    pytest.skip("needs bubblewrap, which CI installs", allow_module_level=True)

FOREVER = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nwhile True: pass"


@pytest_asyncio.fixture
async def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Any]]:
    """Settings of a server that finds no engine and whose model runs what it is sent."""
    rootfs = Path("/var/tmp/tools-runtime-tests/sandbox")
    await asyncio.to_thread(export, await asyncio.to_thread(sandboxes.image), rootfs)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere")
    async with coding.settings(tmp_path / "data", sandbox_rootfs=rootfs) as settings:
        yield settings


def groups(data: Path) -> Groups:
    """Those of the server on this folder."""
    (worker,) = [file.read_text() for file in data.glob("index/*/worker")]
    return Groups(worker)


def processes(data: Path) -> set[str]:
    """The processes of its sessions."""
    ours = groups(data)
    files = [folder / f"{ours._prefix}{id}" / "cgroup.procs" for id in ours.left() for folder in ours._folders]
    return {pid for file in files if file.exists() for pid in file.read_text().split()}


async def test_bubblewrap_takes_dockers_place_and_leaves_nothing_when_the_server_is_killed(
    configured: dict[str, Any],
) -> None:
    data, began = configured["data"], asyncio.Event()
    log = data.parent / "log"
    with killable(log, **configured) as (url, kill):
        assert "its boundaries tested" in " ".join(log.read_text().split())
        async with client(url) as api:
            first = await run(api, "x = 20 + 1; open('kept.txt', 'w').write('sesame')")
            second = await run(api, "print(x * 2)", previous=first.id)
            assert second.output_text == "42" and call_of(second).container_id == call_of(first).container_id
            cell = asyncio.create_task(run(api, FOREVER, previous=second.id, began=began.set))
            await asyncio.wait_for(began.wait(), 60)
            assert processes(data)
            await asyncio.to_thread(kill)
            with pytest.raises(openai.APIError):
                await cell
    await until(lambda: not processes(data), 60)
    with serving(log, **configured) as url:
        async with client(url) as api:
            again = await run(api, "print(open('kept.txt').read(), 'x' in globals())", previous=second.id)
            assert again.output_text == "sesame False"
    assert groups(data).left() == set()


async def test_with_neither_the_tool_is_refused_and_all_else_is_served(configured: dict[str, Any]) -> None:
    configured |= {"sandbox_rootfs": configured["data"] / "nowhere"}
    log = configured["data"].parent / "log"
    with serving(log, **configured) as url:
        said = " ".join(log.read_text().split())
        assert "No Docker Engine answers" in said and "python -m sandbox build --rootfs" in said
        async with client(url) as api:
            for asked in (run(api, "1"), api.containers.create(name="none")):
                with pytest.raises(openai.BadRequestError, match="this server has no sandbox") as caught:
                    await asked
                assert caught.value.code == "code_interpreter_unavailable"
            assert [model.id async for model in api.models.list()]
