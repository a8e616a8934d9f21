"""Gives each service its routes."""

from __future__ import annotations

from fastapi import FastAPI

from tools_runtime.api import (
    background,
    chat_completions,
    container_files,
    containers,
    context,
    conversations,
    files,
    health,
    models,
    responses,
    uploads,
    vector_store_files,
    vector_stores,
    websocket,
)
from tools_runtime.api.uploads import UploadLimits
from tools_runtime.api.websocket import SocketLimits
from tools_runtime.app.services import Services
from tools_runtime.settings import Settings
from tools_runtime.upstreams.rewriting import QueryRewriter


def add_routes(app: FastAPI, settings: Settings, services: Services) -> None:
    limit = settings.max_request_bytes
    # The first is found first.
    app.include_router(responses.router(services.engine, services.background, services.responses, limit))
    app.include_router(context.router(services.contexts, limit))
    app.include_router(background.router(services.background))
    app.include_router(websocket.router(services.engine, _socket_limits(settings)))
    if services.mcp is not None:
        app.router.routes.append(services.mcp.route())
    app.include_router(conversations.router(services.conversations, limit))
    app.include_router(chat_completions.router(services.upstreams, limit))
    app.include_router(models.router(services.upstreams))
    app.include_router(files.router(services.library, settings.max_file_bytes))
    upload_limits = UploadLimits(settings.max_upload_bytes, settings.max_part_bytes, limit)
    app.include_router(uploads.router(services.uploads, upload_limits))
    rewriter = QueryRewriter(services.upstreams, seconds=settings.rewrite_seconds)
    app.include_router(vector_stores.router(services.library, rewriter, limit))
    app.include_router(vector_store_files.router(services.library, limit))
    disk, load = settings.sandbox_disk_bytes, services.content.load
    app.include_router(containers.router(services.containers, load, disk, limit))
    app.include_router(container_files.router(services.containers, load, disk, limit))
    app.include_router(health.router(services.search.states))


def _socket_limits(settings: Settings) -> SocketLimits:
    return SocketLimits(
        seconds=settings.websocket_seconds,
        running=settings.websocket_running,
        lanes=settings.websocket_lanes,
        waiting=settings.websocket_waiting,
        waiting_bytes=settings.max_request_bytes,
        stall_seconds=settings.stall_seconds,
        origins=settings.allowed_origins,
    )
