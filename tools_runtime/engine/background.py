"""Background responses: queued in the database, run by whichever process has room, ended whatever becomes of it.

The rules (docs/decisions tells why): a response is stored before its creation is answered. What waits is run by any
process. What a process had begun when it died cannot be gone on with, and is ended as failed, with the items that were
finished: by the next process in the same folder at once, by any other when the lease is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tools_runtime import ids
from tools_runtime.engine.admission import Admission, locked
from tools_runtime.engine.archive import StoredHistory, dump_events, load_response, stored_response
from tools_runtime.engine.conclusion import STOPPED, Conclusion
from tools_runtime.engine.feed import Feed
from tools_runtime.engine.leases import Leases
from tools_runtime.engine.prepare import Prepared, Preparer, Ticket
from tools_runtime.engine.recorder import LeaseLost, Recorder
from tools_runtime.engine.run import Limits, Run
from tools_runtime.errors import ApiError, not_found, server_error
from tools_runtime.protocol.codec import load_item
from tools_runtime.protocol.events import Created, Event, Queued
from tools_runtime.protocol.request import CreateResponse
from tools_runtime.protocol.response import Response
from tools_runtime.stores import Lease, StoredEvent, Waiting
from tools_runtime.stores.connections import Unavailable
from tools_runtime.stores.runs import RunStore
from tools_runtime.stores.seal import Seal

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
"""How often a process with room looks for what others have queued."""


@dataclass(frozen=True)
class BackgroundLimits:
    """``running`` at a time in this process; ``waiting`` of one owner; events are kept for ``keep_seconds`` after the
    end."""

    running: int
    waiting: int
    keep_seconds: float


@dataclass(frozen=True)
class Places:
    """Where background responses live. ``seal`` closes requests that wait: they may hold a client's credentials."""

    history: StoredHistory
    runs: RunStore
    feed: Feed
    leases: Leases
    seal: Seal


class Background:
    """The background responses of one process, and what it does for those of others."""

    def __init__(
        self, admission: Admission, preparer: Preparer, places: Places, run: Limits, limits: BackgroundLimits
    ) -> None:
        self._admission = admission
        self._preparer = preparer
        self._responses = places.history.responses
        self._runs = places.runs
        self.feed = places.feed
        self._leases = places.leases
        self._seal = places.seal
        self._run_limits = run
        self._limits = limits
        self._conclusion = Conclusion(self._responses, self._runs, self.feed, keep_seconds=limits.keep_seconds)
        self._recorder = Recorder(self._runs, self.feed, self._conclusion)
        self._room = limits.running
        self._more = asyncio.Event()
        self._working: dict[Lease, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins the work, with what was left undone."""
        await self._runs.recover()
        self._tasks = [asyncio.create_task(work()) for work in (self._dispatch, self._look_after)]

    async def stop(self) -> None:
        """Ends the work at once: what has not begun waits for another process, what has is ended as failed."""
        working = {**self._working}
        tasks = [*self._tasks, *working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lease in working:
            if not await self._runs.give_back(lease):
                await self._fail(lease, STOPPED)

    # --- what clients ask for ---

    async def submit(self, request: CreateResponse, owner: str) -> Response:
        """Stores a response that is to be run, and returns it. Raises ``ApiError`` for a request that is refused."""
        prepared = await self._admission.admit(request, owner)
        events = _begin_log(prepared)
        response = prepared.log.response.model_copy()
        lease = prepared.lease or Lease(owner, response.id, ids.new("lease"))
        waits = self._room <= 0
        self._room -= not waits
        try:
            await self._queue(prepared, dump_events(events), lease, waits=waits)
        except ApiError:
            self._room += not waits
            if prepared.lease is not None:
                await self._runs.release(lease)
            raise
        except BaseException:
            # It may be in the database all the same; then it is begun when its lease is over.
            self._room += not waits
            raise
        if waits:
            self._more.set()
        else:
            self._begin(lease, prepared)
        return response

    async def cancel(self, owner: str, response_id: str) -> Response:
        """Ends the response, in whatever process it runs; one that has ended stays as it is. Raises ``ApiError``."""
        response = await self._get(owner, response_id)
        if not response.background:
            raise ApiError("Only responses created with background=true can be cancelled.", param="response_id")
        lease = await self._runs.take_over(owner, response_id)
        if lease is not None:
            for held, task in self._working.items():
                if held.response_id == response_id:
                    task.cancel()
            if not await self._conclusion.cancelled(lease):
                await self.feed.ended(owner, response_id)  # somebody else cancels it, too
        return await self._get(owner, response_id)

    async def check_readable(self, owner: str, response_id: str) -> None:
        """Raises ``ApiError`` for a response whose events cannot be read."""
        if await self.feed.events.exist(owner, response_id):
            return  # the response itself may be large
        if not (await self._get(owner, response_id)).background:
            raise ApiError("Only responses created with background=true can be streamed again.", param="stream")
        message = "The events of this response are no longer kept. It can be retrieved without stream=true."
        raise ApiError(message, param="stream")

    async def _get(self, owner: str, response_id: str) -> Response:
        found = await self._responses.get(owner, response_id)
        if found is None:
            raise not_found("response", response_id, param="response_id")
        return load_response(found)

    async def _queue(self, prepared: Prepared, events: Sequence[StoredEvent], lease: Lease, *, waits: bool) -> None:
        request = prepared.request.model_dump_json(by_alias=True, exclude_unset=True).encode()
        outcome = await self._runs.queue(
            stored_response(prepared),
            self._seal.close(request).encode(),
            events,
            lease,
            waits=waits,
            most=self._limits.waiting,
        )
        if outcome == "lost":
            raise locked()
        if outcome == "full":
            raise ApiError(
                f"Too many background responses wait ({self._limits.waiting}). Send the request when some have ended.",
                status=429,
                type="rate_limit_error",
                code="background_queue_limit_reached",
            )

    # --- the work ---

    async def _dispatch(self) -> None:
        while True:
            self._more.clear()
            while self._room > 0:
                self._room -= 1
                if (waiting := await self._claim()) is None:
                    self._room += 1
                    break
                self._begin(waiting.lease, waiting.request)
            try:
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._more.wait()
            except TimeoutError:
                pass

    async def _claim(self) -> Waiting | None:
        try:
            return await self._runs.claim()
        except Unavailable:
            return None  # which the database has said
        except Exception:
            logger.exception("no background response can be had from the database; it is tried again")
            return None

    def _begin(self, lease: Lease, what: Prepared | bytes) -> None:
        task = asyncio.create_task(self._run(lease, what))
        self._working[lease] = task
        self._leases.hold(lease, task.cancel)
        task.add_done_callback(lambda _: self._done(lease))

    def _done(self, lease: Lease) -> None:
        self._leases.drop(lease)
        del self._working[lease]
        self._room += 1
        self._more.set()

    async def _run(self, lease: Lease, what: Prepared | bytes) -> None:
        """Runs a request that was prepared here, or one that has waited."""
        try:
            # First of all, so that a request that kills the process is not tried for ever.
            if await self._runs.begin(lease):
                prepared = what if isinstance(what, Prepared) else await self._prepare(lease, what)
                await self._execute(prepared, lease)
        except LeaseLost:
            logger.info("the run of %s is no longer this process's", lease.response_id)
        except ApiError as error:  # what the request needs is no longer there
            await self._fail(lease, error)
        except Exception:
            logger.exception("background response %s failed", lease.response_id)
            await self._fail(lease, server_error("The server had an error while processing the request."))

    async def _fail(self, lease: Lease, error: ApiError) -> None:
        """Where the database refuses, whoever finds the lease expired ends the response."""
        try:
            await self._conclusion.failed(lease, error)
        except Exception:
            logger.exception("the end of %s cannot be stored", lease.response_id)

    async def _prepare(self, lease: Lease, sealed: bytes) -> Prepared:
        opened = self._seal.open(sealed.decode())
        found = await self._responses.get(lease.owner, lease.response_id)
        if found is None:
            raise LeaseLost
        if opened is None:
            raise server_error("The server that took this request sealed it with a key that this one does not have.")
        request = CreateResponse.model_validate_json(opened)
        items = [load_item(item.data) for item in found.input]
        ticket = Ticket(lease.response_id, lease, found.created_at, items)
        prepared = await self._preparer.prepare(request, lease.owner, ticket=ticket)
        _begin_log(prepared)
        return prepared

    async def _execute(self, prepared: Prepared, lease: Lease) -> None:
        run = asyncio.create_task(Run(prepared, None, self._run_limits).execute())
        try:
            await self._recorder.record(prepared, lease)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    # --- what others have left ---

    async def _look_after(self) -> None:
        while True:
            try:
                while (lease := await self._runs.orphan()) is not None:
                    await self._conclusion.failed(lease)
            except Unavailable:
                pass
            except Exception:
                logger.exception("responses of processes that are gone cannot be ended; it is tried again")
            await asyncio.sleep(self._runs.lease_seconds / 3)


def _begin_log(prepared: Prepared) -> Sequence[Event]:
    """Returns what the log begins with, which is stored with the request and not by the recorder."""
    prepared.log.append(Created(response=prepared.log.response))
    prepared.log.append(Queued(response=prepared.log.response))
    return prepared.log.take()
