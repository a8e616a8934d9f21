"""One ranked list of several: by meaning and by words, for several queries."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_K = 60
"""Of reciprocal rank fusion: how little the first ranks count above the next. Flat between 10 and 100 in trials."""


@dataclass(frozen=True)
class Ranking(Generic[K]):
    """What one way of searching found, best first, and how much it counts."""

    weight: float
    found: Sequence[K]


def fuse(queries: Sequence[Sequence[Ranking[K]]], threshold: float = 0) -> list[tuple[K, float]]:
    """Weighted reciprocal rank fusion of each query's rankings: what was found, best first, with its score. A score is
    the share of the best possible one: 1 for what all rankings of a query that found anything put first. What several
    queries found counts by the one that it fits best."""
    best: dict[K, float] = {}
    for given in queries:
        rankings = [ranking for ranking in given if ranking.weight and ranking.found]
        for one, score in _scores(rankings).items():
            best[one] = max(score, best.get(one, 0.0))
    passing = [(one, score) for one, score in best.items() if score >= threshold]
    return sorted(passing, key=lambda pair: -pair[1])


def _scores(rankings: Sequence[Ranking[K]]) -> dict[K, float]:
    scores: dict[K, float] = {}
    possible = sum(ranking.weight for ranking in rankings) / (_K + 1)
    for ranking in rankings:
        for rank, one in enumerate(ranking.found, 1):
            scores[one] = min(1.0, scores.get(one, 0.0) + ranking.weight / (_K + rank) / possible)
    return scores
