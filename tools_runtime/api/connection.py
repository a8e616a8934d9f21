"""A client's connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """Uvicorn's, which the kernel closes when the client has read nothing for ``stall_seconds`` of what it is sent. The
    server could not do that itself: closing a connection waits until what is in its buffer has been read."""

    def __init__(self, stall_seconds: float, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._stall_seconds = stall_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._stall_seconds * 1000))
        super().connection_made(transport)
