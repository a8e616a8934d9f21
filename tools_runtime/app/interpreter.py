"""Wires the code interpreter's containers."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from sandbox import Sandbox, SandboxUnavailable
from sandbox.online import OnlineSandbox
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.connect import PublicConnector
from tools_runtime.settings import Settings
from tools_runtime.stores.blobs import BlobStore
from tools_runtime.stores.container_files import ContainerFileStore
from tools_runtime.stores.container_usage import ContainerUsageStore
from tools_runtime.stores.containers import ContainerStore
from tools_runtime.stores.database import Database
from tools_runtime.stores.workspace import Workspace
from tools_runtime.tools.code_interpreter import drivers
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.code_interpreter.quotas import Quotas

logger = logging.getLogger(__name__)


async def containers(settings: Settings, database: Database, workspace: Workspace, stack: AsyncExitStack) -> Containers:
    sandbox = await _sandbox(settings, workspace.worker)
    if sandbox is not None:
        stack.push_async_callback(sandbox.aclose)
    store = ContainerStore(database, worker=workspace.worker)
    file_store = ContainerFileStore(database, BlobStore(settings.data / "container-files"))
    quotas = Quotas(settings, store, file_store, ContainerUsageStore(database), store.now)
    machines = Containers(sandbox, settings, store, file_store, quotas)
    stack.push_async_callback(machines.aclose)
    await machines.start()
    return machines


async def _sandbox(settings: Settings, worker: str) -> Sandbox | None:
    """The sandbox, if there is to be one and it is there; ``worker`` names this process to it, over restarts. Raises
    ``SandboxUnavailable`` where the settings insist."""
    if settings.sandbox == "none":
        return None
    try:
        sandbox, _ = await drivers.first(drivers.configured(settings, owner=worker))
    except SandboxUnavailable as error:
        if settings.sandbox != "auto":
            raise
        logger.warning("code_interpreter is refused: %s", error)
        return None
    return OnlineSandbox(sandbox, PublicConnector(AddressPolicy()))
