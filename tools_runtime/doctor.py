"""The doctor looks at everything that the server leans on, and says in a line each what is there and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import aiohttp
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError
from yarl import URL

from sandbox import SandboxUnavailable
from tools_runtime.retrieval.readers import programs
from tools_runtime.retrieval.sentence_transformer import PACKAGED
from tools_runtime.search import backends
from tools_runtime.settings import Settings
from tools_runtime.stores import connections
from tools_runtime.tools.code_interpreter import drivers
from tools_runtime.upstreams import router

State = Literal["ok", "off", "failed"]

_COLOURS: dict[State, str] = {"ok": "green", "off": "yellow", "failed": "red"}
_PROBE_SECONDS = 5
_SELF_TEST_SECONDS = 40
"""A sandbox may have to start a session and try its boundaries."""
_NAMED_MODELS = 4
_DATABASE_NEEDS = 2**20
"""Bytes. SQLite cannot even be read without room for its log and its shared memory."""
_TINY = "SmolLM2 with 135 million parameters, for trying things out and not for answers"


@dataclass(frozen=True)
class Check:
    """One finding. ``off`` is what nobody configured or somebody switched off; ``failed`` should work and does not.

    ``fatal``: the server cannot start like this.
    """

    name: str
    state: State
    detail: str
    fatal: bool = False


async def examine(settings: Settings) -> list[Check]:
    """All checks, side by side. Nothing that is missing makes it raise, or takes long: a self-test at most."""
    sandbox, upstreams, search = await asyncio.gather(_sandbox(settings), _upstreams(settings), _search(settings))
    own = [_embedder(settings), _readers(settings), _keys(settings), _data(settings.data)]
    if settings.database_url is not None:
        own.append(await asyncio.to_thread(_database, settings.database))
    return [sandbox, *upstreams, *search, *own]


def table(checks: Sequence[Check]) -> Table:
    """The checks for a terminal."""
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for check in checks:
        rows.add_row(Text(check.name), Text(check.state, _COLOURS[check.state]), Text(check.detail))
    return rows


async def _sandbox(settings: Settings) -> Check:
    name = "code interpreter"
    if settings.sandbox == "none":
        return Check(name, "off", "switched off (TOOLS_RUNTIME_SANDBOX)")
    insisted = settings.sandbox != "auto"
    try:
        async with asyncio.timeout(_SELF_TEST_SECONDS):
            driver, found = await drivers.first(drivers.configured(settings, owner="doctor"))
            await driver.aclose()
            return Check(name, "ok", found)
    except SandboxUnavailable as error:
        return Check(name, "failed", str(error), fatal=insisted)
    except TimeoutError:
        late = f"the sandbox did not answer in {_SELF_TEST_SECONDS} s"
        return Check(name, "failed", late, fatal=insisted)


async def _upstreams(settings: Settings) -> list[Check]:
    models: dict[str, str] = {}
    silent: dict[str, str] = {}
    routes = router.build(settings)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            catalogue = await routes.catalogue()
        models, silent = catalogue.models, catalogue.silent
    except TimeoutError:
        pass
    finally:
        await routes.aclose()
    return [
        _upstream(name, where, [model for model, server in models.items() if server == name], silent.get(name))
        for name, where in _servers(settings)
    ]


def _servers(settings: Settings) -> list[tuple[str, str]]:
    """Name and description of each model server. Credentials in URLs are not shown."""
    if settings.upstreams:
        return [(server.name, f"{_public(server.url)} ({server.kind})") for server in settings.upstreams]
    if settings.upstream_url:
        return [("default", f"{_public(settings.upstream_url)} ({settings.upstream_kind})")]
    return [("embedded", _TINY)]


def _upstream(name: str, where: str, models: Sequence[str], complaint: str | None) -> Check:
    if not models:
        complaint = complaint or f"no model, or no answer in {_PROBE_SECONDS} s"
        return Check("model server", "failed", f"{name}: {where}: {complaint}")
    more = f" and {len(models) - _NAMED_MODELS} more" if len(models) > _NAMED_MODELS else ""
    return Check("model server", "ok", f"{name}: {where}; {', '.join(models[:_NAMED_MODELS])}{more}")


async def _search(settings: Settings) -> list[Check]:
    """A finding for each backend, in the order in which they are asked."""
    try:
        configured = backends.configured(settings)
    except ValueError as error:
        return [Check("web search", "failed", str(error), fatal=True)]
    for backend in configured:
        await backend.aclose()
    return list(await asyncio.gather(*(_backend(backend.name, settings) for backend in configured)))


async def _backend(name: str, settings: Settings) -> Check:
    """Only servers of one's own are asked, and nothing that makes them ask an engine: a SearXNG that speaks JSON
    answers 400."""
    if name == "searxng" and settings.searxng_url:
        return await _probe(name, settings.searxng_url, "/search?format=json", (200, 400))
    if name == "kiwix" and settings.kiwix_url:
        return await _probe(name, settings.kiwix_url, "/", (200,))
    return Check("web search", "ok", f"{name}: not asked now, since it counts each question")


async def _probe(name: str, url: str, path: str, good: Sequence[int]) -> Check:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS)) as session,
            session.get(url.rstrip("/") + path) as response,
        ):
            complaint = "" if response.status in good else f"HTTP {response.status}"
    except TimeoutError:
        complaint = f"no answer in {_PROBE_SECONDS} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        complaint = str(error) or type(error).__name__
    if name == "searxng" and complaint == "HTTP 403":
        complaint += "; its settings.yml must allow JSON (search.formats: [html, json])"
    where = f"{name}: {_public(url)}"
    return Check("web search", "failed" if complaint else "ok", f"{where}: {complaint}" if complaint else where)


def _embedder(settings: Settings) -> Check:
    name = "embedder"
    if settings.embedding_url:
        return Check(
            name, "ok", f"{settings.embedding_model} at {_public(settings.embedding_url)}, asked when first used"
        )
    if find_spec("sentence_transformers") is None:
        return Check(name, "failed", "the package sentence-transformers is not installed")
    return Check(name, "ok", f"{settings.embedding_model or PACKAGED}, loaded when first used")


def _keys(settings: Settings) -> Check:
    name = "API keys"
    if not settings.api_keys:
        return Check(name, "off", f"none: whoever reaches {settings.host} may use the server")
    return Check(name, "ok", f"{len(settings.api_keys)}")


def _readers(settings: Settings) -> Check:
    """The programs that read what no library does."""
    found = []
    if settings.ocr_pages and programs.find("tesseract"):
        found.append(f"scanned pages by Tesseract ({settings.ocr_languages})")
    if programs.find("antiword", "catdoc"):
        found.append("old Office documents")
    return Check("readers", "ok" if found else "off", ", ".join(found) or "no Tesseract, antiword or catdoc")


def _data(folder: Path) -> Check:
    name = "data folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_DATABASE_NEEDS))
            file.flush()
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(name, "failed", f"{folder} cannot be written to: {error.strerror}", fatal=True)
    return Check(name, "ok", f"{folder.resolve()}, {free / 1e9:.0f} GB free")


def _database(url: str) -> Check:
    try:
        return Check("database", "ok", connections.describe(url))
    except (SQLAlchemyError, ValueError) as error:
        said = str(getattr(error, "orig", error)).strip().splitlines()
        return Check("database", "failed", said[0] if said else type(error).__name__, fatal=True)


def _public(url: str) -> str:
    with contextlib.suppress(ValueError):
        return str(URL(url).with_user(None))
    return "(malformed URL)"
