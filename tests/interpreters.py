"""Containers over a database of their own and any sandbox, with a clock that tests turn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import databases

from sandbox import Sandbox
from tools_runtime.settings import Settings
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.stores.database import Database
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.code_interpreter.quotas import Quotas


class Clock:
    """The time now, and what is added to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def serving(
    sandbox: Sandbox | None,
    folder: Path | None = None,
    clock: Clock | None = None,
    worker: str = "this",
    **settings: Any,
) -> AsyncIterator[Containers]:
    """What is stored goes to ``folder``, or away. Another server on the same folder is a restart; with another name for
    ``worker`` it is one beside it."""
    with tempfile.TemporaryDirectory() as temporary:
        data = folder or Path(temporary)
        database = Database(databases.url(data))
        await database.open()
        configured = Settings(data=data, **settings)
        store = ContainerStore(database, clock or Clock(), worker=worker)
        files = ContainerFileStore(database, BlobStore(data / "container-files"))
        quotas = Quotas(configured, store, files, ContainerUsageStore(database), store.now)
        containers = Containers(sandbox, configured, store, files, quotas)
        await containers.start()
        try:
            yield containers
        finally:
            await containers.aclose()
            await database.close()
