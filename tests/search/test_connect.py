"""Which addresses a domain leads to. Nothing is connected: the dial is a fake."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.connect import PublicConnector

PUBLIC, OTHER, PRIVATE = "93.184.216.34", "2606:2800:220:1::1", "10.0.0.1"


class Resolver(AbstractResolver):
    """Answers with the next list of addresses each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers.pop(0)
        ]

    async def close(self) -> None:
        pass


class Dial:
    def __init__(self, dead: str = "") -> None:
        self.dialled: list[tuple[str, int]] = []
        self._dead = dead

    async def __call__(self, address: str, port: int) -> Any:
        self.dialled.append((address, port))
        if address == self._dead:
            raise ConnectionRefusedError
        return "reader", "writer"


async def test_the_address_that_was_checked_is_the_one_that_is_dialled() -> None:
    resolver, dial = Resolver([PUBLIC], [PRIVATE]), Dial()
    connector = PublicConnector(AddressPolicy(), resolver, dial)
    await connector("a.example")
    assert dial.dialled == [(PUBLIC, 443)]
    with pytest.raises(OSError):  # the name has moved inside
        await connector("a.example")
    assert dial.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "addresses",
    [
        [PRIVATE],
        [PUBLIC, PRIVATE],
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["fe80::1%eth0"],
        ["::ffff:10.0.0.1"],
        [],
    ],
)
async def test_where_one_address_is_not_public_none_is_dialled(addresses: list[str]) -> None:
    dial = Dial()
    with pytest.raises(OSError):
        await PublicConnector(AddressPolicy(), Resolver(addresses), dial)("a.example")
    assert dial.dialled == []


async def test_the_next_address_is_tried() -> None:
    dial = Dial(dead=OTHER)
    await PublicConnector(AddressPolicy(), Resolver([OTHER, PUBLIC]), dial)("a.example")
    assert [address for address, _ in dial.dialled] == [OTHER, PUBLIC]


async def test_where_no_address_answers_that_is_the_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        await PublicConnector(AddressPolicy(), Resolver([PUBLIC]), Dial(dead=PUBLIC))("a.example")
