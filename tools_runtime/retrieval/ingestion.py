"""Reads the files that vector stores are waiting for, in the background."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from tools_runtime import metrics
from tools_runtime.errors import is_full
from tools_runtime.retrieval import Embedder, Reader, Unreadable
from tools_runtime.retrieval.batching import EmbeddingQueue
from tools_runtime.retrieval.chunking import Chunker
from tools_runtime.retrieval.passages import Passages
from tools_runtime.stores import ErrorCode, VectorStoreFile
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.files import FileStore
from tools_runtime.stores.jobs import Job, JobStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestLimits:
    """``files`` are in work at a time; each has ``attempts``, with pauses between them that grow from ``retry_seconds``
    on; ``batch_texts`` go to the embedding model in one call; a lease is renewed three times in ``lease_seconds``."""

    files: int = 4
    attempts: int = 3
    retry_seconds: float = 2
    batch_texts: int = 32
    lease_seconds: float = 30
    poll_seconds: float = 1


@dataclass(frozen=True)
class Pipeline:
    """What turns a file into chunks."""

    reader: Reader
    chunker: Chunker
    embedder: Embedder


class Ingestor:
    """Turns files in progress into passages. The database's rows are the queue, shared by all processes; each leases
    what it works on. What a crash interrupts is taken over when its lease ends, or at once by the next process in the
    same folder; what a stop interrupts is given back."""

    def __init__(
        self, files: FileStore, jobs: JobStore, passages: Passages, pipeline: Pipeline, limits: IngestLimits
    ) -> None:
        self._files = files
        self._jobs = jobs
        self._passages = passages
        self._reader, self._chunker = pipeline.reader, pipeline.chunker
        self._model = pipeline.embedder.model
        self._embedding = EmbeddingQueue(pipeline.embedder, batch_texts=limits.batch_texts)
        self._limits = limits
        self._free = asyncio.Semaphore(limits.files)
        self._more = asyncio.Event()
        self._working: dict[int, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins the work, with what was left undone."""
        await self._jobs.recover(self._model)
        self._free = asyncio.Semaphore(self._limits.files)
        self._embedding.start()
        self._tasks = [asyncio.create_task(self._dispatch()), asyncio.create_task(self._hold())]

    async def stop(self) -> None:
        """Ends the work at once; nothing is half done."""
        keys = [*self._working]
        tasks = [*self._tasks, *self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._embedding.stop()
        await self._jobs.release(keys)

    def notify(self) -> None:
        """Says that there are new jobs; those of other processes are found in time."""
        self._more.set()

    async def _dispatch(self) -> None:
        store = ""
        while True:
            await self._free.acquire()
            job = await self._next(store)
            store = job.file.vector_store_id
            task = asyncio.create_task(self._do(job))
            self._working[job.file.key] = task
            task.add_done_callback(lambda _, key=job.file.key: self._done(key))  # type: ignore[misc]

    async def _next(self, after: str) -> Job:
        while True:
            self._more.clear()
            try:
                job = await self._jobs.claim(after)
            except Unavailable:
                job = None
            except Exception:
                _log.exception("no job can be had from the database; it is tried again")
                job = None
            if job is not None:
                return job
            try:
                async with asyncio.timeout(self._limits.poll_seconds):
                    await self._more.wait()
            except TimeoutError:
                pass

    def _done(self, key: int) -> None:
        self._working.pop(key, None)
        self._free.release()

    async def _hold(self) -> None:
        """Renews the leases, and ends the work on jobs that are no longer wanted."""
        while True:
            await asyncio.sleep(self._limits.lease_seconds / 3)
            keys = {*self._working}
            try:
                lost = keys - await self._jobs.renew(keys) if keys else set()
            except Unavailable:
                continue
            except Exception:
                _log.exception("leases cannot be renewed; it is tried again")
                continue
            for key in lost & self._working.keys():
                self._working[key].cancel()

    async def _do(self, job: Job) -> None:
        try:
            await self._attempt(job)
        except Unavailable:
            _log.warning("the outcome of %s cannot be noted: it is read again when its lease ends", job.file.file_id)
        except Exception:
            # The database refuses: the job stays as it is, and is free again when its lease ends.
            _log.exception("the outcome of %s cannot be noted", job.file.file_id)

    async def _attempt(self, job: Job) -> None:
        file, limits = job.file, self._limits
        try:
            if job.attempts > limits.attempts:  # the process died each time
                await self._fail(file, "server_error", "Processing the file was interrupted too often.")
                return
            await self._ingest(file)
        except Unreadable as error:
            await self._fail(file, error.code, str(error))
        except Exception as error:
            if is_full(error) or isinstance(error, Unavailable):  # which is not the file's fault: it waits
                _log.warning("%s: %s waits", "the disk is full" if is_full(error) else error, file.file_id)
                await self._jobs.retry(file, str(error), limits.retry_seconds, counted=False)
                return
            _log.exception("attempt %d at %s failed", job.attempts, file.file_id)
            if job.attempts < limits.attempts:
                pause = limits.retry_seconds * 2 ** (job.attempts - 1)
                await self._jobs.retry(file, f"{type(error).__name__}: {error}"[:1000], pause)
            else:
                await self._fail(file, "server_error", "The file could not be processed.")

    async def _ingest(self, member: VectorStoreFile) -> None:
        file = await self._files.get(member.owner, member.file_id)
        if file is None:  # deleted or expired meanwhile
            await self._fail(member, "server_error", "The file is no longer there.")
            return
        document = await self._reader.read(self._files.path(file), file.filename)
        pieces = await asyncio.to_thread(self._chunker.split, document, member.chunk_tokens, member.overlap_tokens)
        matrices = await self._embedding.passages([piece.text for piece in pieces])
        await self._passages.add(member, self._jobs.worker, pieces, matrices)
        metrics.files_ingested.labels("completed").inc()

    async def _fail(self, file: VectorStoreFile, code: ErrorCode, message: str) -> None:
        metrics.files_ingested.labels(code).inc()
        await self._jobs.fail(file, code, message)
