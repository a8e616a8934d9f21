"""Servers that are killed in the middle of background, streaming and conversation runs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

import httpx2 as httpx
import pytest
from campaigns import Campaign
from command import killable
from soak import model
from soak.model import Plan

from e2e.ledger import Ledger

LEASE_SECONDS = 5
CLIENTS = 8


@pytest.mark.campaign
@pytest.mark.slow
async def test_no_kill_loses_or_unsays_what_was_acknowledged(
    tmp_path: Path,
    campaign: Campaign,
    database_url: str,
    embeddings: str,
    capsys: pytest.CaptureFixture[str],
):
    ledger, kills = Ledger(), 0
    async with model.running() as upstream:
        settings: dict[str, object] = {
            "data": tmp_path / "data",
            "database_url": database_url,
            "sandbox": "none",
            "upstream_url": upstream,
            "embedding_url": embeddings,
            "embedding_model": "words",
            "run_lease_seconds": LEASE_SECONDS,
            "background_running": 4,
        }
        for random in campaign.rounds():
            await _round(tmp_path / "server.log", settings, ledger, random)
            kills += 1
        await _round(tmp_path / "server.log", settings, ledger, None)
    with capsys.disabled():
        ends = [known.final["status"] for known in ledger.known.values() if known.final]
        counts = {status: ends.count(status) for status in sorted({*ends})}
        files, added = len(ledger.files), sum(map(len, ledger.added.values()))
        print(f"\n{kills} kills, {len(ledger.known)} responses: {counts}, {files} files, {added} items added")


async def _round(log: Path, settings: dict[str, object], ledger: Ledger, random: Random | None) -> None:
    """Checks what earlier rounds have left; with ``random``, then loads the server and kills it."""
    with ExitStack() as stack:
        url, kill = await asyncio.to_thread(stack.enter_context, killable(log, **settings))
        async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60, trust_env=False) as client:
            await ledger.check(client, 3 * LEASE_SECONDS)
            if random is not None:
                async with asyncio.TaskGroup() as clients:
                    for number in range(CLIENTS):
                        clients.create_task(_load(client, ledger, Random(f"{random.random()} {number}")))
                    await asyncio.sleep(random.uniform(0.2, 3))
                    kill()
        kill()


async def _load(client: httpx.AsyncClient, ledger: Ledger, random: Random) -> None:
    with suppress(httpx.TransportError):
        while True:
            await ledger.act(client, random)


@pytest.mark.slow
async def test_the_runs_of_a_dead_process_are_ended_by_the_others(tmp_path: Path, embeddings: str):
    slow = Plan(say="one two three four", pieces=1, pause=120).text()
    async with model.running() as upstream:
        settings = {"data": tmp_path / "data", "sandbox": "none", "upstream_url": upstream, "run_lease_seconds": 2}
        settings |= {"embedding_url": embeddings, "embedding_model": "words", "background_running": 1}
        with ExitStack() as stack:
            first, kill = await asyncio.to_thread(stack.enter_context, killable(tmp_path / "1.log", **settings))
            other, _ = await asyncio.to_thread(stack.enter_context, killable(tmp_path / "2.log", **settings))
            async with httpx.AsyncClient(base_url=f"{other}/v1", timeout=60, trust_env=False) as client:
                talk = (await client.post("/conversations", json={})).json()["id"]
                body = {"model": "soaked", "background": True, "input": slow}
                begun = (await client.post(f"{first}/v1/responses", json=body | {"conversation": talk})).json()["id"]
                await _until(client, begun, "in_progress")
                quick = Plan().text()
                locked = await client.post("/responses", json={"input": quick, "conversation": talk})
                assert (locked.status_code, locked.json()["error"]["code"]) == (409, "conversation_locked")
                kill()
                failed = await _until(client, begun, "failed")
                assert failed["error"]["code"] == "server_error"
                freed = await client.post("/responses", json={"input": quick, "conversation": talk})
                assert freed.status_code == 200, freed.text


async def _until(client: httpx.AsyncClient, id: str, status: str) -> dict:
    async with asyncio.timeout(60):
        while (response := (await client.get(f"/responses/{id}")).json())["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return response
