"""Fixtures that tests of several packages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stack


@pytest.fixture(scope="session")
def web_stack() -> Iterator[stack.WebStack]:
    """Real sites, a real engine over them and a real SearXNG, on loopback ports."""
    with stack.running() as running:
        yield running
