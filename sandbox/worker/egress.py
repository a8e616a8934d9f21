"""The session's end of its network: an HTTP proxy on loopback that knows CONNECT only, and carries bytes in frames.

It decides nothing: what may be reached, and how much, is the server's business. The supervisor polls for it, so nothing
here may block; what a slow program does not read stays with the server, which sends no more than a window ahead.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.frames import Frame

PORT = 3128
STREAMS = 32
"""Connections at a time; further ones wait to be accepted."""
WINDOW_BYTES = 256 * 2**10
"""How far a sender may be ahead of its receiver, on each stream and in each direction."""
CHUNK_BYTES = 64 * 2**10
MAX_REQUEST_BYTES = 8 * 2**10

_PROXY = f"http://127.0.0.1:{PORT}"
_LOCAL = "localhost,127.0.0.1"
ENVIRONMENT = {
    **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), _PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), _LOCAL),
}

_CONNECT = re.compile(r"CONNECT (\S+):([0-9]{1,5}) HTTP/1\.[01]\r\n")

Tell = Callable[[dict[str, Any], bytes], None]


@dataclass
class _Client:
    """A program's connection. ``state`` is ``asking`` until its request is whole, then ``waiting`` for the server.

    ``request``: what it has sent so far, while it has no stream. ``credit``: how much more of it the server takes.
    ``unread``: what it has yet to read; with ``ended`` nothing follows.
    """

    socket: socket.socket
    number: int
    state: str = "asking"
    request: bytes = b""
    credit: int = 0
    unread: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Proxy:
    """``tell`` sends a frame to the server, and waits until it is taken."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
        self._listener.setblocking(False)
        self._clients: dict[int, _Client] = {}
        self._streams: dict[int, _Client] = {}
        """Those that the server has not ended yet, their programs' connections closed or not."""
        self._last_number = 0

    # --- programs ----------------------------------------------------------------------------------------------------

    def register(self, poll: select.poll) -> None:
        if len(self._clients) < STREAMS and len(self._streams) < STREAMS:
            poll.register(self._listener, select.POLLIN)
        for descriptor, client in self._clients.items():
            hears = client.state == "asking" or client.credit > 0
            poll.register(descriptor, (select.POLLIN if hears else 0) | (select.POLLOUT if client.unread else 0))

    def serve(self, ready: Mapping[int, int]) -> None:
        for descriptor in ready.keys() & self._clients.keys():
            self._serve(self._clients[descriptor], ready[descriptor])
        if self._listener.fileno() in ready:
            with contextlib.suppress(OSError):
                self._accept(self._listener.accept()[0])

    def _accept(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._last_number += 1
        self._clients[connection.fileno()] = _Client(connection, self._last_number)

    def _serve(self, client: _Client, events: int) -> None:
        try:
            if events & select.POLLOUT:
                self._write(client)
            if events & select.POLLIN:
                self._read(client)
            elif events & (select.POLLHUP | select.POLLERR):
                self._hang_up(client)
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up(client)

    def _write(self, client: _Client) -> None:
        sent = client.socket.send(client.unread[:CHUNK_BYTES])
        del client.unread[:sent]
        if client.ended and not client.unread:
            self._drop(client)
        elif not client.ended:
            self._say(client, "credit", bytes=sent)

    def _read(self, client: _Client) -> None:
        if client.socket.fileno() < 0:
            return
        if client.state == "asking":
            data = client.socket.recv(MAX_REQUEST_BYTES - len(client.request))
            client.request += data
            if data:
                self._ask(client)
        else:
            data = client.socket.recv(min(CHUNK_BYTES, client.credit))
            if data:
                self._forward(client, data)
        if not data:
            self._hang_up(client)

    def _ask(self, client: _Client) -> None:
        head, end, rest = client.request.partition(b"\r\n\r\n")
        if not end:
            if len(client.request) >= MAX_REQUEST_BYTES:
                self._answer(client, "431 Request Header Fields Too Large", "The request is too long.")
            return
        target = _CONNECT.match(head.decode("latin-1") + "\r\n")
        if target is None:
            self._answer(client, "405 Method Not Allowed", "Only HTTPS goes out: CONNECT host:443.")
            return
        client.state, client.request = "waiting", rest
        self._streams[client.number] = client
        self._say(client, "open", host=target[1], port=int(target[2]))

    def _forward(self, client: _Client, data: bytes) -> None:
        client.credit -= len(data)
        self._say(client, "data", data)

    def _answer(self, client: _Client, status: str, text: str) -> None:
        """Ends a connection that has no stream. So little always fits into a socket that nothing was written to."""
        body = f"{text}\n".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(OSError):
            client.socket.send(head.encode() + body)
        self._drop(client)

    def _hang_up(self, client: _Client) -> None:
        """The program has closed its end."""
        if client.number in self._streams and client.socket.fileno() >= 0:
            self._say(client, "close")
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        if client.socket.fileno() >= 0:
            del self._clients[client.socket.fileno()]
            client.socket.close()

    # --- the server --------------------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """Heeds what the server says about a stream."""
        client = self._streams[frame.header["stream"]]
        what = frame.header["do"]
        if what in ("refused", "close"):
            del self._streams[client.number]
        if client.socket.fileno() < 0:
            return
        match what:
            case "opened":
                self._begin(client)
            case "refused":
                self._answer(client, "403 Forbidden", frame.text("message"))
            case "data":
                client.unread += frame.blob
            case "credit":
                client.credit += frame.header["bytes"]
            case "close":
                client.ended, client.credit = True, 0
                if not client.unread:
                    self._drop(client)

    def _begin(self, client: _Client) -> None:
        client.state, client.credit = "open", WINDOW_BYTES
        with contextlib.suppress(OSError):
            client.socket.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if client.request:
            self._forward(client, client.request)
            client.request = b""

    def _say(self, client: _Client, what: str, blob: bytes = b"", **header: Any) -> None:
        self._tell({"event": "stream", "stream": client.number, "do": what, **header}, blob)
