"""A cache in memory that also lets those who want the same thing at the same time wait for one making of it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Keeps values for ``seconds``, at most ``capacity`` in all by what ``size`` says of each; the longest unused goes
    first. ``keep`` says which of the values made are kept. Belongs to one event loop. ``clock`` counts seconds."""

    def __init__(
        self,
        *,
        seconds: float,
        capacity: int,
        size: Callable[[V], int] = lambda value: 1,
        keep: Callable[[V], bool] = lambda value: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._room = capacity
        self._size = size
        self._keep = keep
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._flights: dict[str, _Flight[V]] = {}

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: str, value: V) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock() + self._seconds, value)
        self._room -= self._size(value)
        while self._room < 0:
            self._drop(next(iter(self._entries)))

    async def get_or_make(self, key: str, make: Callable[[], Awaitable[V]]) -> V:
        """The value kept, or what ``make`` gives; it is made once for all who ask meanwhile. What it raises is raised
        to all of them and not kept. It is cancelled when the last of them is."""
        value = self.get(key)
        if value is not None:
            return value
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._make(key, make)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    async def _make(self, key: str, make: Callable[[], Awaitable[V]]) -> V:
        value = await make()
        if self._keep(value):
            self.put(key, value)
        return value

    def _drop(self, key: str) -> None:
        self._room += self._size(self._entries.pop(key)[1])


@dataclass
class _Flight(Generic[V]):
    task: asyncio.Future[V]
    waiting: int = 0
