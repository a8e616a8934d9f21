"""Chunks overlap, so that what stands at an edge is found; but the same text twice only takes the room of another."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from tools_runtime.retrieval import Passage

_LEAST_NEW = 0.7
"""The share of a passage's text that no better one may hold."""


def distinct(passages: Sequence[Passage], limit: int) -> list[Passage]:
    """The best ``limit`` of the passages, best first, that tell something new: first of those that are new for the most
    part, and where these are too few, of those that add anything."""
    return _chosen(passages, limit, (_LEAST_NEW, 0.0))


def enough(passages: Sequence[Passage], limit: int) -> bool:
    """Whether ``limit`` of the passages are new for the most part, so that worse ones beside them change nothing."""
    return len(_chosen(passages, limit, (_LEAST_NEW,))) == limit


def _chosen(passages: Sequence[Passage], limit: int, leasts: Sequence[float]) -> list[Passage]:
    chosen: dict[int, Passage] = {}
    told: dict[str, list[tuple[int, int]]] = {}
    for least in leasts:
        for place, passage in enumerate(passages):
            if len(chosen) == limit:
                break
            ranges = told.setdefault(passage.file_id, [])
            length = passage.end - passage.start
            if place not in chosen and _new(passage.start, passage.end, ranges) > least * length:
                chosen[place] = passage
                insort(ranges, (passage.start, passage.end))
    return [chosen[place] for place in sorted(chosen)]


def _new(start: int, end: int, ranges: Sequence[tuple[int, int]]) -> int:
    """How many characters from ``start`` to ``end`` are in none of the ranges, which are sorted."""
    new, reached = 0, start
    for begin, stop in ranges:
        if stop > reached and begin < end:
            new += max(0, begin - reached)
            reached = max(reached, stop)
    return new + max(0, end - reached)
