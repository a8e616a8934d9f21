"""Texts of several files in one call of the embedding model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools_runtime.retrieval import Embedder, Matrix

_CALLS = 2
"""At a time, so that the model finds the next one waiting when it is done with one."""


@dataclass(eq=False)
class _Request:
    texts: Sequence[str]
    done: asyncio.Future[list[Matrix]]
    begun: int = 0
    matrices: dict[int, Matrix] = field(default_factory=dict)


class EmbeddingQueue:
    """Embeds the texts of the files in work in batches of ``batch_texts``, to which each file contributes alike: small
    files fill a batch together, and a large one does not hold them up."""

    def __init__(self, embedder: Embedder, *, batch_texts: int) -> None:
        self._embedder = embedder
        self._size = batch_texts
        self._requests: list[_Request] = []
        self._some = asyncio.Condition()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(_CALLS)]

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        """As ``Embedder.passages``; raises what that raises for these texts."""
        if not texts:
            return []
        request = _Request(texts, asyncio.get_running_loop().create_future())
        async with self._some:
            self._requests.append(request)
            self._some.notify_all()
        try:
            return await request.done
        finally:
            if request in self._requests:
                self._requests.remove(request)

    async def _work(self) -> None:
        while True:
            async with self._some:
                await self._some.wait_for(lambda: self._requests)
                batch = self._take()
            try:
                await self._embed(batch)
            except Exception:
                # Whose fault it is shows when each is asked for alone.
                for part in batch:
                    try:
                        await self._embed([part])
                    except Exception as error:
                        if not part[0].done.done():
                            part[0].done.set_exception(error)

    def _take(self) -> list[tuple[_Request, range]]:
        """The next batch: of each request its share; what one does not need goes to the others."""
        batch, room = [], self._size
        waiting = sorted(self._requests, key=lambda one: len(one.texts) - one.begun)
        for number, request in enumerate(waiting):
            share = max(1, room // (len(waiting) - number))
            texts = range(request.begun, min(len(request.texts), request.begun + share, request.begun + room))
            if texts:
                request.begun = texts.stop
                room -= len(texts)
                batch.append((request, texts))
            if request.begun == len(request.texts):
                self._requests.remove(request)
        return batch

    async def _embed(self, batch: Sequence[tuple[_Request, range]]) -> None:
        places = [(request, number) for request, texts in batch for number in texts]
        matrices = await self._embedder.passages([request.texts[number] for request, number in places])
        for (request, number), matrix in zip(places, matrices, strict=True):
            request.matrices[number] = matrix
        for request, _ in batch:
            if len(request.matrices) == len(request.texts) and not request.done.done():
                request.done.set_result([request.matrices[number] for number in range(len(request.texts))])
