"""Which files can be found: a copy in memory of what the database says, so that a search need not ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools_runtime.protocol.tools import AttributeFilter
from tools_runtime.retrieval import IndexedFile, Keys, Mask, filters
from tools_runtime.stores import SearchableFile


@dataclass(frozen=True)
class Wanted:
    """The files that a search is confined to. ``keys`` is None where they are all that there are."""

    mask: Mask
    keys: Keys | None
    count: int


Listed = tuple[IndexedFile, SearchableFile]


class Roster:
    """The searchable files of all owners by key and vector store. One thread changes and asks it; the lists that
    ``of_stores`` returns stay as they are and may be read by others."""

    def __init__(self) -> None:
        self._files: dict[int, Listed] = {}
        self._stores: dict[tuple[str, str], dict[int, Listed]] = {}
        self._lists: dict[tuple[str, str], list[Listed]] = {}
        self._slots = 1

    def __len__(self) -> int:
        return len(self._files)

    @property
    def slots(self) -> int:
        """One more than the highest slot that was given."""
        return self._slots

    def number(self, file: SearchableFile) -> IndexedFile:
        """Gives a slot to a file."""
        self._slots += 1
        return IndexedFile(self._slots - 1, file.key, file.version)

    def put(self, indexed: IndexedFile, file: SearchableFile) -> None:
        """Lets a file be found from now on, by these attributes."""
        place = file.owner, file.vector_store_id
        self._files[file.key] = self._stores.setdefault(place, {})[file.key] = indexed, file
        self._lists.pop(place, None)

    def remove(self, key: int) -> None:
        """Lets a file be found no longer; one that could not be is passed over."""
        if key not in self._files:
            return
        _, file = self._files.pop(key)
        place = file.owner, file.vector_store_id
        self._lists.pop(place, None)
        del self._stores[place][key]
        if not self._stores[place]:
            del self._stores[place]

    def of_stores(self, owner: str, store_ids: Sequence[str]) -> list[list[Listed]]:
        """The files of each of the owner's vector stores."""
        return [self._list((owner, id)) for id in dict.fromkeys(store_ids)]

    def _list(self, place: tuple[str, str]) -> list[Listed]:
        if place not in self._lists:
            self._lists[place] = [*self._stores.get(place, {}).values()]
        return self._lists[place]


def choose(stores: Sequence[Sequence[Listed]], condition: AttributeFilter | None) -> list[IndexedFile]:
    """The files that pass. One that several vector stores hold in the same pieces is searched in the first of them."""
    chosen: list[IndexedFile] = []
    seen: set[tuple[str, int, int]] = set()
    for store in stores:
        passing = (
            store if condition is None else [one for one in store if filters.matches(condition, one[1].attributes)]
        )
        if len(stores) == 1:
            return [indexed for indexed, _ in passing]
        for indexed, file in passing:
            pieces = file.file_id, file.chunk_tokens, file.overlap_tokens
            if pieces not in seen:
                seen.add(pieces)
                chosen.append(indexed)
    return chosen


def wanted(chosen: Sequence[IndexedFile], slots: int, total: int) -> Wanted:
    """These files, of ``total`` with slots below ``slots``, as the indexes take them."""
    mask = np.zeros(slots, bool)
    mask[[file.slot for file in chosen]] = True
    keys = None if len(chosen) == total else np.sort(np.asarray([file.key for file in chosen], np.int64))
    return Wanted(mask, keys, len(chosen))
