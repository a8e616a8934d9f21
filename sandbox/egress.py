"""The server's end of a session's network: which connections are made, and the bytes of those that are.

The far end is untrusted. It gets what the session's ``Network`` allows and nothing else, and neither end can be more
than a window ahead of the other. What makes no sense raises ``FrameError``, which ends the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import idna

from sandbox import Network
from sandbox.frames import Frame, FrameError
from sandbox.worker.egress import CHUNK_BYTES, STREAMS, WINDOW_BYTES

PORT = 443
CONNECT_SECONDS = 15
IDLE_SECONDS = 120
"""A connection over which nothing goes for so long is closed."""
CLOSE_SECONDS = 5
MAX_BYTES = 2 * 2**30
"""Of one session, both directions together."""
RATE_BYTES = 16 * 2**20
"""Of one session in a second: more would take the processor from its cells, and the server from other sessions."""
MAX_CONNECTIONS = 10_000
"""That one session may ask for, refused ones included."""

Send = Callable[[dict[str, Any], bytes], Awaitable[None]]

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """Why a connection is not made; fit for the program to read."""


def domain(text: str) -> str:
    """``text`` in small letters and ASCII (IDNA), without a trailing dot.

    Raises ``ValueError`` for what is not a bare domain: a wildcard, scheme or port in it, or an address, also in its
    odder spellings (no top-level domain begins with a digit).
    """
    if len(text) > 253:
        raise ValueError("a domain has at most 253 characters")
    name = idna.encode(text, uts46=True).decode().rstrip(".").lower()
    if not name or name.rpartition(".")[2][0].isdigit():
        raise ValueError("an address is not a domain")
    return name


def within(name: str, domains: Iterable[str]) -> bool:
    """Whether ``name`` is one of ``domains`` or below one. All as ``domain`` gives them."""
    return any(name == allowed or name.endswith(f".{allowed}") for allowed in domains)


@dataclass(eq=False)
class _Stream:
    """``unsent``: bytes of the session on their way out. ``owed``: how many it has sent without credit for new ones.

    ``credit``: how much more the session takes.
    """

    unsent: bytearray = field(default_factory=bytearray)
    owed: int = 0
    credit: int = WINDOW_BYTES
    ended: bool = False
    sent: int = 0
    received: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Egress:
    """``send`` brings a frame to the session; raises ``OSError`` when that is gone."""

    def __init__(
        self,
        session: str,
        network: Network,
        send: Send,
        max_connections: int = MAX_CONNECTIONS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._session = session
        self._network = network
        self._send = send
        self._streams: dict[int, _Stream] = {}
        self._max_connections = max_connections
        self._max_bytes = max_bytes
        self._asked = 0
        self._bytes = 0
        self._paid_until = 0.0

    def cancel(self) -> None:
        """Breaks off all connections."""
        for stream in self._streams.values():
            if stream.task is not None:
                stream.task.cancel()

    async def aclose(self) -> None:
        self.cancel()
        tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the session says ---------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """Never waits, so that the session's other frames are read whatever its connections do.

        Raises ``FrameError``.
        """
        number, what = _integer(frame, "stream"), frame.text("do")
        if what == "open":
            self._open(number, frame.text("host"), _integer(frame, "port"))
            return
        stream = self._streams.get(number)
        if stream is None:
            return  # said before it knew that the stream has ended
        match what:
            case "data":
                stream.owed += len(frame.blob)
                if not frame.blob or stream.owed > WINDOW_BYTES:
                    raise FrameError("a stream's data is outside its window")
                stream.unsent += frame.blob
            case "credit":
                credit = _integer(frame, "bytes")
                if credit <= 0 or stream.credit + credit > WINDOW_BYTES:
                    raise FrameError("a stream's credit is more than was used")
                stream.credit += credit
            case "close":
                stream.ended = True
            case _:
                raise FrameError("not a thing to do with a stream")
        stream.changed.set()

    def _open(self, number: int, host: str, port: int) -> None:
        # A stream is here a little longer than the worker counts it.
        if number in self._streams or len(self._streams) >= 2 * STREAMS:
            raise FrameError("a stream is opened twice, or too many are")
        self._asked += 1
        stream = self._streams[number] = _Stream()
        stream.task = asyncio.create_task(self._serve(number, stream, host, port))

    # --- connections -------------------------------------------------------------------------------------------------

    async def _serve(self, number: int, stream: _Stream, host: str, port: int) -> None:
        try:
            with contextlib.suppress(OSError):  # the session is gone
                try:
                    reader, writer = await self._connect(host, port)
                except _Refused as refusal:
                    if self._asked <= self._max_connections:
                        logger.info("sandbox %s: %.100r port %d refused: %s", self._session, host, port, refusal)
                    await self._say(number, "refused", message=str(refusal))
                    return
                try:
                    await self._say(number, "opened")
                    await self._carry(number, stream, reader, writer)
                finally:
                    counts = (stream.sent, stream.received)
                    logger.info("sandbox %s: %.100r allowed: %d bytes out, %d in", self._session, host, *counts)
                    await _close(writer)
                await self._say(number, "close")
        finally:
            del self._streams[number]

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises ``_Refused``."""
        if self._asked > self._max_connections or self._bytes >= self._max_bytes:
            raise _Refused("The container has used up its network.")
        try:
            name = domain(host)
        except ValueError:
            raise _Refused("Only domains can be reached.") from None
        if not within(name, self._network.domains):
            raise _Refused("The domain is not on the container's list.")
        if port != PORT:
            raise _Refused(f"Only port {PORT} can be reached.")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._network.connect(name)
        except OSError:
            raise _Refused("The domain cannot be reached.") from None

    async def _carry(
        self, number: int, stream: _Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until either end closes, nothing goes for too long, or the session has used up its bytes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS) as idle:
                pumps = [
                    asyncio.create_task(self._out(number, stream, writer, idle)),
                    asyncio.create_task(self._in(number, stream, reader, idle)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    async def _out(self, number: int, stream: _Stream, writer: asyncio.StreamWriter, idle: asyncio.Timeout) -> None:
        while self._bytes < self._max_bytes:
            await stream.until(lambda: stream.unsent or stream.ended)
            data = bytes(stream.unsent)
            if not data:
                return
            stream.unsent.clear()
            writer.write(data)
            await writer.drain()
            stream.sent += len(data)
            await self._pay(len(data), idle)
            stream.owed -= len(data)
            await self._say(number, "credit", bytes=len(data))

    async def _in(self, number: int, stream: _Stream, reader: asyncio.StreamReader, idle: asyncio.Timeout) -> None:
        while self._bytes < self._max_bytes:
            await stream.until(lambda: stream.credit)
            data = await reader.read(min(CHUNK_BYTES, stream.credit))
            if not data:
                return
            stream.credit -= len(data)
            stream.received += len(data)
            await self._pay(len(data), idle)
            await self._say(number, "data", data)

    async def _pay(self, size: int, idle: asyncio.Timeout) -> None:
        """Counts bytes, and waits until the session may have more."""
        self._bytes += size
        now = asyncio.get_running_loop().time()
        idle.reschedule(now + IDLE_SECONDS)
        self._paid_until = max(now, self._paid_until) + size / RATE_BYTES
        await asyncio.sleep(self._paid_until - now)

    async def _say(self, number: int, what: str, blob: bytes = b"", **header: Any) -> None:
        await self._send({"op": "stream", "stream": number, "do": what, **header}, blob)


def _integer(frame: Frame, key: str) -> int:
    value = frame.header.get(key)
    if type(value) is not int:
        raise FrameError(f"the header's {key} is not an integer")
    return value


async def _close(writer: asyncio.StreamWriter) -> None:
    """Lets what is written go out, but does not wait for long."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except OSError:
        pass
    finally:
        writer.transport.abort()
