"""The composition root: the only place that builds things and wires them to each other."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from sandbox import Sandbox, SandboxUnavailable, Spec
from sandbox.online import OnlineSandbox
from sandbox.pool import WarmPool
from tools_runtime import __version__
from tools_runtime.api import (
    auth,
    chat_completions,
    container_files,
    containers,
    context,
    conversations,
    document,
    errors,
    files,
    health,
    models,
    responses,
    uploads,
    vector_store_files,
    vector_stores,
    websocket,
)
from tools_runtime.api.mcp import McpEndpoint
from tools_runtime.api.mcp_tools import McpLimits, McpTools
from tools_runtime.api.uploads import UploadLimits
from tools_runtime.api.websocket import SocketLimits
from tools_runtime.engine.archive import StoredHistory
from tools_runtime.engine.compaction import Compactor
from tools_runtime.engine.content import ContentLoader
from tools_runtime.engine.context import Contexts
from tools_runtime.engine.prepare import Preparer, Rules
from tools_runtime.engine.run import Limits
from tools_runtime.engine.service import Engine
from tools_runtime.errors import ApiError, not_found
from tools_runtime.retrieval import Embedder, Models, Reader, Unreadable
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.cross_encoder import CrossEncoderReranker
from tools_runtime.retrieval.embeddings_server import EmbeddingsServer
from tools_runtime.retrieval.expiry import Sweeper
from tools_runtime.retrieval.faiss import FaissIndex, IndexShape
from tools_runtime.retrieval.index import SearchIndex
from tools_runtime.retrieval.ingestion import IngestLimits, Ingestor, Pipeline
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.library import Library, Stores
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.reading import SubprocessReader
from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder
from tools_runtime.retrieval.snapshots import Snapshots
from tools_runtime.search import FetchError, PageFetcher, backends
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.browser import Browser
from tools_runtime.search.chain import SearchChain
from tools_runtime.search.connect import PublicConnector
from tools_runtime.search.fetch import GuardedFetcher
from tools_runtime.search.pages import PageReader
from tools_runtime.settings import Settings
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.stores.conversations import ConversationStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.jobs import JobStore
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.seal import Seal
from tools_runtime.stores.uploads import UploadStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore
from tools_runtime.stores.workspace import Workspace
from tools_runtime.tools import HostedTool
from tools_runtime.tools.code_interpreter import CodeInterpreter, drivers
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.code_interpreter.quotas import Quotas
from tools_runtime.tools.file_search import FileSearch
from tools_runtime.tools.web_search import WebSearch
from tools_runtime.upstreams.rewriting import QueryRewriter
from tools_runtime.upstreams.router import Router, build

logger = logging.getLogger(__name__)


def create_app(settings: Settings, router: Router | None = None) -> FastAPI:
    """The server. Its services start and stop with its lifespan. ``router`` replaces the model servers of the settings,
    for tests and benchmarks."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            _add_routes(app, settings, await _start(settings, router or build(settings), stack))
            # What is there now stays. Full collections would go through all of it, a tenth of a second each time.
            gc.collect()
            gc.freeze()
            yield

    app = FastAPI(title="tools-runtime", version=__version__, lifespan=lifespan, separate_input_output_schemas=False)
    document.install(app)
    errors.install(app)
    auth.install(app, auth.Keyring(settings.api_keys))
    return app


@dataclass(frozen=True)
class _Services:
    """What the routes call."""

    engine: Engine
    contexts: Contexts
    responses: ResponseStore
    conversations: ConversationStore
    library: Library
    containers: Containers
    content: _Content
    uploads: UploadStore
    upstreams: Router
    search: SearchChain
    mcp: McpEndpoint | None


def _add_routes(app: FastAPI, settings: Settings, services: _Services) -> None:
    limit = settings.max_request_bytes
    app.include_router(context.router(services.contexts, limit))
    app.include_router(responses.router(services.engine, services.responses, limit))
    app.include_router(websocket.router(services.engine, _socket_limits(settings)))
    if services.mcp is not None:
        app.router.routes.append(services.mcp.route())
    app.include_router(conversations.router(services.conversations, limit))
    app.include_router(chat_completions.router(services.upstreams, limit))
    app.include_router(models.router(services.upstreams))
    app.include_router(files.router(services.library, settings.max_file_bytes))
    upload_limits = UploadLimits(settings.max_upload_bytes, settings.max_part_bytes, limit)
    app.include_router(uploads.router(services.uploads, upload_limits))
    rewriter = QueryRewriter(services.upstreams, seconds=settings.rewrite_seconds)
    app.include_router(vector_stores.router(services.library, rewriter, limit))
    app.include_router(vector_store_files.router(services.library, limit))
    disk, load = settings.sandbox_disk_bytes, services.content.load
    app.include_router(containers.router(services.containers, load, disk, limit))
    app.include_router(container_files.router(services.containers, load, disk, limit))
    app.include_router(health.router(services.search.states))


def _socket_limits(settings: Settings) -> SocketLimits:
    return SocketLimits(
        seconds=settings.websocket_seconds,
        running=settings.websocket_running,
        lanes=settings.websocket_lanes,
        waiting=settings.websocket_waiting,
        waiting_bytes=settings.max_request_bytes,
        stall_seconds=settings.websocket_stall_seconds,
        origins=settings.allowed_origins,
    )


async def _start(settings: Settings, upstreams: Router, stack: AsyncExitStack) -> _Services:
    """Builds and starts everything; ``stack`` ends it in the opposite order."""
    settings.data.mkdir(parents=True, exist_ok=True)
    stack.push_async_callback(upstreams.aclose)
    database = Database(f"sqlite:///{settings.data / 'tools-runtime.db'}")
    await database.open()
    stack.push_async_callback(database.close)
    workspace = Workspace(settings.data / "index")
    stack.callback(workspace.close)
    reader = SubprocessReader(_read_limits(settings))
    library = await _library(settings, database, workspace, reader, stack)
    upload_store = await _uploads(settings, database, library, stack)
    fetcher = GuardedFetcher(settings)
    stack.push_async_callback(fetcher.aclose)
    content = _Content(library.files, fetcher, reader)
    loader = ContentLoader(content.load, content.fetch, content.read, settings.max_input_file_chars)
    machines = await _containers(settings, database, workspace, stack)
    chain = SearchChain(
        backends.configured(settings),
        seconds=settings.search_seconds,
        hedge_seconds=settings.search_hedge_seconds,
        cache_seconds=settings.search_cache_seconds,
    )
    stack.push_async_callback(chain.aclose)
    browser = Browser(settings, fetcher, PageReader(settings, content.read_pdf))
    web_search = WebSearch(chain, browser, any_url=settings.open_any_url, open_seconds=settings.search_open_seconds)
    file_search = FileSearch(library, max_output_chars=settings.max_tool_output_chars)
    tools = web_search, file_search, CodeInterpreter(machines, settings, content.load)
    history = StoredHistory(ResponseStore(database), ConversationStore(database))
    limits = Limits(
        max_turns=settings.max_turns,
        max_parallel_calls=settings.max_parallel_calls,
        tool_seconds=settings.tool_seconds,
        tool_output_chars=settings.max_tool_output_chars,
    )
    compactor = Compactor(
        Seal(settings.data / "seal.key"),
        default_threshold=settings.compact_tokens,
        summary_tokens=settings.compact_summary_tokens,
    )
    rules = Rules(settings.foreign_tools, settings.unknown_parameters)
    preparer = Preparer(history, upstreams, tools, loader, compactor, rules)
    engine = Engine(preparer, history, limits)
    stack.push_async_callback(engine.aclose)
    return _Services(
        engine=engine,
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


async def _mcp(settings: Settings, tools: Sequence[HostedTool], stack: AsyncExitStack) -> McpEndpoint | None:
    if not settings.mcp_server:
        return None
    limits = McpLimits(settings.tool_seconds, settings.max_tool_output_chars, settings.public_url)
    endpoint = McpEndpoint(McpTools(tools, limits), settings.max_request_bytes, settings.allowed_origins)
    await stack.enter_async_context(endpoint.running())
    return endpoint


def _read_limits(settings: Settings) -> ReadLimits:
    return ReadLimits(
        seconds=settings.read_seconds,
        memory_bytes=settings.read_memory_bytes,
        chars=settings.read_max_chars,
        unpacked_bytes=settings.read_max_unpacked_bytes,
        pages=settings.read_max_pages,
        ocr_pages=settings.ocr_pages,
        ocr_seconds=settings.ocr_seconds,
        ocr_languages=settings.ocr_languages,
    )


async def _library(
    settings: Settings, database: Database, workspace: Workspace, reader: Reader, stack: AsyncExitStack
) -> Library:
    embedder = _embedder(settings, stack)
    file_store = FileStore(database, BlobStore(settings.data / "files"))
    members = VectorStoreFileStore(database)
    index = _index(settings, database, workspace, embedder.model)
    passages = Passages(ChunkStore(database), embedding_model=embedder.model)
    chunker = Chunker(max_tokens=settings.max_file_tokens)
    limits = _ingest_limits(settings)
    jobs = JobStore(database, worker=workspace.worker, lease_seconds=limits.lease_seconds)
    ingestor = Ingestor(file_store, jobs, passages, Pipeline(reader, chunker, embedder), limits)
    models = Models(embedder)
    if settings.reranker_model is not None:
        reranker = CrossEncoderReranker(settings.reranker_model)
        stack.callback(reranker.close)
        models = Models(embedder, reranker)
    stores = Stores(file_store, VectorStoreStore(database), members)
    library = Library(stores, index, passages, ingestor, models)
    stack.push_async_callback(library.stop)
    await library.start()
    return library


def _embedder(settings: Settings, stack: AsyncExitStack) -> Embedder:
    if settings.embedding_url is not None:
        server = EmbeddingsServer(settings)
        stack.push_async_callback(server.aclose)
        return server
    model = SentenceTransformerEmbedder(settings.embedding_model, settings.embedding_precision)
    stack.callback(model.close)
    return model


def _ingest_limits(settings: Settings) -> IngestLimits:
    return IngestLimits(
        files=settings.ingest_files,
        attempts=settings.ingest_attempts,
        retry_seconds=settings.ingest_retry_seconds,
        batch_texts=settings.ingest_batch_texts,
        lease_seconds=settings.ingest_lease_seconds,
    )


def _index(settings: Settings, database: Database, workspace: Workspace, embedding_model: str) -> SearchIndex:
    shape = IndexShape(settings.index_segment_vectors, settings.index_kind, settings.index_probes)
    vectors = FaissIndex(Snapshots(workspace.folder / "vectors", tag=shape.tag(embedding_model)), shape)
    keywords = TantivyIndex(workspace.folder / "keywords", memory_bytes=settings.index_keyword_memory_bytes)
    return SearchIndex(
        ChunkStore(database),
        VectorStoreFileStore(database),
        ChangeLog(database),
        (vectors, keywords),
        embedding_model=embedding_model,
        poll_seconds=settings.index_poll_seconds,
    )


async def _uploads(settings: Settings, database: Database, library: Library, stack: AsyncExitStack) -> UploadStore:
    parts = BlobStore(settings.data / "parts")
    store = UploadStore(database, parts, library.files, seconds=settings.upload_seconds)
    await store.start()
    sweeper = Sweeper(library, store, seconds=settings.sweep_seconds)
    stack.push_async_callback(sweeper.stop)
    sweeper.start()
    return store


async def _containers(
    settings: Settings, database: Database, workspace: Workspace, stack: AsyncExitStack
) -> Containers:
    sandbox = await _sandbox(settings, workspace.worker)
    if sandbox is not None:
        stack.push_async_callback(sandbox.aclose)
    store = ContainerStore(database, worker=workspace.worker)
    file_store = ContainerFileStore(database, BlobStore(settings.data / "container-files"))
    quotas = Quotas(settings, store, file_store, ContainerUsageStore(database), store.now)
    machines = Containers(sandbox, settings, store, file_store, quotas)
    stack.push_async_callback(machines.aclose)
    await machines.start()
    return machines


async def _sandbox(settings: Settings, worker: str) -> Sandbox | None:
    """The sandbox, if there is to be one and it is there; ``worker`` names this process to it, over restarts. Raises
    ``SandboxUnavailable`` where the settings insist."""
    if settings.sandbox == "none":
        return None
    try:
        sandbox, _ = await drivers.first(drivers.configured(settings, owner=worker))
    except SandboxUnavailable as error:
        if settings.sandbox != "auto":
            raise
        logger.warning("code_interpreter is refused: %s", error)
        return None
    usual = Spec(
        settings.sandbox_memory_bytes, settings.sandbox_disk_bytes, settings.sandbox_cpus, settings.sandbox_pids
    )
    pool = WarmPool(sandbox, {usual: settings.sandbox_warm}, settings.sandbox_total_memory_bytes)
    return OnlineSandbox(pool, PublicConnector(AddressPolicy()))


class _Content:
    """Where the bytes and texts of content parts come from."""

    def __init__(self, files: FileStore, fetcher: PageFetcher, reader: Reader) -> None:
        self._files = files
        self._fetcher = fetcher
        self._reader = reader

    async def load(self, owner: str, file_id: str) -> tuple[str, bytes]:
        """Name and bytes of an uploaded file. Raises a 404 ``ApiError``."""
        file = await self._files.get(owner, file_id)
        if file is None:
            raise not_found("file", file_id)
        return file.filename, await asyncio.to_thread(self._files.path(file).read_bytes)

    async def fetch(self, url: str) -> bytes:
        """Raises a 400 ``ApiError`` that says why the URL cannot be fetched."""
        try:
            return (await self._fetcher.get(url)).body
        except FetchError as error:
            raise ApiError(error.message, code=error.code) from None

    async def read(self, name: str, data: bytes) -> str:
        """The text of a document. Raises a 400 ``ApiError`` for what cannot be read."""
        try:
            return await self._read(name, data)
        except Unreadable as error:
            raise ApiError(str(error), code=error.code) from None

    async def read_pdf(self, data: bytes) -> str:
        """The text of a PDF of the web. Raises ``FetchError``."""
        try:
            return await self._read("page.pdf", data)
        except Unreadable as error:
            raise FetchError("unsupported_content_type", str(error)) from None

    async def _read(self, name: str, data: bytes) -> str:
        with tempfile.NamedTemporaryFile() as file:
            await asyncio.to_thread(file.write, data)
            file.flush()
            return (await self._reader.read(Path(file.name), name)).text
