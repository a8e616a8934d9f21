"""A session over any byte stream whose far end is a worker. Drivers supply the stream; everything else is here.

The far end is untrusted: it may say anything at any time. A reply that makes no sense closes the session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from sandbox import (
    CODE_LIMIT_BYTES,
    CellResult,
    FileInfo,
    FileRefused,
    Network,
    SandboxError,
    SandboxUnavailable,
    SessionClosed,
    Spec,
    replies,
)
from sandbox.egress import Egress
from sandbox.frames import Frame, FrameError, Parser, encode
from sandbox.worker.files import parts

CHUNK_BYTES = 4 * 2**20
REPLY_BYTES = 32 * 2**20
"""More than a worker that keeps its own limits ever answers to one request."""
READY_SECONDS = 60
FILE_SECONDS = 60
PATIENCE_SECONDS = 25
"""How long after a cell's time limit the worker may take to stop the cell and say so."""

T = TypeVar("T")

_FINAL = ("ready", "done", "data", "files", "refused")


class Stream(Protocol):
    """The worker's stdin and stdout, and its life."""

    async def read(self) -> bytes:
        """The next bytes; empty when the worker has ended. Raises ``OSError``."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ``OSError``."""
        ...

    async def cpu_seconds(self) -> float:
        """Processor time of the worker and all that ran beside it, as the machine outside counts it.

        Raises ``OSError`` when it cannot be told, or not any more.
        """
        ...

    async def ending(self) -> str:
        """How the worker ended, and what it complained of, as far as that can be told; for after its last byte."""
        ...

    async def close(self) -> None:
        """Ends the worker and all that runs beside it."""
        ...


@dataclass
class _Reply:
    """The frames of one reply as they come in. ``done`` is resolved by the last one."""

    id: int
    done: asyncio.Future[Frame]
    frames: list[Frame] = field(default_factory=list)
    size: int = 0


class StreamSession:
    """The ``Session`` of every driver."""

    def __init__(self, id: str, stream: Stream, spec: Spec) -> None:
        self.id = id
        self._stream = stream
        self._spec = spec
        self._turn = asyncio.Lock()
        self._last_id = 0
        self._cpu_seconds_before = 0.0
        self._egress: Egress | None = None
        self._reply = self._expect()
        self._fault = ""
        self._restarted = False
        self._reader = asyncio.create_task(self._read(), name=f"sandbox {id}")

    @property
    def alive(self) -> bool:
        return not self._reader.done()

    async def ready(self) -> None:
        """Waits for a new worker's first frame. Where none comes, closes the session and raises ``SandboxUnavailable``
        with the reason."""
        try:
            await self._begin()
        except BaseException:
            await self.close()
            raise
        with contextlib.suppress(OSError):
            self._cpu_seconds_before = await self._stream.cpu_seconds()

    async def _begin(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._reply.done
        except TimeoutError:
            reason = f"it did not answer in {READY_SECONDS:g} s"
        except SessionClosed:
            reason = self._fault or await self._stream.ending()
        else:
            return
        raise SandboxUnavailable(f"The sandbox did not start: {reason}")

    async def open_network(self, network: Network) -> None:
        async with self._turn:
            self._egress = Egress(self.id, network, lambda header, blob: self._stream.write(encode(header, blob)))
            await self._exchange({"op": "network"})

    async def execute(self, code: str, timeout_seconds: float) -> CellResult:
        blob = code.encode("utf-8", "replace")
        if len(blob) > CODE_LIMIT_BYTES:
            raise SandboxError(f"The code is longer than {CODE_LIMIT_BYTES} bytes.")
        async with self._turn:
            try:
                reply = await self._send({"op": "execute", "seconds": timeout_seconds}, blob)
                last = await self._answer(reply, timeout_seconds + PATIENCE_SECONDS)
            except asyncio.CancelledError:
                with contextlib.suppress(SessionClosed):
                    await self._send({"op": "interrupt", "id": self._reply.id})
                raise
            result = await self._sound(lambda: replies.cell_result(reply.frames, last))
            untold, self._restarted = self._restarted, False
        return replace(result, restarted=result.restarted or untold)

    async def put(self, name: str, data: bytes) -> None:
        _check(name)
        if len(data) > self._spec.disk_bytes:
            raise FileRefused(f"{name} is larger than the sandbox's disk.")
        async with self._turn:
            for start in range(0, max(len(data), 1), CHUNK_BYTES):
                header = {"op": "put", "name": name, "append": start > 0}
                await self._exchange(header, data[start : start + CHUNK_BYTES])

    async def get(self, name: str) -> bytes:
        _check(name)
        data = bytearray()
        async with self._turn:
            while True:
                last = await self._exchange({"op": "get", "name": name, "offset": len(data)})
                data += last.blob
                size = last.header.get("size")
                if not isinstance(size, int) or max(size, len(data)) > self._spec.disk_bytes:
                    raise FileRefused(f"{name} is larger than the sandbox's disk.")
                if not last.blob or len(data) >= size:
                    return bytes(data)

    async def remove(self, name: str) -> None:
        _check(name)
        async with self._turn:
            await self._exchange({"op": "remove", "name": name})

    async def files(self) -> list[FileInfo]:
        async with self._turn:
            last = await self._exchange({"op": "files"})
        return await self._sound(lambda: replies.files(last))

    async def cpu_seconds(self) -> float:
        try:
            return await self._stream.cpu_seconds() - self._cpu_seconds_before
        except OSError as error:
            raise SandboxError("The sandbox's processor time cannot be told.") from error

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])
        if self._egress is not None:
            await self._egress.aclose()
        await self._stream.close()

    # --- requests and replies ----------------------------------------------------------------------------------------

    def _expect(self) -> _Reply:
        reply = _Reply(self._last_id, asyncio.get_running_loop().create_future())
        self._last_id += 1
        return reply

    async def _exchange(self, header: dict[str, Any], blob: bytes = b"") -> Frame:
        last = await self._answer(await self._send(header, blob), FILE_SECONDS)
        if last.header["event"] == "refused":
            message = await self._sound(lambda: last.text("message"))
            raise FileRefused(f"{header.get('name', 'The file')}: {message}.")
        return last

    async def _send(self, header: dict[str, Any], blob: bytes = b"") -> _Reply:
        """Sends a request, which makes its reply the one that is listened to; others are dropped."""
        if not self.alive:
            raise SessionClosed("The sandbox has ended.")
        reply = self._reply = self._expect()
        try:
            await self._stream.write(encode({"id": reply.id, **header}, blob))
        except OSError:
            await self.close()
            raise SessionClosed("The sandbox has ended.") from None
        return reply

    async def _answer(self, reply: _Reply, seconds: float) -> Frame:
        try:
            async with asyncio.timeout(seconds):
                return await reply.done
        except TimeoutError:
            await self.close()
            raise SessionClosed("The sandbox did not answer in time and was ended.") from None

    async def _sound(self, parse: Callable[[], T]) -> T:
        """What ``parse`` makes of a reply; closes the session when the reply makes no sense."""
        try:
            return parse()
        except FrameError:
            await self.close()
            raise SessionClosed("The sandbox broke its protocol and was ended.") from None

    # --- the far end -------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        parser = Parser()
        try:
            while data := await self._stream.read():
                for frame in parser.feed(data):
                    if frame.header.get("event") == "stream":
                        self._carry(frame)
                    else:
                        self._take(self._reply, frame)
        except FrameError as error:
            self._fault = f"it broke its protocol: {error}"
        except OSError as error:
            self._fault = f"its connection broke: {error}"
        finally:
            if self._egress is not None:
                self._egress.cancel()
            if not self._reply.done.done():
                self._reply.done.set_exception(SessionClosed("The sandbox has ended."))
                self._reply.done.exception()  # nobody may be waiting

    def _carry(self, frame: Frame) -> None:
        if self._egress is not None:
            self._egress.take(frame)

    def _take(self, reply: _Reply, frame: Frame) -> None:
        if frame.header.get("id") != reply.id or reply.done.done():
            # Of a cell whose caller is gone. That it cost the interpreter, the next one must be told.
            self._restarted |= frame.header.get("restarted") is True
            return
        reply.size += frame.size
        if reply.size > REPLY_BYTES:
            raise FrameError("the reply is too long")
        if frame.header.get("event") in _FINAL:
            reply.done.set_result(frame)
        else:
            reply.frames.append(frame)


def told(how: str, complaint: bytes) -> str:
    """How a worker ended and the end of what it said on stderr, in one line."""
    said = " ".join(complaint[-2000:].decode("utf-8", "replace").split())
    return f"{how}: {said}" if said else how


def _check(name: str) -> None:
    try:
        parts(name)
    except ValueError as error:
        raise FileRefused(f"{error}.") from None
