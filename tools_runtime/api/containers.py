"""``/v1/containers``: the machines of the code interpreter, as clients create, list and end them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from tools_runtime.api.auth import Owner
from tools_runtime.api.document import json_body
from tools_runtime.api.listing import Listing, page_body
from tools_runtime.api.validation import parse, read_body
from tools_runtime.errors import not_found
from tools_runtime.protocol.containers import ContainerExpiry, ContainerObject, CreateContainer
from tools_runtime.stores import StoredContainer
from tools_runtime.tools.code_interpreter import uploads
from tools_runtime.tools.code_interpreter.containers import Containers
from tools_runtime.tools.code_interpreter.options import DEFAULT_LIMIT


def router(containers: Containers, load_file: uploads.LoadFile, disk_bytes: int, max_request_bytes: int) -> APIRouter:
    """``disk_bytes``: what the files of one container may have together."""
    routes = APIRouter(prefix="/v1/containers", tags=["containers"])

    @routes.post("", openapi_extra=json_body(CreateContainer))
    async def create(request: Request, owner: Owner) -> dict[str, Any]:
        body = parse(CreateContainer, await read_body(request, max_request_bytes))
        minutes = body.expires_after.minutes if body.expires_after else None
        options = containers.options.chosen(body.name, body.memory_limit, body.network_policy, minutes)
        files = await uploads.named(load_file, owner, body.file_ids, "file_ids", disk_bytes)
        return _object(await containers.create(owner, options, files))

    @routes.get("")
    async def list_containers(
        listing: Annotated[Listing, Depends()], owner: Owner, name: str | None = None
    ) -> dict[str, Any]:
        page = await containers.page(owner, listing.cursor, name=name)
        return page_body(page, [_object(container) for container in page.data])

    @routes.get("/{container_id}")
    async def retrieve(container_id: str, owner: Owner) -> dict[str, Any]:
        container = await containers.touch(owner, container_id)
        if container is None:
            raise not_found("container", container_id, param="container_id")
        return _object(container)

    @routes.delete("/{container_id}")
    async def delete(container_id: str, owner: Owner) -> dict[str, Any]:
        if not await containers.delete(owner, container_id):
            raise not_found("container", container_id, param="container_id")
        return {"id": container_id, "object": "container.deleted", "deleted": True}

    return routes


def _object(container: StoredContainer) -> dict[str, Any]:
    return ContainerObject(
        id=container.id,
        created_at=container.created_at,
        status="expired" if container.expired else "running",
        name=container.name,
        expires_after=ContainerExpiry(anchor="last_active_at", minutes=container.idle_minutes),
        last_active_at=container.last_active_at,
        memory_limit=container.memory_limit or DEFAULT_LIMIT,
        network_policy=container.network_policy,
    ).wire()
