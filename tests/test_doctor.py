"""The doctor, over real servers on loopback ports."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from tools_runtime.doctor import Check, examine, table
from tools_runtime.settings import Settings, UpstreamSettings


@asynccontextmanager
async def serving(path: str, status: int, body: Any = None) -> AsyncIterator[str]:
    """A server that answers one path; its base URL."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get(path, answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def check(name: str, data: Path, **settings: Any) -> Check:
    checks = await examine(Settings(data=data, **{"sandbox": "none"} | settings))
    return next(check for check in checks if check.name == name)


async def test_a_model_server_is_named_with_its_models_and_without_its_credentials(tmp_path: Path) -> None:
    models = {"data": [{"id": f"model-{number}"} for number in range(6)]}
    async with serving("/v1/models", 200, models) as url:
        secret = f"{url.replace('://', '://me:hush@')}/v1"
        found = await check("model server", tmp_path, upstream_url=secret)
    assert found.state == "ok"
    assert "model-0" in found.detail and "and 2 more" in found.detail
    assert "hush" not in found.detail


async def test_a_model_server_that_does_not_answer_has_failed_and_the_others_have_not(tmp_path: Path) -> None:
    async with serving("/v1/models", 200, {"data": [{"id": "a"}]}) as url:
        servers = (
            UpstreamSettings(name="dead", url="http://127.0.0.1:1/v1", models=("b",)),
            UpstreamSettings(name="alive", url=f"{url}/v1"),
        )
        checks = await examine(Settings(data=tmp_path, sandbox="none", upstreams=servers))
    states = {check.detail.split(":")[0]: check.state for check in checks if check.name == "model server"}
    assert states == {"dead": "failed", "alive": "ok"}


async def test_the_embedded_model_is_said_to_be_tiny(tmp_path: Path) -> None:
    assert "135 million" in (await check("model server", tmp_path)).detail


@pytest.mark.parametrize(("status", "state"), [(400, "ok"), (403, "failed"), (500, "failed")])
async def test_searxng_is_asked_whether_it_speaks_json(tmp_path: Path, status: int, state: str) -> None:
    async with serving("/search", status) as url:
        assert (await check("web search", tmp_path, searxng_url=url)).state == state


async def test_a_searxng_that_is_not_there_has_failed(tmp_path: Path) -> None:
    assert (await check("web search", tmp_path, searxng_url="http://127.0.0.1:1")).state == "failed"


@pytest.mark.live_stack
async def test_a_real_searxng_passes(tmp_path: Path, web_stack: Any) -> None:
    assert (await check("web search", tmp_path, searxng_url=web_stack.searxng_url)).state == "ok"


async def test_each_backend_has_a_line_and_public_engines_are_not_asked(tmp_path: Path) -> None:
    async with serving("/", 200) as up:
        checks = await examine(
            Settings(
                data=tmp_path,
                sandbox="none",
                searxng_url="http://127.0.0.1:1",
                kiwix_url=up,
                search_backends=("kiwix", "searxng", "ddgs:mojeek"),
            )
        )
    found = [(check.detail.split(":")[0], check.state) for check in checks if check.name == "web search"]
    assert found[:2] == [("kiwix", "ok"), ("searxng", "failed")]
    assert [check.detail for check in checks if "not asked" in check.detail] == [
        "ddgs:mojeek: not asked now, since it counts each question"
    ]


async def test_an_unknown_search_backend_has_failed(tmp_path: Path) -> None:
    found = await check("web search", tmp_path, search_backends=("yahooo",))
    assert (found.state, "yahooo" in found.detail) == ("failed", True)


async def test_a_sandbox_that_is_switched_off_is_no_failure(tmp_path: Path) -> None:
    assert (await check("code interpreter", tmp_path)).state == "off"


@pytest.mark.docker
async def test_an_image_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    found = await check("code interpreter", tmp_path, sandbox="docker", sandbox_image="no-such-image:1")
    assert found.state == "failed"
    assert "python -m sandbox build" in found.detail


async def test_what_reads_scanned_pages_and_old_documents_is_named(tmp_path: Path) -> None:
    found = await check("readers", tmp_path, ocr_languages="eng+osd")
    assert (found.state, found.detail) == ("ok", "scanned pages by Tesseract (eng+osd), old Office documents")
    assert (await check("readers", tmp_path, ocr_pages=0)).detail == "old Office documents"


async def test_a_database_is_named_without_its_credentials(tmp_path: Path, database_url: str) -> None:
    found = await check("database", tmp_path, database_url=database_url)
    assert found.state == "ok" and found.detail.startswith(database_url.split(":")[0])
    assert "tests:" not in found.detail


async def test_a_database_that_does_not_answer_stops_the_server(tmp_path: Path) -> None:
    found = await check("database", tmp_path, database_url="postgresql://me:hush@127.0.0.1:1/x")
    assert (found.state, found.fatal) == ("failed", True)
    assert "hush" not in found.detail


async def test_a_data_folder_is_made(tmp_path: Path) -> None:
    assert (await check("data folder", tmp_path / "a/b")).state == "ok"
    assert os.listdir(tmp_path / "a/b") == []


async def test_a_data_folder_that_cannot_be_made_has_failed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (await check("data folder", tmp_path / "file/folder")).state == "failed"


def test_names_of_models_are_printed_as_they_are() -> None:
    console = Console(width=200, file=None, record=True, quiet=False)
    with console.capture() as output:
        console.print(table([Check("model server", "ok", "[red]model[/red]")]))
    assert "[red]model[/red]" in output.get()
