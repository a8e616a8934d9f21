from __future__ import annotations

import pytest

from tools_runtime.search.pages import WebDocument
from tools_runtime.search.passages import best_passages

FILLER = [f"Filler {n} about nothing much. " + "lorem ipsum " * 40 for n in range(20)]


def best_passages_of(document: WebDocument, queries: list[str], chars: int) -> list[str]:
    (lines,) = best_passages([document], queries, chars)
    return lines


def page(*lines: str) -> WebDocument:
    return WebDocument("https://one.test/", "t", lines)


def test_the_best_blocks_come_in_the_pages_order_with_their_line_numbers() -> None:
    document = page(*FILLER[:5], "Ducks swim.", *FILLER[5:9], "Ducks ducks eat bread.", *FILLER[9:])
    lines = best_passages_of(document, ["What do ducks eat?", "swim"], 2000)
    numbers = [int(line.split(":")[0][1:]) for line in lines]
    assert numbers == sorted(numbers)
    assert "L6: Ducks swim." in lines and "L11: Ducks ducks eat bread." in lines


def test_where_room_is_short_the_best_block_is_shown() -> None:
    document = page(*FILLER[:5], "Ducks " + "x " * 280, *FILLER[5:9], "Ducks eat bread. " + "x " * 280)
    assert [line[:9] for line in best_passages_of(document, ["ducks eat bread"], 700)] == ["L11: Duck"]


@pytest.mark.parametrize(("query", "room"), [("geese", 2000), ("lorem", 20), ("", 2000), ("?!", 2000)])
def test_nothing_is_shown_where_nothing_fits(query: str, room: int) -> None:
    assert best_passages_of(page(*FILLER), [query], room) == []


def test_scripts_without_spaces_are_searched_by_character() -> None:
    document = page(*FILLER, "今日は東京で雨が降ります。", *FILLER)
    assert "L21: 今日は東京で雨が降ります。" in best_passages_of(document, ["東京の雨"], 1000)


def test_pages_share_the_room_by_what_they_have_to_say() -> None:
    idle, rich = page(*FILLER, "ducks"), page(*(f"Ducks eat bread {n}. " + "x " * 250 for n in range(5)))
    of_idle, of_rich, of_none = best_passages([idle, rich, page(*FILLER)], ["ducks eat bread"], 2400)
    assert (len(of_idle), len(of_rich), of_none) == (0, 4, [])
    assert best_passages([], ["ducks"], 2000) == []


def test_of_equal_pages_the_one_that_was_found_first_is_shown() -> None:
    first, second = (page(*FILLER, f"Ducks eat bread in {place}. " + "x " * 250) for place in ("Bern", "Basel"))
    assert [len(lines) for lines in best_passages([first, second], ["ducks eat bread"], 700)] == [1, 0]
