"""Builds and starts all services, and wires them to each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from tools_runtime.api.mcp import McpEndpoint
from tools_runtime.api.mcp_tools import McpLimits, McpTools
from tools_runtime.app import files, interpreter
from tools_runtime.app.content import Content
from tools_runtime.engine.admission import Admission
from tools_runtime.engine.archive import StoredHistory
from tools_runtime.engine.background import Background, BackgroundLimits, Places
from tools_runtime.engine.compaction import Compactor
from tools_runtime.engine.content import ContentLoader
from tools_runtime.engine.context import Contexts
from tools_runtime.engine.feed import Feed
from tools_runtime.engine.leases import Leases
from tools_runtime.engine.prepare import Preparer, Rules
from tools_runtime.engine.run import Limits as RunLimits
from tools_runtime.engine.service import Engine
from tools_runtime.retrieval.library import Library
from tools_runtime.retrieval.reading import SubprocessReader
from tools_runtime.search import backends
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.search.pages import PageReader
from tools_runtime.settings import Settings
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.events import EventStore
from tools_runtime.stores.paging import forget
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.retention import Retention
from tools_runtime.stores.runs import RunStore
from tools_runtime.stores.seal import Seal
from tools_runtime.stores.sweeper import Sweeper, Task
from tools_runtime.stores.uploads import UploadStore
from tools_runtime.stores.workspace import Workspace
from tools_runtime.tools import HostedTool
from tools_runtime.tools.code_interpreter import CodeInterpreter
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.file_search import FileSearch
from tools_runtime.tools.mcp import Mcp
from tools_runtime.tools.mcp.connection import Limits, Network
from tools_runtime.tools.web_search import WebSearch
from tools_runtime.tools.web_search.gpt_oss import Native
from tools_runtime.upstreams.router import Router


@dataclass(frozen=True)
class Services:
    """What the routes call."""

    engine: Engine
    background: Background
    contexts: Contexts
    responses: ResponseStore
    conversations: ConversationStore
    library: Library
    containers: Containers
    content: Content
    uploads: UploadStore
    upstreams: Router
    search: SearchChain
    mcp: McpEndpoint | None


async def start(settings: Settings, upstreams: Router, stack: AsyncExitStack) -> Services:
    """Builds and starts everything; ``stack`` ends it in the opposite order."""
    settings.data.mkdir(parents=True, exist_ok=True)
    stack.push_async_callback(upstreams.aclose)
    database = Database(settings.database)
    await database.open()
    stack.push_async_callback(database.close)
    workspace = Workspace(settings.data / "index")
    stack.callback(workspace.close)
    reader = SubprocessReader(files.read_limits(settings))
    library = await files.library(settings, database, workspace, reader, stack)
    upload_store = await files.uploads(settings, database, library)
    fetcher = GuardedFetcher(settings)
    stack.push_async_callback(fetcher.aclose)
    content = Content(library.files, fetcher, reader)
    loader = ContentLoader(content.load, content.fetch, content.read, settings.max_input_file_chars)
    machines = await interpreter.containers(settings, database, workspace, stack)
    chain = _chain(settings)
    stack.push_async_callback(chain.aclose)
    browser = Browser(settings, fetcher, PageReader(settings, content.read_pdf))
    web_search = WebSearch(
        chain,
        browser,
        any_url=settings.open_any_url,
        open_seconds=settings.search_open_seconds,
        native=Native(settings.browser_models, settings.browser_prefix),
    )
    file_search = FileSearch(library, max_output_chars=settings.max_tool_output_chars)
    tools = web_search, file_search, CodeInterpreter(machines, settings, content.load), Mcp(_mcp_network(settings))
    runs = RunStore(database, worker=workspace.worker, lease_seconds=settings.run_lease_seconds)
    leases = Leases(runs, poll_seconds=settings.run_poll_seconds)
    stack.push_async_callback(leases.stop)
    history = StoredHistory(ResponseStore(database), ConversationStore(database), leases)
    seal = Seal(settings.data / "seal.key")
    rules = Rules(settings.foreign_tools, settings.unknown_parameters)
    preparer = Preparer(history, upstreams, tools, loader, _compactor(settings, seal), rules)
    admission = Admission(preparer, runs)
    engine = Engine(admission, leases, history, _limits(settings))
    stack.push_async_callback(engine.aclose)
    events = EventStore(database)
    places = Places(history, runs, Feed(events, poll_seconds=settings.run_poll_seconds), leases, seal)
    background = Background(admission, preparer, places, _limits(settings), _background_limits(settings))
    stack.push_async_callback(background.stop)
    await background.start()
    retention = Retention(database, days=settings.retention_days)
    expiring = library.expire, upload_store.expire, events.expire, retention.expire, partial(forget, database)
    _sweep(settings, expiring, stack)
    return Services(
        engine=engine,
        background=background,
        contexts=Contexts(preparer),
        responses=history.responses,
        conversations=history.conversations,
        library=library,
        containers=machines,
        content=content,
        uploads=upload_store,
        upstreams=upstreams,
        search=chain,
        mcp=await _mcp(settings, tools, stack),
    )


def _sweep(settings: Settings, expiring: Sequence[Task], stack: AsyncExitStack) -> None:
    sweeper = Sweeper(expiring, seconds=settings.sweep_seconds)
    stack.push_async_callback(sweeper.stop)
    sweeper.start()


async def _mcp(settings: Settings, tools: Sequence[HostedTool], stack: AsyncExitStack) -> McpEndpoint | None:
    if not settings.mcp_server:
        return None
    limits = McpLimits(settings.tool_seconds, settings.max_tool_output_chars, settings.public_url)
    endpoint = McpEndpoint(McpTools(tools, limits), settings.max_request_bytes, settings.allowed_origins)
    await stack.enter_async_context(endpoint.running())
    return endpoint


def _mcp_network(settings: Settings) -> Network:
    limits = Limits(
        list_seconds=settings.mcp_list_seconds,
        call_seconds=settings.mcp_call_seconds,
        answer_bytes=settings.mcp_max_bytes,
        tools=settings.mcp_max_tools,
        list_bytes=settings.mcp_max_list_bytes,
        output_chars=settings.max_tool_output_chars,
    )
    return Network(AddressPolicy(settings.mcp_allow), limits)


def _chain(settings: Settings) -> SearchChain:
    return SearchChain(
        backends.configured(settings),
        seconds=settings.search_seconds,
        hedge_seconds=settings.search_hedge_seconds,
        cache_seconds=settings.search_cache_seconds,
    )


def _limits(settings: Settings) -> RunLimits:
    return RunLimits(
        max_turns=settings.max_turns,
        max_parallel_calls=settings.max_parallel_calls,
        tool_seconds=settings.tool_seconds,
        tool_output_chars=settings.max_tool_output_chars,
        unread_bytes=settings.unread_bytes,
    )


def _background_limits(settings: Settings) -> BackgroundLimits:
    return BackgroundLimits(
        running=settings.background_running,
        waiting=settings.background_waiting,
        keep_seconds=settings.background_event_seconds,
    )


def _compactor(settings: Settings, seal: Seal) -> Compactor:
    return Compactor(
        seal,
        default_threshold=settings.compact_tokens,
        summary_tokens=settings.compact_summary_tokens,
    )
