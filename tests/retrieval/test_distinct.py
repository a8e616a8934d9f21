"""Passages that repeat each other: which of them come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tools_runtime.retrieval import Passage
from tools_runtime.retrieval.distinct import distinct, enough


def passage(start: int, end: int, score: float = 0.5, file: str = "a") -> Passage:
    return Passage(file, file, {}, "x" * (end - start), score, start, end, None, None)


def places(passages: list[Passage]) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in passages]


def test_a_neighbour_that_repeats_the_better_one_makes_room_for_another():
    found = [passage(0, 800), passage(400, 1200), passage(5000, 5800)]
    assert places(distinct(found, 2)) == [(0, 800), (5000, 5800)]


def test_where_there_is_room_what_adds_anything_comes_back_in_order():
    found = [passage(0, 800), passage(400, 1200), passage(5000, 5800)]
    assert distinct(found, 9) == found


def test_what_two_better_ones_hold_between_them_adds_nothing():
    assert places(distinct([passage(0, 800), passage(800, 1600), passage(400, 1200)], 9)) == [(0, 800), (800, 1600)]


def test_small_overlaps_and_other_files_do_not_matter():
    found = [passage(0, 800), passage(0, 800, file="b"), passage(700, 1500), passage(1400, 2000)]
    assert distinct(found, 4) == found


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=20), st.integers(1, 20))
def test_with_room_enough_no_text_is_lost(given_places: list[tuple[int, int]], limit: int):
    found = [passage(start, start + length) for start, length in given_places]
    chosen = distinct(found, limit)
    assert len(chosen) <= limit
    assert bool(chosen) == bool(found)
    told = {place for one in distinct(found, len(found)) for place in range(one.start, one.end)}
    if enough(found[: len(found) // 2], limit):
        assert chosen == distinct(found[: len(found) // 2], limit)
    assert told == {place for one in found for place in range(one.start, one.end)}
