"""What containers should be like after each thing that was done to them: a few dictionaries beside the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE_SECONDS = 20 * 60


@dataclass
class Shadow:
    """A container. ``stored`` are its files by name; ``disk`` and ``variable`` are those of its session, if it has one.

    ``order``: greater the later it was used.
    """

    id: str
    used_at: float
    order: int
    stored: dict[str, bytes] = field(default_factory=dict)
    disk: dict[str, bytes] | None = None
    variable: int | None = None
    ended: bool = False


class Shadows:
    """All containers. ``now`` is the seconds by which the clock was put forward."""

    def __init__(self, places: int) -> None:
        self.known: dict[str, Shadow] = {}
        self.now = 0.0
        self._places = places
        self._order = 0

    def add(self, id: str) -> Shadow:
        self._order += 1
        self.known[id] = Shadow(id, self.now, self._order)
        return self.known[id]

    def expired(self, shadow: Shadow) -> bool:
        return shadow.ended or shadow.used_at + IDLE_SECONDS <= self.now

    def use(self, shadow: Shadow) -> bool:
        """Whether it can be used; its idle time begins anew then."""
        if self.expired(shadow):
            self.end(shadow)
            return False
        self._order += 1
        shadow.used_at, shadow.order = self.now, self._order
        return True

    def begin(self, shadow: Shadow) -> None:
        """It has a session from here on; the one longest unused makes room."""
        if shadow.disk is not None:
            return
        live = [other for other in self.known.values() if other.disk is not None]
        if len(live) >= self._places:
            self.end(min(live, key=lambda other: other.order))
        shadow.disk, shadow.variable = dict(shadow.stored), None

    def write(self, shadow: Shadow, name: str, data: bytes) -> None:
        shadow.stored[name] = data
        if shadow.disk is not None:
            shadow.disk[name] = data

    def end(self, shadow: Shadow) -> None:
        shadow.ended, shadow.disk, shadow.variable = True, None, None

    def forward(self, seconds: float) -> None:
        self.now += seconds
        for shadow in self.known.values():
            if self.expired(shadow):
                self.end(shadow)

    def restart(self) -> None:
        for shadow in self.known.values():
            if shadow.disk is not None:
                self.end(shadow)
