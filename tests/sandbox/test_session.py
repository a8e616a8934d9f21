"""The server's end of a session, against a far end that says whatever it likes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sandboxes import until

from sandbox import (
    CODE_LIMIT_BYTES,
    Display,
    FileRefused,
    SandboxError,
    SandboxUnavailable,
    SessionClosed,
    Spec,
    Text,
    Traceback,
)
from sandbox.frames import Frame, Parser, encode
from sandbox.session import PATIENCE_SECONDS, REPLY_BYTES, StreamSession

DONE = {"event": "done", "status": "ok", "restarted": False, "files": [], "dropped": 0}

Answer = Callable[[Frame], list[bytes]]


class FarEnd:
    """A stream whose worker is the function ``answer``, from a request to bytes."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Frame] = []
        self.closed = False
        self._answer = answer
        self._parser = Parser()
        self._bytes: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, data: bytes) -> None:
        self._bytes.put_nowait(data)

    async def read(self) -> bytes:
        return await self._bytes.get()

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError
        for request in self._parser.feed(data):
            self.requests.append(request)
            for piece in self._answer(request):
                self.say(piece)

    async def cpu_seconds(self) -> float:
        raise OSError

    async def ending(self) -> str:
        return "exit code 3: no disk"

    async def close(self) -> None:
        self.closed = True


def reply(request: Frame, *parts: tuple[dict[str, Any], bytes]) -> list[bytes]:
    return [encode({"id": request.header["id"], **header}, blob) for header, blob in parts]


def saying(*parts: tuple[dict[str, Any], bytes]) -> Answer:
    return lambda request: reply(request, *parts)


@pytest_asyncio.fixture
async def open_session() -> AsyncIterator[Callable[[Answer], tuple[StreamSession, FarEnd]]]:
    sessions: list[StreamSession] = []

    def opened(answer: Answer) -> tuple[StreamSession, FarEnd]:
        far_end = FarEnd(answer)
        sessions.append(StreamSession("s", far_end, Spec(disk_bytes=1000)))
        return sessions[-1], far_end

    yield opened
    for session in sessions:
        await session.close()


Open = Callable[[Answer], tuple[StreamSession, FarEnd]]


async def test_outputs_keep_their_order_and_kinds(open_session: Open) -> None:
    session, _ = open_session(
        saying(
            ({"event": "text", "stream": "stdout"}, b"a\xff\n"),
            ({"event": "text", "stream": "stderr"}, b"b\n"),
            ({"event": "display", "result": True, "parts": [["text/plain", 1], ["image/png", 2]]}, b"5\x89P"),
            ({"event": "traceback"}, b"\x1b[31mValueError\x1b[0m"),
            (DONE | {"files": [["f.txt", 3]], "dropped": 7}, b""),
        )
    )
    result = await session.execute("code", 1)
    assert result.outputs == [
        Text("stdout", "a\ufffd\n"),
        Text("stderr", "b\n"),
        Display({"text/plain": b"5", "image/png": b"\x89P"}, result=True),
        Traceback("ValueError"),
    ]
    assert [(file.name, file.size) for file in result.files] == [("f.txt", 3)]
    assert result.dropped == 7


MALFORMED = [
    ("status", [(DONE | {"status": "root"}, b"")]),
    ("no status", [({"event": "done"}, b"")]),
    ("dropped", [(DONE | {"dropped": "x"}, b"")]),
    ("files", [(DONE | {"files": {"a": 1}}, b"")]),
    ("file name", [(DONE | {"files": [["../../x", 1]]}, b"")]),
    ("file size", [(DONE | {"files": [["x", -1]]}, b"")]),
    ("file pair", [(DONE | {"files": [["x"]]}, b"")]),
    ("event", [({"event": "shell"}, b""), (DONE, b"")]),
    ("no event", [({}, b""), (DONE, b"")]),
    ("MIME type", [({"event": "display", "parts": [["text/html\r\nX: y", 1]]}, b"x"), (DONE, b"")]),
    ("no parts", [({"event": "display"}, b"x"), (DONE, b"")]),
    ("wrong final", [({"event": "data", "size": 1}, b"x")]),
    ("endless", [({"event": "text", "stream": "stdout"}, bytes(2**24 - 1))] * (REPLY_BYTES // 2**24 + 1)),
]


@pytest.mark.parametrize("parts", [parts for _, parts in MALFORMED], ids=[name for name, _ in MALFORMED])
async def test_a_senseless_reply_ends_the_session(
    open_session: Open, parts: list[tuple[dict[str, Any], bytes]]
) -> None:
    session, far_end = open_session(saying(*parts))
    with pytest.raises(SessionClosed):
        await session.execute("code", 1)
    assert not session.alive
    with pytest.raises(SessionClosed):
        await session.execute("code", 1)
    await session.close()
    assert far_end.closed


@given(st.binary(min_size=1, max_size=40), st.dictionaries(st.text(max_size=4), st.integers(), max_size=3))
async def test_any_bytes_end_in_a_result_or_a_sandbox_error(garbage: bytes, header: dict[str, int]) -> None:
    far_end = FarEnd(lambda request: [garbage, *reply(request, (header, b""), (DONE, b"")), b""])
    session = StreamSession("s", far_end, Spec())
    with suppress(SandboxError):
        assert (await session.execute("code", 1)).status == "ok"
    await session.close()


async def test_the_end_of_the_worker_in_a_cell_is_told(open_session: Open) -> None:
    session, _ = open_session(lambda request: [b""])
    with pytest.raises(SessionClosed):
        await session.execute("code", 1)
    assert not session.alive


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "exit code 3: no disk"),
        (b"Traceback (most recent call last):\n", "it broke its protocol: "),
        (None, "it did not answer in 0.05 s"),
    ],
    ids=["it ends", "it says nonsense", "it says nothing"],
)
async def test_a_worker_that_does_not_begin_is_closed_and_why_is_said(
    open_session: Open, said: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.session.READY_SECONDS", 0.05 if said is None else 60)
    session, far_end = open_session(saying())
    if said is not None:
        far_end.say(said)
    with pytest.raises(SandboxUnavailable, match=f"^The sandbox did not start: {reason}"):
        await session.ready()
    assert far_end.closed and not session.alive


async def test_a_worker_that_does_not_answer_is_ended(open_session: Open) -> None:
    session, far_end = open_session(lambda request: [])
    with pytest.raises(SessionClosed, match="in time"):
        await session.execute("code", 0.01 - PATIENCE_SECONDS)
    assert far_end.closed


async def test_a_cancelled_cell_is_interrupted_and_its_late_reply_dropped(open_session: Open) -> None:
    waiting: list[Frame] = []

    def answer(request: Frame) -> list[bytes]:
        if request.header["op"] == "interrupt":
            (cell,) = waiting
            return reply(cell, ({"event": "text", "stream": "stdout"}, b"late"), (DONE | {"status": "error"}, b""))
        if request.blob == b"slow":
            waiting.append(request)
            return []
        return reply(request, (DONE, b""))

    session, far_end = open_session(answer)
    slow = asyncio.create_task(session.execute("slow", 60))
    await until(lambda: waiting)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    result = await session.execute("next", 1)
    assert (result.status, result.outputs) == ("ok", [])
    assert [frame.header["op"] for frame in far_end.requests] == ["execute", "interrupt", "execute"]


async def test_requests_are_sent_one_after_another(open_session: Open) -> None:
    session, far_end = open_session(lambda request: [])
    tasks = [asyncio.create_task(session.execute(str(number), 60)) for number in range(3)]
    for number in range(3):
        await until(lambda: len(far_end.requests) > number)  # noqa: B023
        assert len(far_end.requests) == number + 1
        for piece in reply(far_end.requests[-1], (DONE, b"")):
            far_end.say(piece)
    assert [(await task).status for task in tasks] == ["ok"] * 3


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "", "a\nb"])
async def test_hostile_names_are_never_sent(open_session: Open, name: str) -> None:
    session, far_end = open_session(saying(({"event": "done"}, b"")))
    with pytest.raises(FileRefused):
        await session.put(name, b"x")
    with pytest.raises(FileRefused):
        await session.get(name)
    assert far_end.requests == []


@pytest.mark.parametrize("size", [2**40, -1, "1", None])
async def test_a_file_larger_than_the_disk_is_not_taken(open_session: Open, size: object) -> None:
    session, _ = open_session(saying(({"event": "data", "size": size}, b"x" * 2000)))
    with pytest.raises(FileRefused):
        await session.get("f")


async def test_what_the_worker_refuses_is_said(open_session: Open) -> None:
    session, _ = open_session(saying(({"event": "refused", "message": "No space left on device"}, b"")))
    with pytest.raises(FileRefused, match="f: No space left on device"):
        await session.put("f", b"x")


async def test_code_that_is_too_long_is_refused(open_session: Open) -> None:
    session, far_end = open_session(saying((DONE, b"")))
    with pytest.raises(SandboxError):
        await session.execute("#" * (CODE_LIMIT_BYTES + 1), 1)
    assert far_end.requests == []


async def test_a_frame_of_death_ends_the_session(open_session: Open) -> None:
    session, _ = open_session(lambda request: [struct.pack(">II", 2**32 - 1, 2**32 - 1)])
    with pytest.raises(SessionClosed):
        await session.execute("code", 1)
