"""Circuit breakers: a backend that does not answer is left alone for a while, then tried again with one search."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tools_runtime import metrics
from tools_runtime.search import SearchOutcome, Status

_log = logging.getLogger(__name__)

_REFUSALS = ("rate_limited", "blocked")
"""What says by itself that asking again is pointless; of other failures it takes ``_FAILURES`` in a row."""
_FAILURES = 3
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 900.0
"""Seconds. The pause doubles each time that the search after it fails, too."""


@dataclass(frozen=True)
class CircuitState:
    """``open``: not asked for ``retry_in`` seconds. ``trial``: the next search decides. ``status`` is the last one."""

    name: str
    state: Literal["closed", "open", "trial"]
    status: Status | None
    retry_in: int


class Circuit:
    """The breaker of one backend. ``clock`` counts seconds."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0
        self._trying = False
        self._last: Status | None = None
        self._up = metrics.backend_up.labels(name)
        self._up.set(1)

    def refusal(self) -> SearchOutcome | None:
        """Why the backend is not to be asked now; None if it is, and then ``record`` or ``release`` must follow."""
        left = self._until - self._clock()
        if self._pause and (left > 0 or self._trying):
            return SearchOutcome(self._last or "unreachable", detail="left alone", retry_after=max(left, 1))
        self._trying = bool(self._pause)
        return None

    def record(self, outcome: SearchOutcome) -> None:
        """Takes note of an answer."""
        self._trying = False
        self._last = outcome.status
        metrics.backend_answers.labels(self._name, outcome.status).inc()
        if outcome.status in ("ok", "empty"):
            self._failures = 0
            self._pause = 0.0
            self._up.set(1)
            return
        self._failures += 1
        _log.warning("%s did not answer: %s %s", self._name, outcome.status, outcome.detail)
        if outcome.status in _REFUSALS or self._failures >= _FAILURES or self._pause:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE) or _FIRST_PAUSE
            # An engine may name any time; none is believed for longer than our own longest pause.
            wait = min(outcome.retry_after or self._pause, _LONGEST_PAUSE)
            self._until = self._clock() + wait
            self._up.set(0)
            _log.warning("%s is left alone for %.0f s", self._name, wait)

    def release(self) -> None:
        """The search was given up before there was an answer."""
        self._trying = False

    def state(self) -> CircuitState:
        left = self._until - self._clock()
        if not self._pause:
            return CircuitState(self._name, "closed", self._last, 0)
        return CircuitState(self._name, "open" if left > 0 else "trial", self._last, max(round(left), 0))
