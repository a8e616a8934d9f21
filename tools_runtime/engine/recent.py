"""What one connection remembers: the latest response of each of its lanes, so that the next request can go on from it
although it was not stored. Nothing of it is written down, and all is gone with the connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools_runtime.protocol.items import Item

Lane = str | None
"""A lane's name; None is the one without."""


@dataclass(frozen=True)
class Remembered:
    """``items`` are all of the chain, oldest first; ``stored``: whether the stores have them too."""

    response_id: str
    items: Sequence[Item]
    stored: bool


class Recent:
    """The latest responses of one connection."""

    def __init__(self) -> None:
        self._latest: dict[Lane, Remembered] = {}

    def find(self, response_id: str) -> Remembered | None:
        """From any lane: lanes may fork one another's responses."""
        return next((latest for latest in self._latest.values() if latest.response_id == response_id), None)

    def keep(self, lane: Lane, response: Remembered) -> None:
        self._latest[lane] = response

    def evict(self, lane: Lane, response_id: str | None) -> None:
        """Forgets the response from which ``lane`` could not go on; another lane's is kept for that lane."""
        latest = self._latest.get(lane)
        if latest is not None and latest.response_id == response_id:
            del self._latest[lane]
