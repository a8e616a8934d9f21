"""A server that is killed at random points of ingestion, deletion and snapshotting, over and over on one folder."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from campaigns import Campaign
from command import killable

from e2e.bookkeeping import Bookkeeping


@pytest.mark.campaign
@pytest.mark.slow
def test_no_kill_leaves_anything_half_done(
    tmp_path: Path, database_url: str, campaign: Campaign, embeddings: str, capsys: pytest.CaptureFixture[str]
):
    model = Bookkeeping()
    settings = {
        "data": tmp_path / "data",
        "database_url": database_url,
        "sandbox": "none",
        "embedding_url": embeddings,
        "embedding_model": "words",
        "index_segment_vectors": 256,
        "index_poll_seconds": 0.05,
        "ingest_attempts": 1000,
    }
    kills = 0
    for random in campaign.rounds():
        with killable(tmp_path / "server.log", **settings) as (url, kill), httpx.Client(base_url=f"{url}/v1") as client:
            model.check(client)
            timer = threading.Timer(random.uniform(0, 0.6), kill)
            timer.start()
            with suppress(httpx.TransportError):
                while len(model.inside) < 80:
                    model.act(client, random)
            timer.join()
        kills += 1
    with killable(tmp_path / "server.log", **settings) as (url, kill), httpx.Client(base_url=f"{url}/v1") as client:
        model.check(client)
        kill()
    with capsys.disabled():
        print(f"\n{kills} kills, {len(model.texts)} files, {len(model.gone)} of them deleted")
