"""Fusion: ranks, weights, thresholds and doubles."""

from __future__ import annotations

import pytest

from tools_runtime.retrieval.fusion import Ranking, fuse
from tools_runtime.retrieval.words import keywords
from tools_runtime.stores import Chunk


def chunk(key: int, file: str = "f", start: int | None = None) -> Chunk:
    return Chunk(key, key, file, f"{file}.txt", {}, str(key), key * 10 if start is None else start, 1000, None, None)


A, B, C = chunk(1), chunk(2), chunk(3)


def keys(queries: list[list[Ranking]], limit: int = 10, threshold: float = 0) -> list[str]:
    return [passage.text for passage in fuse(queries, limit, threshold)]


def test_what_both_put_first_scores_one():
    first, second, _ = fuse([[Ranking(1, [A, B]), Ranking(1, [A, C])]], 10, 0)
    assert (first.text, first.score) == ("1", 1)
    assert second.score == pytest.approx(0.5 * 61 / 62)


def test_weights_decide_who_is_heard():
    assert keys([[Ranking(2, [A, B]), Ranking(1, [B, A])]]) == ["1", "2"]
    assert keys([[Ranking(1, [A, B]), Ranking(2, [B, A])]]) == ["2", "1"]
    assert keys([[Ranking(0, [A]), Ranking(1, [B])]]) == ["2"]


def test_a_ranking_that_found_nothing_takes_nothing_away():
    assert fuse([[Ranking(1, [A]), Ranking(1, [])]], 10, 0)[0].score == 1


def test_a_passage_counts_by_its_best_query_and_once():
    passages = fuse([[Ranking(1, [A, B])], [Ranking(1, [B, A])]], 10, 0)
    assert [passage.score for passage in passages] == [1, 1]
    twice = fuse([[Ranking(1, [A, chunk(9, start=10), B])]], 10, 0)
    assert len(twice) == 2 and twice[1].score == pytest.approx(61 / 62)


def test_limit_and_threshold():
    rankings = [[Ranking(1, [A, B, C])]]
    assert keys(rankings, limit=2) == ["1", "2"]
    assert keys(rankings, threshold=0.99) == ["1"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("What is the height of the tower?", ["height", "tower"]),
        ("to be or not to be", ["to", "be", "or", "not"]),
        ("XK-4711/b", ["xk", "4711", "b"]),
        ("Straße 日本", ["straße", "日本"]),
        ("?!", []),
    ],
)
def test_keywords(query: str, words: list[str]):
    assert keywords(query) == words
