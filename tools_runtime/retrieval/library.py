"""Vector stores as one service: what the HTTP layer and the file_search tool call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.tools import AttributeFilter, HybridSearch, RankingOptions
from tools_runtime.retrieval import Models, Passage
from tools_runtime.retrieval.fusion import Ranking, fuse
from tools_runtime.retrieval.index import Scope, SearchIndex
from tools_runtime.retrieval.ingestion import Ingestor
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.reranking import reranked
from tools_runtime.stores import Attachment, FileBatch, NewVectorStore, VectorStore, VectorStoreFile
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore

_log = logging.getLogger(__name__)

WEIGHTS = HybridSearch(embedding_weight=0.5, text_weight=1)
"""Unless the request has its own (docs/decisions/0007-hybrid-scores.md)."""

_CANDIDATES = 50
"""How deep each ranking goes at least: what one puts low, the other may lift, and neighbours overlap."""

_LOG_SECONDS = 3600
"""How far back the change log reaches; every process follows it within a second or two."""

_RERANKED = 30
"""How many passages the reranker reads at least; each costs it about as much as embedding one."""


@dataclass(frozen=True)
class Stores:
    """What a library keeps in the database."""

    files: FileStore
    stores: VectorStoreStore
    members: VectorStoreFileStore


class Library:
    """Changes and searches of vector stores: what must touch the database, the queue and the index together.

    Plain reads go to the stores, which are public for that.
    """

    def __init__(
        self, stores: Stores, index: SearchIndex, passages: Passages, ingestor: Ingestor, models: Models
    ) -> None:
        self.files, self.stores, self.members = stores.files, stores.stores, stores.members
        self.passages = passages
        self._index = index
        self._ingestor = ingestor
        self._models = models
        self._used: dict[str, int] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Loads the indexes and goes on with files that are in progress."""
        await self.files.start()
        await self._ingestor.start()
        await self._index.start()

    async def stop(self) -> None:
        await self._ingestor.stop()
        await self._index.stop()
        await asyncio.gather(*self._noting, return_exceptions=True)

    async def create_store(self, owner: str, new: NewVectorStore, attachments: Sequence[Attachment]) -> VectorStore:
        """Makes a vector store with files in it. Raises a 404 ``ApiError`` for an unknown file, and then makes none."""
        store = await self.stores.create(owner, new)
        if not attachments:
            return store
        try:
            await self.attach_batch(owner, store.id, attachments)
        except ApiError:
            await self.stores.delete(owner, store.id)
            raise
        return await self.stores.get(owner, store.id) or store

    async def attach(self, owner: str, store_id: str, attachment: Attachment) -> VectorStoreFile:
        """Puts a file into a vector store, to be read in the background. Raises ``ApiError`` for what does not exist or
        is expired."""
        await self.require(owner, [store_id], "vector_store_id")
        members, _ = await self.members.attach(owner, store_id, [attachment])
        self._ingestor.notify()
        return members[0]

    async def attach_batch(self, owner: str, store_id: str, attachments: Sequence[Attachment]) -> FileBatch:
        """Puts several files into a vector store, as a batch. Raises ``ApiError`` for what does not exist or is
        expired, and then adds none."""
        await self.require(owner, [store_id], "vector_store_id")
        _, batch = await self.members.attach(owner, store_id, attachments, batch=True)
        self._ingestor.notify()
        assert batch is not None
        return batch

    async def detach(self, owner: str, store_id: str, file_id: str) -> bool:
        """Takes a file out of a vector store; the file itself stays."""
        return await self.members.detach(owner, store_id, file_id)

    async def delete_file(self, owner: str, file_id: str) -> bool:
        """Deletes a file, and with it all that any vector store knows of it."""
        return await self.files.delete(owner, file_id)

    async def delete_store(self, owner: str, store_id: str) -> bool:
        """Deletes a vector store; its files stay."""
        return await self.stores.delete(owner, store_id)

    async def expire(self, now: float) -> None:
        """Deletes files whose time is over, what is searched in vector stores whose time is over, and old changes."""
        for owner, file_id in await self.files.expired(now):
            await self.delete_file(owner, file_id)
        while await self.stores.expire(now):
            pass
        await self._index.prune(now - _LOG_SECONDS)

    async def require(self, owner: str, store_ids: Sequence[str], param: str) -> None:
        """Raises ``ApiError`` naming ``param``: a 404 for an unknown vector store, a 400 for an expired one."""
        expiries = await self.stores.expiries(owner, store_ids)
        for store_id in store_ids:
            if store_id not in expiries:
                raise not_found("vector store", store_id, param=param)
            expires_at = expiries[store_id]
            if expires_at is not None and expires_at <= time.time():
                raise ApiError(f"Vector store '{store_id}' is expired.", param=param, code="vector_store_expired")

    async def search(
        self,
        owner: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        condition: AttributeFilter | None = None,
        ranking: RankingOptions | None = None,
    ) -> list[Passage]:
        """The best passages for any of the queries in any of the vector stores, best first. The stores exist (see
        ``require``) and count as used now."""
        self._touch(owner, store_ids)
        if not queries:
            return []
        ranking = ranking or RankingOptions()
        weights = ranking.hybrid_search or WEIGHTS
        deep = max(2 * limit, _CANDIDATES)
        vectors = await self._models.embedder.queries(queries)
        found = await self._index.find(Scope(owner, store_ids, condition), queries, vectors, deep)
        rankings = [
            [Ranking(weights.embedding_weight, by_meaning), Ranking(weights.text_weight, by_words)]
            for by_meaning, by_words in found
        ]
        reranker = self._models.reranker
        if reranker is None or ranking.ranker == "none":
            return await self.passages.best(owner, fuse(rankings, ranking.score_threshold), limit)
        passages = await self.passages.best(owner, fuse(rankings), max(limit, _RERANKED))
        ordered = await reranked(reranker, queries, passages)
        return [passage for passage in ordered if passage.score >= ranking.score_threshold][:limit]

    def _touch(self, owner: str, store_ids: Sequence[str]) -> None:
        """Notes that vector stores are used now. Times are in whole seconds, so once a second will do; the search does
        not wait for it."""
        now = int(time.time())
        fresh = [id for id in store_ids if self._used.get(id) != now]
        if fresh:
            self._used = {id: at for id, at in self._used.items() if at == now} | dict.fromkeys(fresh, now)
            task = asyncio.create_task(self.stores.touch(owner, fresh))
            self._noting.add(task)
            task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._noting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("the use of a vector store was not noted: %s", error)
