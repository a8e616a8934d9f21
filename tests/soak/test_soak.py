"""A server that has been used for long is as it was: memory, open files, threads, tasks, containers, files on disk."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import sandboxes
import stack
from campaigns import Campaign
from command import serving
from openai import AsyncOpenAI

from soak import mix, model

pytestmark = [pytest.mark.campaign, pytest.mark.docker, pytest.mark.live_stack]

WARM = 2
"""Containers that are kept ready."""
QUIET_SECONDS = 60
"""In which all that was under way must have ended."""
_PAUSE = 0.2
"""Seconds between two rounds."""
MEMORY = 80 * 2**20
"""By which the resident memory may have grown, in bytes: 15 to 30 MB after 600 actions. Most of it comes while files
are read in, by what torch keeps of texts of different lengths (``retrieval/torch_caches.py``)."""
POOLS = {"threads": 16, "files": 16}
"""By how much pools of threads and of database connections may have grown since the warm-up."""
OBJECTS = 20_000
"""The same in objects that the garbage collector knows, of some 500,000: what the caches hold."""


async def test_a_server_that_was_used_for_long_is_as_it_was(
    tmp_path: Path, campaign: Campaign, web_stack: stack.WebStack
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    async with model.running() as upstream:
        settings = {
            "data": tmp_path / "data",
            "upstream_url": upstream,
            "upstream_retries": 0,
            "sandbox": "docker",
            "sandbox_image": sandboxes.image(),
            "sandbox_warm": WARM,
            "searxng_url": web_stack.searxng_url,
            "search_backends": "searxng",
        }
        program = (sys.executable, str(Path(__file__).with_name("server.py")))
        variables = {"TMPDIR": str(temporary)}
        with serving(tmp_path / "log", program, variables, **settings) as url:
            await _soak(url, tmp_path, campaign)


async def _soak(url: str, folder: Path, campaign: Campaign) -> None:
    async with _place(url) as place:
        store = await _store(place.client)
    async with _place(url, store) as place:
        await mix.one_of_each(place, random.Random(0))
        await mix.some(place, random.Random(0))
    before = await _quiet(url, folder, None)
    started, actions = time.monotonic(), 0
    async with _place(url, store) as place:
        for rng in campaign.rounds():
            actions += await mix.some(place, rng)
            await asyncio.sleep(_PAUSE)
    seconds = time.monotonic() - started
    after = await _quiet(url, folder, before)
    print(f"\nsoak: {actions} actions in {seconds:.0f} s\nbefore: {before}\nafter:  {after}")
    assert _grown(before, after) == {}
    assert after["objects"] - before["objects"] < OBJECTS
    assert after["rss"] - before["rss"] < MEMORY


@contextlib.asynccontextmanager
async def _place(url: str, store: str = "") -> AsyncIterator[mix.Place]:
    """With connections of its own, which are closed in the end."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield mix.Place(client, f"{url}/v1", store)


async def _store(client: AsyncOpenAI) -> str:
    store = await client.vector_stores.create(name="stays")
    text = b"The keeper of the lighthouse is Ingrid Solvang. It burns paraffin."
    file = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("report.txt", text))
    assert file.status == "completed", file.last_error
    return store.id


async def _quiet(url: str, folder: Path, before: dict[str, int] | None) -> dict[str, int]:
    """The counts when all is quiet: as ``before``, or, where there is none, when they have stopped to change."""
    until = time.monotonic() + QUIET_SECONDS
    state: dict[str, int] = {}
    while time.monotonic() < until:
        async with _place(url) as place:
            await mix.tidy(place)
        last, state = state, await _state(url, folder)
        if not _grown(before or last, state) and state["containers"] == WARM:
            break
        await asyncio.sleep(1)
    return state


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[Any, int]]:
    """What there is more of than pools explain, memory aside."""
    counted = after.keys() - {"rss", "objects"}
    allowed = {name: before.get(name, 0) + POOLS.get(name, 0) for name in counted}
    return {name: (before.get(name), after[name]) for name in counted if after[name] > allowed[name]}


async def _state(url: str, folder: Path) -> dict[str, int]:
    async with httpx.AsyncClient() as client:
        state: dict[str, int] = (await client.get(f"{url}/state", timeout=60)).json()
    data = folder / "data"
    listed = [
        "docker",
        "ps",
        "--quiet",
        "--filter",
        f"label=tools-runtime.owner={(data / 'index' / '0' / 'worker').read_text()}",
    ]
    containers = await asyncio.to_thread(subprocess.run, listed, capture_output=True, check=True)
    return state | {
        "containers": len(containers.stdout.split()),
        "temporary files": _files(folder / "tmp"),
        "kept files": sum(_files(data / name) for name in ("files", "parts", "container-files")),
    }


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
