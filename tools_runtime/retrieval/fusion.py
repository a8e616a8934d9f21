"""One ranked list of several: by meaning and by words, for several queries, from several vector stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools_runtime.retrieval import Passage
from tools_runtime.stores import Chunk

_K = 60
"""Of reciprocal rank fusion: how little the first ranks count above the next. Flat between 10 and 100 in trials."""

Place = tuple[str, int, int]


@dataclass(frozen=True)
class Ranking:
    """What one way of searching found, best first, and how much it counts."""

    weight: float
    chunks: Sequence[Chunk]


def fuse(queries: Sequence[Sequence[Ranking]], limit: int, threshold: float) -> list[Passage]:
    """Weighted reciprocal rank fusion of each query's rankings. A score is the share of the best possible one: 1 for
    what all rankings of a query that found anything put first. A passage counts by the query that it fits best, and
    once where several vector stores hold its file."""
    chunks: dict[Place, Chunk] = {}
    best: dict[Place, float] = {}
    for given in queries:
        rankings = [ranking for ranking in given if ranking.weight and ranking.chunks]
        for place, score in _scores(rankings, chunks).items():
            best[place] = max(score, best.get(place, 0.0))
    order = sorted((place for place in best if best[place] >= threshold), key=lambda place: -best[place])
    return [_passage(chunks[place], best[place]) for place in order[:limit]]


def _scores(rankings: Sequence[Ranking], chunks: dict[Place, Chunk]) -> dict[Place, float]:
    scores: dict[Place, float] = {}
    possible = sum(ranking.weight for ranking in rankings) / (_K + 1)
    for ranking in rankings:
        found = {(chunk.file_id, chunk.start, chunk.end): chunk for chunk in ranking.chunks}
        chunks.update(found)
        for rank, place in enumerate(found, 1):
            scores[place] = scores.get(place, 0.0) + ranking.weight / (_K + rank) / possible
    return scores


def _passage(chunk: Chunk, score: float) -> Passage:
    return Passage(
        file_id=chunk.file_id,
        filename=chunk.filename,
        attributes=chunk.attributes,
        text=chunk.text,
        score=min(1.0, score),
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        heading=chunk.heading,
    )
