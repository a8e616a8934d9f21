"""A container in use: an id that was given out, and the session behind it once there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox import Session
from tools_runtime.stores import NewContainer, StoredContainerFile
from tools_runtime.tools.code_interpreter.meter import Meter


@dataclass(eq=False)
class Container:
    """An id that was given out, and the session behind it once there is one, with its meter.

    ``stored``: the database knows it. ``restores`` is the expired container whose files this one takes over when it
    begins. ``pending`` are files to put in before the next cell; ``names`` are all that were ever put in, relative to
    /mnt/data. ``files`` are those that are stored, by path, once somebody asked.
    ``unused``: it was made for a response, which has run no code in it yet.
    """

    id: str
    owner: str
    options: NewContainer
    used_at: float
    restores: str | None = None
    stored: bool = False
    session: Session | None = None
    meter: Meter | None = None
    pending: dict[str, bytes] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    files: dict[str, StoredContainerFile] | None = None
    unused: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def running(self) -> Session | None:
        """The session, if there is one and it has not ended."""
        return self.session if self.session is not None and self.session.alive else None

    def add_files(self, files: Mapping[str, bytes]) -> None:
        """Files that the container had before are not put in again: code may have changed them."""
        fresh = {name: data for name, data in files.items() if name not in self.names}
        self.pending.update(fresh)
        self.names.update(fresh)

    def expired(self, now: float) -> bool:
        """Whether its session has ended, or it was not used for too long: by whole seconds, as they are stored, so
        that a container that a list shows as expired does not live on."""
        if self.turn.locked():
            return False
        ended = self.session is not None and not self.running
        return ended or int(self.used_at) + self.options.idle_minutes * 60 <= now
