"""Wires what keeps, reads, embeds and finds files."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tools_runtime.retrieval import Embedder, Models, Reader
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.cross_encoder import CrossEncoderReranker
from tools_runtime.retrieval.embeddings_server import EmbeddingsServer
from tools_runtime.retrieval.faiss import FaissIndex, IndexShape
from tools_runtime.retrieval.index import SearchIndex
from tools_runtime.retrieval.ingestion import IngestLimits, Ingestor, Pipeline
from tools_runtime.retrieval.keywords import TantivyIndex
from tools_runtime.retrieval.library import Library, Stores
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.readers.limits import ReadLimits
from tools_runtime.retrieval.sentence_transformer import SentenceTransformerEmbedder
from tools_runtime.retrieval.snapshots import Snapshots
from tools_runtime.settings import Settings
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.jobs import JobStore
from tools_runtime.stores.uploads import UploadStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore
from tools_runtime.stores.workspace import Workspace


def read_limits(settings: Settings) -> ReadLimits:
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


async def library(
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


async def uploads(settings: Settings, database: Database, library: Library) -> UploadStore:
    parts = BlobStore(settings.data / "parts")
    store = UploadStore(database, parts, library.files, seconds=settings.upload_seconds)
    await store.start()
    return store
