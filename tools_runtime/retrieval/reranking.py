"""A ranked list in the order of a model that reads query and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tools_runtime.retrieval import Passage, Reranker


async def reranked(reranker: Reranker, queries: Sequence[str], passages: Sequence[Passage]) -> list[Passage]:
    """The passages, best first, with the reranker's scores. A passage counts by the query that it fits best."""
    texts = [passage.text for passage in passages]
    if not texts:
        return []
    by_query = [await reranker.scores(query, texts) for query in queries]
    best = [max(scores) for scores in zip(*by_query, strict=True)]
    found = [replace(passage, score=score) for passage, score in zip(passages, best, strict=True)]
    return sorted(found, key=lambda passage: -passage.score)
