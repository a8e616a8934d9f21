from __future__ import annotations

import pytest

from tools_runtime.search import SearchOutcome, Status
from tools_runtime.search.circuit import Circuit


class Backend:
    """A circuit, its clock, and searches that end as told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.circuit = Circuit("engine", lambda: self.now)

    def search(self, status: Status, retry_after: float | None = None) -> bool:
        """Whether the backend was asked."""
        if self.circuit.refusal() is not None:
            return False
        self.circuit.record(SearchOutcome(status, retry_after=retry_after))
        return True

    @property
    def state(self) -> str:
        return self.circuit.state().state


@pytest.mark.parametrize(
    ("status", "asked"), [("rate_limited", 1), ("blocked", 1), ("timeout", 3), ("bad_response", 3)]
)
def test_it_opens_at_once_for_refusals_and_after_three_other_failures(status: Status, asked: int) -> None:
    backend = Backend()
    assert [backend.search(status) for _ in range(5)] == [True] * asked + [False] * (5 - asked)
    assert backend.state == "open"


def test_an_answer_in_between_starts_the_count_again() -> None:
    backend = Backend()
    for status in ("timeout", "timeout", "empty", "timeout", "timeout"):
        assert backend.search(status)  # type: ignore[arg-type]
    assert backend.state == "closed"


def test_after_the_pause_one_search_is_a_trial() -> None:
    backend = Backend()
    backend.search("blocked")
    backend.now = 30
    assert backend.state == "trial"
    assert backend.circuit.refusal() is None
    assert backend.circuit.refusal() is not None
    backend.circuit.release()
    assert backend.search("ok")
    assert backend.state == "closed"


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    backend = Backend()
    pauses = []
    for _ in range(7):
        assert backend.search("blocked")
        pauses.append(backend.circuit.state().retry_in)
        backend.now += pauses[-1]
    assert pauses == [30, 60, 120, 240, 480, 900, 900]


@pytest.mark.parametrize(("wish", "pause"), [(70, 70), (5, 5), (10**8, 900)])
def test_the_engines_own_wish_counts_within_reason(wish: float, pause: int) -> None:
    backend = Backend()
    backend.search("rate_limited", wish)
    refusal = backend.circuit.refusal()
    assert refusal is not None
    assert (refusal.status, refusal.retry_after) == ("rate_limited", pause)
    backend.now = pause
    assert backend.circuit.refusal() is None
