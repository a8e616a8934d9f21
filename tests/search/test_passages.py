from __future__ import annotations

import pytest

from tools_runtime.search.pages import WebDocument
from tools_runtime.search.passages import best_passages

FILLER = [f"Filler {n} about nothing much. " + "lorem ipsum " * 40 for n in range(20)]


def page(*lines: str) -> WebDocument:
    return WebDocument("https://one.test/", "t", lines)


def test_the_best_blocks_come_in_the_pages_order_with_their_line_numbers() -> None:
    document = page(*FILLER[:5], "Ducks swim.", *FILLER[5:9], "Ducks ducks eat bread.", *FILLER[9:])
    lines = best_passages(document, ["What do ducks eat?", "swim"], 2000)
    numbers = [int(line.split(":")[0][1:]) for line in lines]
    assert numbers == sorted(numbers)
    assert "L6: Ducks swim." in lines and "L11: Ducks ducks eat bread." in lines


def test_where_room_is_short_the_best_block_is_shown() -> None:
    document = page(*FILLER[:5], "Ducks " + "x " * 280, *FILLER[5:9], "Ducks eat bread. " + "x " * 280)
    assert [line[:9] for line in best_passages(document, ["ducks eat bread"], 700)] == ["L11: Duck"]


@pytest.mark.parametrize(("query", "room"), [("geese", 2000), ("lorem", 20), ("", 2000), ("?!", 2000)])
def test_nothing_is_shown_where_nothing_fits(query: str, room: int) -> None:
    assert best_passages(page(*FILLER), [query], room) == []


def test_scripts_without_spaces_are_searched_by_character() -> None:
    document = page(*FILLER, "今日は東京で雨が降ります。", *FILLER)
    assert "L21: 今日は東京で雨が降ります。" in best_passages(document, ["東京の雨"], 1000)
