"""The end of a background response whose run cannot go on: cancelled, or left by a process that is gone."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

from tools_runtime.engine.accumulator import Accumulator
from tools_runtime.engine.archive import dump_events, dump_response, load_response, stored
from tools_runtime.engine.closing import closing
from tools_runtime.engine.feed import Feed
from tools_runtime.errors import ApiError, server_error
from tools_runtime.protocol.codec import load_event
from tools_runtime.protocol.events import ErrorEvent, Event, Failed, Incomplete
from tools_runtime.protocol.response import ResponseError
from tools_runtime.stores import UNFINISHED, Lease
from tools_runtime.stores.responses import ResponseStore
from tools_runtime.stores.runs import RunStore

_ALL = 10_000_000

STOPPED = server_error("The server that ran this response was stopped before it was complete. Send the request again.")


class Conclusion:
    """Ends responses by what their readers were told of them: finished items stay, open ones are closed as incomplete,
    and a terminal event follows. ``keep_seconds``: how long the events can be read afterwards."""

    def __init__(self, responses: ResponseStore, runs: RunStore, feed: Feed, *, keep_seconds: float) -> None:
        self._responses = responses
        self._runs = runs
        self._feed = feed
        self._keep_seconds = keep_seconds

    def events_until(self) -> int:
        """For a response that ends now."""
        return int(time.time() + self._keep_seconds)

    async def cancelled(self, lease: Lease) -> bool:
        """OpenAI has no event for this end: it is ``response.incomplete`` with a response whose status is
        ``cancelled``. False if another has taken the run over."""
        return await self._end(lease, "cancelled", None)

    async def failed(self, lease: Lease, error: ApiError = STOPPED) -> bool:
        """False if another has taken the run over."""
        return await self._end(lease, "failed", error)

    async def _end(self, lease: Lease, status: Literal["cancelled", "failed"], error: ApiError | None) -> bool:
        found = await self._responses.get(lease.owner, lease.response_id)
        if found is None or found.status not in UNFINISHED:  # deleted, and its run with it; or ended meanwhile
            return False
        told, _ = await self._feed.events.after(lease.owner, lease.response_id, -1, _ALL)
        events = [load_event(event.data) for event in told]
        accumulator = Accumulator(load_response(replace(found, output=())))
        for event in events:
            accumulator.fold(event)
        more = closing(events)
        if error is not None:
            more.append(ErrorEvent(error=error.envelope()["error"]))
        for event in more:
            accumulator.fold(event)
        failure = None if error is None else ResponseError(code=error.code or "server_error", message=error.message)
        response = accumulator.finish(status, None, error=failure)
        terminal: Event = Failed(response=response) if status == "failed" else Incomplete(response=response)
        accumulator.fold(terminal)
        final = replace(found, status=status, body=dump_response(response), output=stored(response.output))
        done = await self._runs.finish(lease, final, dump_events([*more, terminal]), self.events_until())
        self._feed.notify(lease.response_id)
        return done
