"""Under which headings a place of a document stands."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from tools_runtime.retrieval import Document

_HEADING = re.compile(r"^(?:```.*?^```|(#{1,6})[ \t]+([^\n]+))", re.MULTILINE | re.DOTALL)
"""A heading as Markdown writes it; fenced code is passed over, since its comments look alike."""
_MAX_TITLE = 200
_PARTING = " > "


class Headings:
    """The headings of a document that marks them."""

    def __init__(self, document: Document) -> None:
        self._places: list[int] = []
        self._paths: list[str] = []
        for place, path in _paths(document.text) if document.marked else ():
            self._places.append(place)
            self._paths.append(path)

    def at(self, place: int) -> str | None:
        """The titles of the headings above a character, from the widest to the narrowest: ``Report > Findings``. None
        before the first."""
        number = bisect_right(self._places, place)
        return self._paths[number - 1] if number else None


def _paths(text: str) -> Iterator[tuple[int, str]]:
    above: list[tuple[int, str]] = []
    for match in _HEADING.finditer(text):
        if match[1] is None:
            continue
        level, title = len(match[1]), match[2].strip(" \t#")[:_MAX_TITLE]
        above = [*(one for one in above if one[0] < level), (level, title)]
        yield match.start(), _PARTING.join(title for _, title in above)
