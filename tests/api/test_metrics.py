"""``/metrics``: what is counted, under which labels, and who may see it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from harness.scenarios import ANSWER, DIED
from harness.server import whole
from prometheus_client.parser import text_string_to_metric_families

from tools_runtime.search import SearchOutcome
from tools_runtime.search.circuit import Circuit
from tools_runtime.settings import Settings
from tools_runtime.upstreams.scripted import ScriptedUpstream, Step

Counts = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@asynccontextmanager
async def server(folder: Path, *turns: list[Step], **settings: object) -> AsyncIterator[aiohttp.ClientSession]:
    checked = Settings.model_validate({"data": folder, "sandbox": "none"} | settings)
    async with whole(checked, ScriptedUpstream([*turns])) as url, aiohttp.ClientSession(url) as http:
        yield http


def parsed(text: str) -> Counts:
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


async def counts(http: aiohttp.ClientSession) -> Counts:
    async with http.get("/metrics") as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parsed(await reply.text())


def grown(before: Counts, after: Counts, name: str, **labels: str) -> float:
    key = f"tools_runtime_{name}", tuple(sorted(labels.items()))
    return after.get(key, 0) - before.get(key, 0)


async def test_runs_turns_tokens_and_requests_are_counted(tmp_path: Path) -> None:
    async with server(tmp_path, ANSWER, DIED) as http:
        before = await counts(http)
        for _ in range(2):
            async with http.post("/v1/responses", json={"model": "m", "input": "hi"}) as reply:
                await reply.read()
        async with http.get("/v1/responses/resp_none") as reply:
            assert reply.status == 404
        after = await counts(http)

    assert grown(before, after, "response_seconds_count", status="completed") == 1
    assert grown(before, after, "response_seconds_count", status="failed") == 1
    assert grown(before, after, "model_call_seconds_count", upstream="scripted", outcome="stop") == 1
    assert grown(before, after, "model_call_seconds_count", upstream="scripted", outcome="failed") == 1
    assert grown(before, after, "tokens_total", upstream="scripted", direction="output") > 0
    asked = {"method": "POST", "route": "/v1/responses"}
    assert grown(before, after, "http_request_seconds_count", status="200", **asked) == 1
    one = {"method": "GET", "route": "/v1/responses/{response_id}", "status": "404"}
    assert grown(before, after, "http_request_seconds_count", **one) == 1


async def test_clients_cannot_make_time_series(tmp_path: Path) -> None:
    async with server(tmp_path) as http:
        before = await counts(http)
        for path in ("/v1/none", "/etc/passwd", "/.git/config"):
            await (await http.request("PROPFIND", path)).read()
        after = await counts(http)
    assert grown(before, after, "http_request_seconds_count", method="other", route="none", status="404") == 3
    assert not any("PROPFIND" in str(key) or "passwd" in str(key) for key in after)


async def test_where_there_are_keys_metrics_ask_for_one(tmp_path: Path) -> None:
    async with server(tmp_path, api_keys=("me:sesame",)) as http:
        async with http.get("/metrics") as reply:
            assert reply.status == 401
        async with http.get("/metrics", headers={"Authorization": "Bearer sesame"}) as reply:
            assert reply.status == 200


async def test_search_backends_are_down_while_they_are_left_alone(tmp_path: Path) -> None:
    async with server(tmp_path) as http:
        circuit = Circuit("counted")
        before = await counts(http)
        circuit.record(SearchOutcome("blocked"))
        down = await counts(http)
        circuit.record(SearchOutcome("ok"))
        up = await counts(http)
    key = "tools_runtime_search_backend_up", (("backend", "counted"),)
    assert [before[key], down[key], up[key]] == [1, 0, 1]
    for outcome in ("blocked", "ok"):
        assert grown(before, up, "search_backend_answers_total", backend="counted", outcome=outcome) == 1


def test_processes_that_share_a_folder_are_summed(tmp_path: Path) -> None:
    script = "from tools_runtime import metrics as m; m.pages.labels('ok').inc(); print(m.text().decode())"
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    texts = [subprocess.check_output(command, env=environment, text=True) for _ in range(2)]
    key = "tools_runtime_pages_total", (("outcome", "ok"),)
    assert [parsed(text)[key] for text in texts] == [1, 2]
