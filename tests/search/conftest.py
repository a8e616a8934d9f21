"""Fixtures for the tests of searching and fetching."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from stack import faults as fault_server


@pytest.fixture
async def faults() -> AsyncIterator[fault_server.Faults]:
    async with fault_server.running() as running:
        yield running
