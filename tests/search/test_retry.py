from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tools_runtime.search.retry import retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("7", 7), (" 7 ", 7), ("soon", None), ("-3", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0), ("٣", None)],
)
def test_numbers_and_dates(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_a_date_to_come() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    assert 200 < (retry_after({"Retry-After": date}) or 0) <= 300
    assert retry_after({}) is None
