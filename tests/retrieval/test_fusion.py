"""Fusion: ranks, weights, thresholds and doubles."""

from __future__ import annotations

import pytest

from tools_runtime.retrieval.fusion import Ranking, fuse


def found(queries: list[list[Ranking[str]]], threshold: float = 0) -> list[str]:
    return [one for one, _ in fuse(queries, threshold)]


def test_what_both_put_first_scores_one():
    (first, best), (_, second), _ = fuse([[Ranking(1, "AB"), Ranking(1, "AC")]])
    assert (first, best) == ("A", 1)
    assert second == pytest.approx(0.5 * 61 / 62)


def test_weights_decide_who_is_heard():
    assert found([[Ranking(2, "AB"), Ranking(1, "BA")]]) == ["A", "B"]
    assert found([[Ranking(1, "AB"), Ranking(2, "BA")]]) == ["B", "A"]
    assert found([[Ranking(0, "A"), Ranking(1, "B")]]) == ["B"]


def test_a_ranking_that_found_nothing_takes_nothing_away():
    assert fuse([[Ranking(1, "A"), Ranking(1, "")]]) == [("A", 1)]


def test_what_several_queries_find_counts_by_the_best_of_them():
    assert [score for _, score in fuse([[Ranking(1, "AB")], [Ranking(1, "BA")]])] == [1, 1]


def test_threshold():
    assert found([[Ranking(1, "ABC")]], threshold=0.99) == ["A"]
