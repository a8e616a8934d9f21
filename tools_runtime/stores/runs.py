"""Background responses as durable jobs, and conversations that are locked while a response is under way in them.

Both are rows of ``runs``, leased like ingestion's jobs (``stores/jobs.py``), but by token: a run that was taken over is
not to be written to by its former holder, be it in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from tools_runtime import ids
from tools_runtime.stores import Lease, StoredEvent, StoredResponse, Waiting
from tools_runtime.stores.database import Database
from tools_runtime.stores.events import add_events
from tools_runtime.stores.leases import give_up, is_held
from tools_runtime.stores.responses import add_response, end_response
from tools_runtime.stores.schema import conversations, responses, runs

_RUN = runs.c
_BACKGROUND = _RUN.request.is_not(None)
_FREE: dict[str, Any] = {"worker": None, "token": None, "lease_until": None}
_SPENT = b""
"""In place of a request that will not be read again."""


class RunStore:
    """The runs as one worker sees them. What it leases is its own for ``lease_seconds``, and again with each
    ``renew``; then another may take it over."""

    def __init__(self, database: Database, *, worker: str, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker
        self.lease_seconds = lease_seconds

    # --- conversations ---

    async def lock(self, owner: str, conversation_id: str, response_id: str) -> Lease | None:
        """Locks the conversation for a response that begins; None if it is locked. A conversation that does not exist
        is not locked, but no error either."""
        lease = Lease(owner, response_id, ids.new("lease"))
        exists = select(conversations.c.id).where(conversations.c.owner == owner, conversations.c.id == conversation_id)
        lock = _RUN.conversation_id == conversation_id
        ended = and_(lock, ~_BACKGROUND, _RUN.lease_until < time.time())

        def work(connection: Connection) -> bool:
            if connection.scalar(exists) is None:
                return True
            connection.execute(delete(runs).where(ended))
            if connection.scalar(select(_RUN.key).where(lock)) is not None:
                return False
            row = self._held(lease) | {"conversation_id": conversation_id, "begun": True}
            connection.execute(insert(runs), row)
            return True

        return lease if await self._database.write(work) else None

    async def release(self, lease: Lease) -> None:
        """Ends a run of which nothing is kept."""
        await self._database.write(lambda connection: give_up(connection, lease))

    # --- background responses ---

    async def queue(
        self,
        response: StoredResponse,
        request: bytes,
        events: Sequence[StoredEvent],
        lease: Lease,
        *,
        waits: bool,
        most: int,
    ) -> Literal["queued", "full", "lost"]:
        """Stores a response that is to be run: by whoever has the ``lease``, or, if it ``waits``, by anyone. ``lease``
        is the conversation's, if there is one. ``full``: the owner has ``most`` that wait; ``lost``: the lock on the
        conversation is. Nothing is done then."""
        owned = select(func.count()).where(_RUN.owner == response.owner, _BACKGROUND, _RUN.token.is_(None))

        def work(connection: Connection) -> Literal["queued", "full", "lost"]:
            if waits and (connection.scalar(owned) or 0) >= most:
                return "full"
            if response.conversation_id is not None and not give_up(connection, lease):
                return "lost"
            add_response(connection, response)
            row = self._held(lease) | (_FREE if waits else {})
            more = {"conversation_id": response.conversation_id, "request": request, "begun": False}
            connection.execute(insert(runs), row | more)
            add_events(connection, response.id, events)
            return "queued"

        return await self._database.write(work)

    async def claim(self) -> Waiting | None:
        """Leases the response that has waited longest, or was leased by a process that ended before it began."""
        free = _BACKGROUND, ~_RUN.begun, or_(_RUN.token.is_(None), _RUN.lease_until < time.time())
        return await self._lease_oldest(*free)

    async def begin(self, lease: Lease) -> bool:
        """Notes that the run begins: from now on it is not begun again. False if it is another's."""

        def work(connection: Connection) -> bool:
            if not is_held(connection, lease):
                return False
            mine = _RUN.response_id == lease.response_id
            connection.execute(update(runs).where(mine).values(begun=True, request=_SPENT))
            connection.execute(
                update(responses).where(responses.c.id == lease.response_id).values(status="in_progress")
            )
            return True

        return await self._database.write(work)

    async def record(self, lease: Lease, events: Sequence[StoredEvent]) -> bool:
        """Stores events of the run; False if it is another's."""

        def work(connection: Connection) -> bool:
            if not is_held(connection, lease):
                return False
            add_events(connection, lease.response_id, events)
            return True

        return await self._database.write(work)

    async def finish(
        self, lease: Lease, response: StoredResponse, events: Sequence[StoredEvent], events_until: int
    ) -> bool:
        """Ends the run with its last events and what is to be kept of it, all at once; False if it is another's."""

        def work(connection: Connection) -> bool:
            if not give_up(connection, lease):
                return False
            add_events(connection, response.id, events)
            end_response(connection, response, events_until)
            return True

        return await self._database.write(work)

    async def give_back(self, lease: Lease) -> bool:
        """Lets a response that has not begun wait again; False if it has begun or is another's."""
        mine = update(runs).where(_RUN.token == lease.token, ~_RUN.begun).values(**_FREE)
        return await self._database.write(lambda connection: connection.execute(mine).rowcount > 0)

    async def take_over(self, owner: str, response_id: str) -> Lease | None:
        """Takes a background response from whoever has it; None if it has ended."""
        lease = Lease(owner, response_id, ids.new("lease"))
        this = _RUN.owner == owner, _RUN.response_id == response_id, _BACKGROUND
        taken = update(runs).where(*this).values(**self._held(lease))
        return lease if await self._database.write(lambda connection: connection.execute(taken).rowcount) else None

    # --- leases ---

    async def recover(self) -> None:
        """Lets everyone take over what an earlier process of this worker's name had leased. Before anything else."""
        mine = _RUN.worker == self._worker

        def work(connection: Connection) -> None:
            connection.execute(delete(runs).where(mine, ~_BACKGROUND))
            connection.execute(update(runs).where(mine).values(lease_until=0))

        await self._database.write(work)

    async def renew(self, leases: Collection[Lease]) -> set[Lease]:
        """Holds on to these leases. Returns those that are still held."""
        tokens = [lease.token for lease in leases]
        until = time.time() + self.lease_seconds
        kept = update(runs).where(_RUN.token.in_(tokens)).values(lease_until=until)

        def work(connection: Connection) -> set[str]:
            connection.execute(kept)
            return set(connection.scalars(select(_RUN.token).where(_RUN.token.in_(tokens))))

        held = await self._database.write(work)
        return {lease for lease in leases if lease.token in held}

    async def held(self, leases: Collection[Lease]) -> set[Lease]:
        """Those of the leases that nobody has taken over."""
        query = select(_RUN.token).where(_RUN.token.in_([lease.token for lease in leases]))
        held = await self._database.read(lambda connection: set(connection.scalars(query)))
        return {lease for lease in leases if lease.token in held}

    async def orphan(self) -> Lease | None:
        """Leases a background response whose run began in a process that has not been seen for the time of a lease. It
        cannot be gone on with, only ended."""
        left = await self._lease_oldest(_BACKGROUND, _RUN.begun, _RUN.lease_until < time.time())
        return None if left is None else left.lease

    async def _lease_oldest(self, *which: ColumnElement[bool]) -> Waiting | None:
        oldest = select(runs).where(*which).order_by(_RUN.key).limit(1)

        def work(connection: Connection) -> Waiting | None:
            row = connection.execute(oldest).one_or_none()
            if row is None:
                return None
            lease = Lease(row.owner, row.response_id, ids.new("lease"))
            connection.execute(update(runs).where(_RUN.key == row.key).values(**self._held(lease)))
            return Waiting(lease, row.request)

        # Most of the time there is none, and a look does not keep writers waiting.
        if await self._database.read(lambda connection: connection.execute(oldest).one_or_none()) is None:
            return None
        return await self._database.write(work)

    def _held(self, lease: Lease) -> dict[str, Any]:
        return {
            "owner": lease.owner,
            "response_id": lease.response_id,
            "worker": self._worker,
            "token": lease.token,
            "lease_until": time.time() + self.lease_seconds,
        }
