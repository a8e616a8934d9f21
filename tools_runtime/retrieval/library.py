"""Vector stores as one service: what the HTTP layer and the file_search tool call."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tools_runtime.errors import ApiError, not_found
from tools_runtime.protocol.tools import AttributeFilter, HybridSearch, RankingOptions
from tools_runtime.retrieval import Models, Passage, filters
from tools_runtime.retrieval.distinct import distinct
from tools_runtime.retrieval.fusion import Ranking, fuse
from tools_runtime.retrieval.ingestion import Ingestor
from tools_runtime.retrieval.passages import Passages
from tools_runtime.retrieval.reranking import reranked
from tools_runtime.stores import Attachment, FileBatch, NewVectorStore, VectorStore, VectorStoreFile
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.vector_store_files import VectorStoreFileStore
from tools_runtime.stores.vector_stores import VectorStoreStore

WEIGHTS = HybridSearch(embedding_weight=0.5, text_weight=1)
"""Unless the request has its own (docs/decisions/0007-hybrid-scores.md)."""

_CANDIDATES = 50
"""How deep each ranking goes at least: what one puts low, the other may lift, and neighbours overlap."""

_RERANKED = 30
"""How many passages the reranker reads at least; each costs it about as much as embedding one."""


class Library:
    """Changes and searches of vector stores: what must touch the database, the queue and the index together.

    Plain reads go to the stores, which are public for that.
    """

    def __init__(
        self,
        files: FileStore,
        stores: VectorStoreStore,
        members: VectorStoreFileStore,
        passages: Passages,
        ingestor: Ingestor,
        models: Models,
    ) -> None:
        self.files = files
        self.stores = stores
        self.members = members
        self.passages = passages
        self._ingestor = ingestor
        self._models = models

    async def start(self) -> None:
        """Loads the index and goes on with files that are in progress."""
        await self.files.start()
        await self.passages.load()
        await self._ingestor.start()

    async def stop(self) -> None:
        await self._ingestor.stop()

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
        members, _, replaced = await self.members.attach(owner, store_id, [attachment])
        await self._added(members, replaced)
        return members[0]

    async def attach_batch(self, owner: str, store_id: str, attachments: Sequence[Attachment]) -> FileBatch:
        """Puts several files into a vector store, as a batch. Raises ``ApiError`` for what does not exist or is
        expired, and then adds none."""
        await self.require(owner, [store_id], "vector_store_id")
        members, batch, replaced = await self.members.attach(owner, store_id, attachments, batch=True)
        await self._added(members, replaced)
        assert batch is not None
        return batch

    async def detach(self, owner: str, store_id: str, file_id: str) -> bool:
        """Takes a file out of a vector store; the file itself stays."""
        key = await self.members.detach(owner, store_id, file_id)
        await self.passages.forget([] if key is None else [key])
        return key is not None

    async def delete_file(self, owner: str, file_id: str) -> bool:
        """Deletes a file, and with it all that any vector store knows of it."""
        return await self._deleted(await self.files.delete(owner, file_id))

    async def delete_store(self, owner: str, store_id: str) -> bool:
        """Deletes a vector store; its files stay."""
        return await self._deleted(await self.stores.delete(owner, store_id))

    async def expire(self, now: float) -> None:
        """Deletes files whose time is over, and what is searched in vector stores whose time is over."""
        for owner, file_id in await self.files.expired(now):
            await self.delete_file(owner, file_id)
        while keys := await self.stores.expire(now):
            await self.passages.forget(keys)

    async def require(self, owner: str, store_ids: Sequence[str], param: str) -> None:
        """Raises ``ApiError`` naming ``param``: a 404 for an unknown vector store, a 400 for an expired one."""
        for store_id in store_ids:
            store = await self.stores.get(owner, store_id)
            if store is None:
                raise not_found("vector store", store_id, param=param)
            if store.expired(time.time()):
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
        await self.stores.touch(owner, store_ids)
        searchable = await self.members.searchable(owner, store_ids)
        keys = [key for key, _, attributes in searchable if condition is None or filters.matches(condition, attributes)]
        if not keys or not queries:
            return []
        ranking = ranking or RankingOptions()
        weights = ranking.hybrid_search or WEIGHTS
        deep = max(2 * limit, _CANDIDATES) * len({*store_ids})
        vectors = await self._models.embedder.queries(queries)
        nearest = await self.passages.nearest(owner, vectors, keys, deep)
        matching = await self.passages.matching(owner, queries, keys, deep)
        rankings = [
            [Ranking(weights.embedding_weight, by_meaning), Ranking(weights.text_weight, by_words)]
            for by_meaning, by_words in zip(nearest, matching, strict=True)
        ]
        reranker = self._models.reranker
        if reranker is None or ranking.ranker == "none":
            return distinct(fuse(rankings, deep, ranking.score_threshold), limit)
        found = await reranked(reranker, queries, distinct(fuse(rankings, deep, 0), max(limit, _RERANKED)))
        return [passage for passage in found if passage.score >= ranking.score_threshold][:limit]

    async def _added(self, members: Sequence[VectorStoreFile], replaced: Sequence[int]) -> None:
        await self.passages.forget(replaced)
        self._ingestor.submit(members)

    async def _deleted(self, keys: Sequence[int] | None) -> bool:
        await self.passages.forget(keys or [])
        return keys is not None
