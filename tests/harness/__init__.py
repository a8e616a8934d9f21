"""An engine around scripted models and hosted tools, over real stores. For tests of the engine and of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import databases
import orjson

from tools_runtime.api import sse
from tools_runtime.engine.admission import Admission
from tools_runtime.engine.archive import StoredHistory
from tools_runtime.engine.background import Background, BackgroundLimits, Places
from tools_runtime.engine.compaction import Compactor
from tools_runtime.engine.content import ContentLoader
from tools_runtime.engine.context import Contexts
from tools_runtime.engine.feed import Feed
from tools_runtime.engine.leases import Leases
from tools_runtime.engine.prepare import Preparer, Rules
from tools_runtime.engine.run import Archive, Limits
from tools_runtime.engine.service import Engine, Running
from tools_runtime.engine.view import View
from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.events import EventStore
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.runs import RunStore
from tools_runtime.stores.seal import Seal
from tools_runtime.tools import HostedTool
from tools_runtime.upstreams.router import Router
from tools_runtime.upstreams.scripted import Script, ScriptedUpstream

LIMITS = Limits(max_turns=8, max_parallel_calls=4, tool_seconds=30, tool_output_chars=10_000, unread_bytes=2**20)

BACKGROUND = BackgroundLimits(running=4, waiting=100, keep_seconds=3600)


@dataclass(frozen=True)
class Harness:
    """A running engine and what it stands on."""

    engine: Engine
    background: Background
    preparer: Preparer
    contexts: Contexts
    upstream: ScriptedUpstream
    responses: ResponseStore
    conversations: ConversationStore

    async def start(self, owner: str = "default", **body: Any) -> Running:
        """Begins a run of the request with these fields; the input defaults to ``hi``."""
        return await self.engine.start(CreateResponse.model_validate({"input": "hi"} | body), owner)

    async def reply(self, **body: Any) -> dict[str, Any]:
        """The reply to a client that does not stream."""
        running = await self.start(**body)
        return View(body.get("include")).response(await running.log.finished()).wire()

    async def events(self, **body: Any) -> list[dict[str, Any]]:
        """The events that a streaming client reads."""
        running = await self.start(**body)
        frames = [frame async for frame in sse.stream(running.log.follow(), View(body.get("include")), obfuscate=False)]
        return decode(b"".join(frames))


@asynccontextmanager
async def harness(  # noqa: PLR0913 (each replaces one part)
    folder: Path,
    script: Script | ScriptedUpstream,
    tools: Sequence[HostedTool] = (),
    *,
    archive: Archive | None = None,
    loader: ContentLoader | None = None,
    rules: Rules | None = None,
    background_limits: BackgroundLimits = BACKGROUND,
    worker: str = "worker",
    **limits: float,
) -> AsyncIterator[Harness]:
    """An engine whose model plays ``script``. ``limits`` replace fields of ``LIMITS``."""
    database = Database(databases.url(folder))
    await database.open()
    responses, conversations = ResponseStore(database), ConversationStore(database)
    runs = RunStore(database, worker=worker, lease_seconds=30)
    leases = Leases(runs, poll_seconds=0.05)
    history = StoredHistory(responses, conversations, leases)
    upstream = script if isinstance(script, ScriptedUpstream) else ScriptedUpstream(script)
    seal = Seal(folder / "seal.key")
    compactor = Compactor(seal, default_threshold=100_000, summary_tokens=500)
    preparer = Preparer(history, Router([(upstream, ["*"])], "model"), tools, loader or files(), compactor, rules)
    admission, run_limits = Admission(preparer, runs), replace(LIMITS, **limits)  # type: ignore[arg-type]
    engine = Engine(admission, leases, archive or history, run_limits)
    places = Places(history, runs, Feed(EventStore(database), poll_seconds=0.05), leases, seal)
    background = Background(admission, preparer, places, run_limits, background_limits)
    await background.start()
    try:
        yield Harness(engine, background, preparer, Contexts(preparer), upstream, responses, conversations)
    finally:
        await background.stop()
        await engine.aclose()
        await leases.stop()
        await database.close()


def files(uploaded: dict[str, tuple[str, bytes]] | None = None, pages: dict[str, bytes] | None = None) -> ContentLoader:
    """A loader that knows these uploaded files, by id, and these pages, by URL. Documents are read as UTF-8."""

    async def load(owner: str, file_id: str) -> tuple[str, bytes]:
        if file_id not in (uploaded or {}):
            raise not_found("file", file_id)
        return (uploaded or {})[file_id]

    async def fetch(url: str) -> bytes:
        if url not in (pages or {}):
            raise ApiError(f"Could not fetch {url}.")
        return (pages or {})[url]

    async def read(name: str, data: bytes) -> str:
        return data.decode()

    return ContentLoader(load, fetch, read, max_file_chars=1000)


def decode(stream: bytes) -> list[dict[str, Any]]:
    """The events of a server-sent stream. Checks the framing: event name, one line of data, ``[DONE]`` at the end."""
    *frames, done, rest = stream.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    events = []
    for frame in frames:
        name, data = frame.split("\n")
        event = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def collapsed(types: Iterable[str]) -> list[str]:
    """Event types with runs of the same one written once."""
    kinds = list(types)
    return [kind for index, kind in enumerate(kinds) if index == 0 or kind != kinds[index - 1]]
