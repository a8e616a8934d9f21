"""Reranking by a cross-encoder of sentence-transformers, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tools_runtime.retrieval.torch_caches import bound_torch_caches

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_BATCH = 16


class CrossEncoderReranker:
    """Any cross-encoder with one output, by name or folder. Loaded when first used."""

    def __init__(self, model: str) -> None:
        self._name = model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._model: CrossEncoder | None = None

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """For each text how well it answers the query, between 0 and 1."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._scores, query, list(texts))

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _scores(self, query: str, texts: list[str]) -> list[float]:
        bound_torch_caches()
        # Imported here: it takes seconds, and most servers rerank nothing.
        import torch
        from sentence_transformers import CrossEncoder

        if self._model is None:
            self._model = CrossEncoder(self._name, num_labels=1)
        pairs = [(query, text) for text in texts]
        found = self._model.predict(pairs, batch_size=_BATCH, show_progress_bar=False, activation_fn=torch.nn.Sigmoid())
        return [float(score) for score in found]
