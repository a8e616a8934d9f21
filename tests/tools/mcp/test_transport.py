"""Where MCP's client may connect to, and how much it is told."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import httpx2
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from harness.server import listening

from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.tools.mcp.names import function_name
from tools_runtime.tools.mcp.transport import Blocked, BrokenOff, GuardedTransport, http_client


class Names(AbstractResolver):
    """Names that lead to these addresses; one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        self.asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def client(
    *allow: str, resolver: AbstractResolver | None = None, max_bytes: int = 100
) -> AsyncIterator[httpx2.AsyncClient]:
    transport = GuardedTransport(AddressPolicy(allow), max_bytes, ssl.create_default_context(), resolver)
    async with http_client(transport, {"X": "y"}) as http:
        yield http


@asynccontextmanager
async def site() -> AsyncIterator[int]:
    app = FastAPI()
    app.get("/long")(lambda: Response(b"x" * 101))
    app.get("/packed")(lambda: Response(b"x", headers={"Content-Encoding": "gzip"}))
    app.get("/away")(lambda: RedirectResponse("http://169.254.169.254/"))
    app.get("/plain")(lambda: Response(b"x" * 100))
    async with listening(app) as port:
        yield port


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8000/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "https://192.168.1.1/",
        "http://1.1.1.1:22/",
    ],
)
async def test_private_addresses_and_other_ports_are_not_connected_to(url: str) -> None:
    async with client() as http:
        with pytest.raises(Blocked):
            await http.get(url)


async def test_a_name_with_one_private_address_is_not_connected_to() -> None:
    async with client(resolver=Names(["1.1.1.1", "10.0.0.1"])) as http:
        with pytest.raises(Blocked):
            await http.get("http://mcp.test/")


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """A name that leads elsewhere when it is asked again is not asked again."""
    resolver = Names(["127.0.0.1"], ["10.0.0.1"])
    async with site() as port, client(f"mcp.test:{port}", resolver=resolver) as http:
        assert (await http.get(f"http://mcp.test:{port}/plain")).status_code == 200
    assert resolver.asked == 1


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    resolver = Names(["127.0.0.2", "127.0.0.1"])
    async with site() as port, client(f"mcp.test:{port}", resolver=resolver) as http:
        assert (await http.get(f"http://mcp.test:{port}/plain")).text == "x" * 100


async def test_redirects_are_checked_like_any_request() -> None:
    async with site() as port, client(f"127.0.0.1:{port}") as http:
        with pytest.raises(Blocked):
            await http.get(f"http://127.0.0.1:{port}/away", follow_redirects=True)


async def test_long_and_packed_answers_are_not_read() -> None:
    async with site() as port, client(f"127.0.0.1:{port}") as http:
        with pytest.raises(BrokenOff):
            await http.get(f"http://127.0.0.1:{port}/long")
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{port}/packed")


async def test_a_name_that_leads_nowhere_is_an_error_of_the_connection() -> None:
    class Nowhere(aiohttp.ThreadedResolver):
        async def resolve(self, *_: object) -> list[ResolveResult]:  # type: ignore[override]
            raise OSError("no such name")

    async with client(resolver=Nowhere()) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get("http://nowhere.test/")


def test_names_of_functions_are_unambiguous() -> None:
    assert function_name("github", "list_issues") == "mcp__github__list_issues"
    different = [
        ("a", "b__c"),
        ("a__b", "c"),
        ("a_", "b"),
        ("a", "_b"),
        ("a", "x.y"),
        ("a", "x_y"),
        ("a", "x y"),
        ("a", "x" * 80),
        ("a", "x" * 81),
        ("a", "\ud800"),
        ("a" * 64, "b"),
        ("a" * 64, "c"),
    ]
    names = [function_name(*pair) for pair in different]
    assert len(set(names)) == len(different)
    assert all(
        len(name) <= 64 and name.isascii() and name.replace("_", "").replace("-", "").isalnum() for name in names
    )
