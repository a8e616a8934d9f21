"""A database for each test, of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tools_runtime.stores.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()
