"""The session's way out: the server's end against any far end, and both ends on the real image. Never the internet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sandboxes import SMALL, printed, run, until, value

from sandbox import Network, Sandbox, Session
from sandbox.egress import Egress, domain, within
from sandbox.frames import Frame, FrameError
from sandbox.worker.egress import CHUNK_BYTES, STREAMS, WINDOW_BYTES

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Origin:
    """A server on loopback, and a connector that leads every domain to it."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.open = 0
        self.most = 0
        self._handler = handler
        self._tls = tls

    async def __aenter__(self) -> Origin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        await until(lambda: self.open == 0)

    async def connect(self, domain: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.asked.append(domain)
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            with contextlib.suppress(OSError):
                await self._handler(reader, writer)
        finally:
            writer.transport.abort()
            self.open -= 1


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers ``GET /<bytes>`` with so many bytes."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.split()[1].strip(b"/") or b"2")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
    for start in range(0, size, 2**16):
        writer.write(b"x" * min(2**16, size - start))
        await writer.drain()
    await reader.read(1)


# --- domains ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("ＥＸＡＭＰＬＥ．com", "example.com"),
        ("pypi.org", "pypi.org"),
    ],
)
def test_domains_are_compared_in_one_form(text: str, name: str) -> None:
    assert domain(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "..",
            "a..b",
            "*.example.com",
            "https://example.com",
            "example.com:443",
            "a b.example",
            "a_b.example",
        ),
        *("127.0.0.1", "127.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "[::1]", "::1", "１２７.0.0.1", "a.1"),
        *(
            "example.com\0.evil.example",
            "example.com\r\nX: y",
            "a" * 64 + ".example",
            "a." * 200 + "example",
            "-a.example",
        ),
    ],
)
def test_what_is_not_a_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        domain(text)


def test_a_domain_opens_those_below_it_and_no_other() -> None:
    assert within("pypi.org", ("pypi.org",)) and within("files.pypi.org", ("pypi.org",))
    for name in ("notpypi.org", "org", "pypi.org.evil.example", "xpypi.org"):
        assert not within(name, ("pypi.org",))


# --- the server's end ------------------------------------------------------------------------------------------------


class FarEnd:
    """What a session would see. While ``stuck``, it takes no frames."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], bytes]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, header: dict[str, Any], blob: bytes) -> None:
        self.heard.append((header, blob))
        await self.free.wait()

    def said(self, what: str) -> list[dict[str, Any]]:
        return [header for header, _ in self.heard if header["do"] == what]

    def data(self) -> bytes:
        return b"".join(blob for header, blob in self.heard if header["do"] == "data")


def frame(number: Any, what: Any, blob: bytes = b"", **header: Any) -> Frame:
    return Frame({"event": "stream", "stream": number, "do": what, **header}, blob)


def opening(number: int = 1, host: str = "a.example", port: int = 443) -> Frame:
    return frame(number, "open", host=host, port=port)


@contextlib.asynccontextmanager
async def egress(handler: Handler = echo, **limits: int) -> AsyncIterator[tuple[Egress, FarEnd, Origin]]:
    far_end = FarEnd()
    async with Origin(handler) as origin:
        way_out = Egress("s", Network(("a.example",), origin.connect), far_end.send, **limits)
        try:
            yield way_out, far_end, origin
        finally:
            await way_out.aclose()


async def test_bytes_go_both_ways_and_both_are_told_of_the_end() -> None:
    async with egress() as (way_out, far_end, origin):
        way_out.take(opening(host="www.A.example."))
        way_out.take(frame(1, "data", b"hello"))
        await until(lambda: far_end.data() == b"hello")
        assert origin.asked == ["www.a.example"]
        assert [header["bytes"] for header in far_end.said("credit")] == [5]
        way_out.take(frame(1, "close"))
        await until(lambda: far_end.said("close"))
        way_out.take(frame(1, "data", b"late"))
        await until(lambda: origin.open == 0)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        *(("b.example", 443), ("nota.example", 443), ("a.example.evil.example", 443), ("a.example", 22)),
        *(("a.example", 80), ("127.0.0.1", 443), ("[::1]", 443), ("2130706433", 443), ("", 443), ("x" * 8000, 443)),
        ("a.example", -1),
    ],
)
async def test_what_is_not_allowed_is_refused_and_nothing_is_connected(host: str, port: int) -> None:
    async with egress() as (way_out, far_end, origin):
        way_out.take(opening(host=host, port=port))
        await until(lambda: far_end.said("refused"))
        assert origin.asked == []


async def test_what_the_connector_refuses_is_refused() -> None:
    async def connect(_domain: str) -> Any:
        raise PermissionError("not a public address")

    far_end = FarEnd()
    way_out = Egress("s", Network(("a.example",), connect), far_end.send)
    way_out.take(opening())
    await until(lambda: far_end.said("refused"))
    assert "public" not in far_end.said("refused")[0]["message"]
    await way_out.aclose()


HOSTILE: dict[str, list[Frame]] = {
    "opened twice": [opening(), opening()],
    "too many": [opening(number) for number in range(2 * STREAMS + 1)],
    "no stream": [frame(None, "open", host="a.example", port=443)],
    "a stream that is no number": [opening(), frame(True, "close")],
    "no host": [frame(1, "open", port=443)],
    "no port": [frame(1, "open", host="a.example", port="443")],
    "more than the window": [opening(), frame(1, "data", bytes(WINDOW_BYTES)), frame(1, "data", b"x")],
    "empty data": [opening(), frame(1, "data")],
    "credit for nothing": [opening(), frame(1, "credit", bytes=1)],
    "huge credit": [opening(), frame(1, "credit", bytes=2**62)],
    "negative credit": [opening(), frame(1, "credit", bytes=-1)],
    "no such thing": [opening(), frame(1, "listen")],
    "nothing": [opening(), frame(1, None)],
}


@pytest.mark.parametrize("frames", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_makes_no_sense_is_told(frames: list[Frame]) -> None:
    async with egress() as (way_out, _, _):
        with pytest.raises(FrameError):
            for each in frames:
                way_out.take(each)


_FRAMES = st.builds(
    lambda number, what, blob, header: Frame({"stream": number, "do": what} | header, blob),
    st.integers(0, 3),
    st.sampled_from(["open", "data", "credit", "close", "x"]),
    st.binary(max_size=20),
    st.fixed_dictionaries(
        {},
        optional={
            "host": st.sampled_from(["a.example", "b.example", "::1"]) | st.text(max_size=9),
            "port": st.sampled_from([443, 22, -1, None]),
            "bytes": st.integers(-1, 9) | st.just(2**70),
        },
    ),
)


@given(st.lists(_FRAMES, max_size=12))
async def test_any_frames_are_heeded_dropped_or_called_nonsense(frames: list[Frame]) -> None:
    async with egress() as (way_out, far_end, origin):
        with contextlib.suppress(FrameError):
            for each in frames:
                way_out.take(each)
                await asyncio.sleep(0)
        assert set(origin.asked) <= {"a.example"}
    assert all(header["op"] == "stream" and len(blob) <= CHUNK_BYTES for header, blob in far_end.heard)


async def test_a_session_that_does_not_read_is_sent_a_window_and_no_more() -> None:
    async with egress(http) as (way_out, far_end, _):
        way_out.take(opening())
        way_out.take(frame(1, "data", b"GET /9000000 HTTP/1.1\r\n\r\n"))
        await until(lambda: len(far_end.data()) == WINDOW_BYTES)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(far_end.data()) == WINDOW_BYTES
        way_out.take(frame(1, "credit", bytes=10))
        await until(lambda: len(far_end.data()) == WINDOW_BYTES + 10)


async def test_an_origin_that_does_not_read_gives_no_credit() -> None:
    over = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async with egress(deaf) as (way_out, far_end, _):
        way_out.take(opening())
        sent = 0
        with contextlib.suppress(FrameError):
            while sent < 2**26:
                way_out.take(frame(1, "data", bytes(CHUNK_BYTES)))
                sent += CHUNK_BYTES
                await asyncio.sleep(0)
        credited = sum(header["bytes"] for header in far_end.said("credit"))
        over.set()
        assert sent < 2**26 and sent - credited <= WINDOW_BYTES + CHUNK_BYTES


async def test_the_connections_and_bytes_of_a_session_are_limited() -> None:
    async with egress(max_connections=1) as (way_out, far_end, origin):
        way_out.take(opening(host="b.example"))
        way_out.take(opening(2))
        await until(lambda: len(far_end.said("refused")) == 2)
        assert origin.asked == []
    async with egress(max_bytes=10) as (way_out, far_end, origin):
        way_out.take(opening())
        way_out.take(frame(1, "data", bytes(10)))
        await until(lambda: far_end.said("close"))
        way_out.take(opening(2))
        await until(lambda: far_end.said("refused"))
        assert len(origin.asked) == 1


# --- both ends -------------------------------------------------------------------------------------------------------

both_ends = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

CONNECT = """
import socket
def connect(target, send=b""):
    s = socket.create_connection(("127.0.0.1", 3128), 10)
    s.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: a.example:443\\r\\n\\r\\n".encode() + send)
    return s
def status(target):
    with connect(target) as s:
        return int(s.recv(99).split()[1])
def reading(s):
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += s.recv(1)
    return s
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a.example, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ("-subj", "/CN=a.example", "-addext", "subjectAltName=DNS:a.example")
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    files = ("-keyout", folder / "key.pem", "-out", folder / "certificate.pem")
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return folder / "certificate.pem"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[Origin]:
    async def either(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP for those who ask for something, else an echo."""
        first = await reader.read(1)
        if first != b"G":
            writer.write(first)
            await echo(reader, writer)
        elif first:
            await http(reader, writer)

    async with Origin(either) as origin:
        yield origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connected(driver: Sandbox, origin: Origin) -> AsyncIterator[Session]:
    session = await driver.create(SMALL)
    await session.open_network(Network(("a.example",), origin.connect))
    result = await run(session, CONNECT)
    assert not result.restarted
    yield session
    await session.close()


class TestBothEnds:
    pytestmark = both_ends

    async def test_urllib_gets_through_by_the_environment(self, driver: Sandbox, certificate: Path) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
        async with Origin(http, tls) as origin:
            session = await driver.create(SMALL)
            await session.open_network(Network(("a.example",), origin.connect))
            await session.put("ca.pem", await asyncio.to_thread(certificate.read_bytes))
            code = (
                "import ssl, urllib.request\ntls = ssl.create_default_context(cafile='ca.pem')\n"
                "len(urllib.request.urlopen('https://a.example/70000', context=tls).read())"
            )
            assert value(await run(session, code)) == "70000"
            assert origin.asked == ["a.example"]
            await session.close()

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            *(("a.example:443", 200), ("www.A.EXAMPLE.:443", 200), ("b.example:443", 403), ("a.example:22", 403)),
            *(("127.0.0.1:443", 403), ("[::1]:443", 403), ("2130706433:443", 403), ("169.254.169.254:443", 403)),
            *(("a.example.b.example:443", 403), ("a.example:99999", 403), ("a.example", 405), ("é:443", 403)),
        ],
    )
    async def test_only_what_is_on_the_list_is_reached(self, connected: Session, target: str, status: int) -> None:
        assert value(await run(connected, f"status({target!r})")) == str(status)

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ("GET http://a.example/ HTTP/1.1\\r\\n\\r\\n", 405),
            ("CONNECT a.example:443 HTTP/1.1\\r\\nX: " + "y" * 9000, 431),
            ("\\x16\\x03\\x01\\r\\n\\r\\n", 405),
            ("\\r\\n\\r\\n", 405),
        ],
    )
    async def test_what_is_not_a_connect_is_answered(self, connected: Session, request_: str, status: int) -> None:
        code = (
            f"s = socket.create_connection(('127.0.0.1', 3128)); s.sendall(b'{request_}'); int(s.recv(99).split()[1])"
        )
        assert value(await run(connected, code)) == str(status)

    async def test_there_is_no_way_but_the_proxy(self, connected: Session, origin: Origin) -> None:
        code = (
            f"for place in (('127.0.0.1', {origin.port}), ('192.0.2.1', 443), ('a.example', 443)):\n"
            "    try: print(socket.create_connection(place, 2))\n"
            "    except OSError as error: print('no')"
        )
        assert printed(await run(connected, code)) == "no\n" * 3

    async def test_much_goes_through_to_a_slow_reader_with_little_memory(self, connected: Session) -> None:
        code = (
            "import time\ns = reading(connect('a.example:443', b'GET /30000000 HTTP/1.1\\r\\n\\r\\n'))\nreading(s)\n"
            "size = 0\ntime.sleep(0.3)\nwhile size < 30000000: size += len(s.recv(1 << 20))\ns.close()\nsize"
        )
        assert value(await run(connected, code, 60)) == "30000000"

    async def test_much_goes_out_and_comes_back_whole(self, connected: Session) -> None:
        code = (
            "import hashlib, os, threading\nsent = os.urandom(8_000_000)\ns = reading(connect('a.example:443'))\n"
            "sender = threading.Thread(target=s.sendall, args=(b'E' + sent,)); sender.start()\ngot = bytearray()\n"
            "while len(got) < len(sent) + 1: got += s.recv(1 << 20)\nsender.join(); s.close()\nbytes(got[1:]) == sent"
        )
        assert value(await run(connected, code, 60)) == "True"

    async def test_connections_at_a_time_are_limited_and_the_rest_wait(
        self, connected: Session, origin: Origin
    ) -> None:
        origin.most = 0
        code = (
            "from concurrent.futures import ThreadPoolExecutor\ndef one(n):\n"
            "    s = reading(connect('a.example:443')); s.sendall(b'E%d' % n); got = s.recv(9); s.close()\n"
            "    return got == b'E%d' % n or got == b'E'\n"
            "with ThreadPoolExecutor(50) as pool: done = list(pool.map(one, range(200)))\nsum(done)"
        )
        assert value(await run(connected, code, 60)) == "200"
        assert origin.most <= 2 * STREAMS

    async def test_connections_that_are_kept_take_all_places_and_give_them_back(
        self, connected: Session, origin: Origin
    ) -> None:
        code = f"kept = [reading(connect('a.example:443')) for _ in range({STREAMS})]\nlen(kept)"
        assert value(await run(connected, code, 30)) == str(STREAMS)
        assert value(await run(connected, "1 + 1")) == "2"
        await run(connected, "for s in kept: s.close()")
        await until(lambda: origin.open == 0)
        assert value(await run(connected, "status('a.example:443')")) == "200"

    async def test_cells_are_served_while_bytes_flow(self, connected: Session) -> None:
        code = (
            "import threading\ns = reading(connect('a.example:443', b'GET /900000000 HTTP/1.1\\r\\n\\r\\n'))\n"
            "def drain():\n    while s.recv(1 << 16): pass\nthreading.Thread(target=drain, daemon=True).start()"
        )
        await run(connected, code)
        for number in range(20):
            assert value(await run(connected, f"{number} + 1")) == str(number + 1)
        assert (await connected.execute("while True: pass", 0.3)).status == "interrupted"
        await run(connected, "s.shutdown(socket.SHUT_RDWR)")

    async def test_a_new_interpreter_has_the_way_out_too(self, connected: Session, origin: Origin) -> None:
        assert (
            await connected.execute("kept = reading(connect('a.example:443')); import os; os._exit(1)", 20)
        ).restarted
        await run(connected, CONNECT)
        await until(lambda: origin.open == 0)
        assert value(await run(connected, "import os; os.environ['HTTPS_PROXY'], status('a.example:443')")) == (
            "('http://127.0.0.1:3128', 200)"
        )

    async def test_the_end_of_the_session_is_the_end_of_its_connections(self, driver: Sandbox, origin: Origin) -> None:
        session = await driver.create(SMALL)
        await session.open_network(Network(("a.example",), origin.connect))
        await run(session, CONNECT + "kept = [reading(connect('a.example:443')) for _ in range(3)]")
        assert origin.open >= 3
        await session.close()
        await until(lambda: origin.open == 0)

    async def test_without_a_network_nothing_listens_and_nothing_says_so(self, session: Session) -> None:
        code = (
            "import os, socket\ns = socket.socket()\n"
            "s.connect_ex(('127.0.0.1', 3128)), [name for name in os.environ if 'proxy' in name.lower()]"
        )
        assert value(await run(session, code)) == "(111, [])"
