"""Containers of the code interpreter: requests and objects. Shapes from openai 3.54.0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from tools_runtime.protocol.base import StrictWire, Wire
from tools_runtime.protocol.files import FileId
from tools_runtime.protocol.tools import MemoryLimit, NetworkPolicy


class ContainerExpiry(StrictWire):
    anchor: Literal["last_active_at"]
    minutes: int = Field(ge=1)


class CreateContainer(StrictWire):
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    expires_after: ContainerExpiry | None = None
    file_ids: list[FileId] = Field(default_factory=list, max_length=100)
    memory_limit: MemoryLimit | None = None
    network_policy: NetworkPolicy | None = None


class AddContainerFile(StrictWire):
    file_id: FileId


class ContainerObject(Wire):
    """Times in seconds since 1970."""

    id: str
    object: Literal["container"] = "container"
    created_at: int
    status: Literal["running", "expired"]
    name: str
    expires_after: ContainerExpiry
    last_active_at: int
    memory_limit: MemoryLimit
    network_policy: dict[str, Any]


class ContainerFileObject(Wire):
    """``path`` is absolute, in the container; ``source`` tells who wrote the file."""

    id: str
    object: Literal["container.file"] = "container.file"
    container_id: str
    created_at: int
    bytes: int
    path: str
    source: Literal["user", "assistant"]
