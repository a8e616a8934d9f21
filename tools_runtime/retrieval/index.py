"""The indexes of this process, kept in step with the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from tools_runtime.protocol.tools import AttributeFilter
from tools_runtime.retrieval import IndexedFile, KeywordIndex, Matrix, VectorIndex
from tools_runtime.retrieval.roster import Roster, Wanted, choose, wanted
from tools_runtime.stores import IndexedChunk, SearchableFile
from tools_runtime.stores.changes import ChangeLog
from tools_runtime.stores.chunks import ChunkStore
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.vector_store_files import VectorStoreFileStore

STORED = np.float16
"""What vectors are kept as."""

_FILES = 64
"""How many files' chunks are in memory at a time while indexes are built."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """Where a search looks."""

    owner: str
    store_ids: Sequence[str]
    condition: AttributeFilter | None = None


class SearchIndex:
    """A vector index and a keyword index over all files that are ``completed``, as this process has them.

    The database is the truth. Every change there is a line in its change log; ``sync`` reads on from where it was and
    does the same to the indexes, whichever process made the change. Each search begins with it, so that it finds all
    that was completed before; it is done every ``poll_seconds``, too, so that little is left to do then.
    """

    def __init__(
        self,
        chunks: ChunkStore,
        members: VectorStoreFileStore,
        log: ChangeLog,
        indexes: tuple[VectorIndex, KeywordIndex],
        *,
        embedding_model: str,
        poll_seconds: float,
    ) -> None:
        self._chunks = chunks
        self._members = members
        self._log = log
        self._vectors, self._keywords = indexes
        self._model = embedding_model
        self._poll_seconds = poll_seconds
        self._roster = Roster()
        self._clock: int | None = None
        # What is in the two indexes; of the keyword index None while that is not known.
        self._near: dict[int, IndexedFile] = {}
        self._words: dict[int, int] | None = None
        self._syncing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes in what is on disk, brings it up to date, and follows the database from then on."""
        await self.sync()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._keywords.close)

    async def sync(self) -> None:
        """Brings the indexes up to date."""
        if await self._log.clock() != self._clock:
            async with self._syncing:
                await self._catch_up()

    async def prune(self, before: float) -> None:
        """Deletes what the change log says of the time before ``before``, in seconds since 1970. A process that has not
        followed it that far compares everything."""
        await self._log.prune(before)

    async def repair(self) -> None:
        """Does what failed before, if anything did: opens the keyword index again and brings it up to date."""
        if self._words is None:
            async with self._syncing:
                await self._compare()

    async def find(
        self, scope: Scope, queries: Sequence[str], vectors: Matrix, limit: int
    ) -> list[tuple[list[int], list[int]]]:
        """For each query the keys of the chunks nearest in meaning, and of those that fit its words best, best first:
        ``limit`` of each at most."""
        await self.sync()
        stores = self._roster.of_stores(scope.owner, scope.store_ids)
        slots, total = self._roster.slots, len(self._roster)
        where = await asyncio.to_thread(lambda: wanted(choose(stores, scope.condition), slots, total))
        if not where.count:
            return [([], []) for _ in queries]
        near, matching = await asyncio.gather(
            asyncio.to_thread(self._vectors.search, vectors, where.mask, limit),
            asyncio.to_thread(self._matching, queries, where, limit),
        )
        return [*zip(near, matching, strict=True)]

    def _matching(self, queries: Sequence[str], where: Wanted, limit: int) -> list[list[int]]:
        return [self._keywords.search(query, where.keys, limit) for query in queries]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self.sync()
                await self.repair()
                async with self._syncing:
                    await asyncio.to_thread(self._vectors.tidy)
                await asyncio.to_thread(self._vectors.save)
            except Unavailable:
                continue  # which the database has said
            except Exception:
                _log.exception("bringing the index up to date failed; it is tried again")

    async def _catch_up(self) -> None:
        changes = None if self._clock is None else await self._log.since(self._clock)
        clock = await self._log.clock() if changes is None else changes.clock
        if changes is None:
            await self._compare()
        elif changes.file_keys:
            await self._apply(changes.file_keys, await self._members.searchable(self._model, [*changes.file_keys]))
        self._clock = clock

    async def _compare(self) -> None:
        """Brings the indexes up to date by going through all files."""
        files = await self._members.searchable(self._model)
        if self._clock is None:
            slots = [self._roster.number(file) for file in files]
            by_name = {(one.key, one.version): one.slot for one in slots}
            there = await asyncio.to_thread(self._vectors.restore, by_name)
            self._near = {one.key: one for one in slots if one.slot in there}
        if self._words is None:
            await asyncio.to_thread(self._reopen)
        await self._apply({*self._near, *(self._words or {})}, files)

    def _reopen(self) -> None:
        self._words = {}
        self._on_words(self._keywords.reopen)
        if self._words is not None:
            self._words = self._keywords.files()

    async def _apply(self, keys: Collection[int], files: Sequence[SearchableFile]) -> None:
        """Makes the indexes hold ``files`` and nothing else of ``keys``."""
        versions = {file.key: file.version for file in files}
        for key in keys:
            if key not in versions:
                self._roster.remove(key)
        await asyncio.to_thread(self._remove, keys, versions)
        near = {file.key: self._roster.number(file) for file in files if file.key not in self._near}
        todo = [file for file in files if file.key in near or not self._has_words(file)]
        for start in range(0, len(todo), _FILES):
            part = {file.key: file for file in todo[start : start + _FILES]}
            rows = await self._chunks.indexed([*part])
            await asyncio.to_thread(self._add, part, near, rows)
        await asyncio.to_thread(self._on_words, self._keywords.commit)
        for file in files:
            self._roster.put(self._near[file.key], file)

    def _remove(self, keys: Collection[int], versions: Mapping[int, int]) -> None:
        gone = [one for key in keys if (one := self._near.get(key)) and versions.get(key) != one.version]
        self._vectors.remove([one.slot for one in gone])
        for one in gone:
            del self._near[one.key]
        words = self._words or {}
        old = [key for key in keys if key in words and versions.get(key) != words[key]]
        self._on_words(lambda: self._keywords.remove(old))
        for key in old:
            del words[key]

    def _add(
        self, files: Mapping[int, SearchableFile], near: Mapping[int, IndexedFile], rows: Sequence[IndexedChunk]
    ) -> None:
        of_file = {key: [*group] for key, group in groupby(rows, lambda row: row.file_key)}
        for key, file in files.items():
            chunks = of_file.get(key, [])
            if key in near:
                matrices = [_matrix(row) for row in chunks]
                self._vectors.add(near[key], [row.key for row in chunks], matrices)
                self._near[key] = near[key]
            if not self._has_words(file):
                self._on_words(partial(self._add_words, file, chunks))

    def _add_words(self, file: SearchableFile, chunks: Sequence[IndexedChunk]) -> None:
        assert self._words is not None
        self._keywords.add(self._near[file.key], ((row.key, row.text) for row in chunks))
        self._words[file.key] = file.version

    def _has_words(self, file: SearchableFile) -> bool:
        """Whether the keyword index has the file; while it is broken, nothing is given to it."""
        return self._words is None or self._words.get(file.key) == file.version

    def _on_words(self, work: Callable[[], None]) -> None:
        """A change of the keyword index. Where it fails (the disk is full), the index stays as it was committed last,
        and is opened and compared again the next time."""
        if self._words is None:
            return
        try:
            work()
        except (ValueError, OSError):
            _log.exception("the keyword index cannot be written; it is behind until it can")
            self._words = None


def _matrix(chunk: IndexedChunk) -> Matrix:
    return np.frombuffer(chunk.vectors, STORED).reshape(chunk.windows, -1).astype(np.float32)
