"""A container with a network, all of it real but the names: they lead to loopback, which stands in for the internet."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import Any

import interpreters
import pytest
import sandboxes
from aiohttp.abc import AbstractResolver, ResolveResult
from sandboxes import value

from sandbox.docker import DockerSandbox
from sandbox.online import OnlineSandbox
from tools_runtime.protocol.tools import NetworkPolicy
from tools_runtime.search.addresses import AddressPolicy
from tools_runtime.search.connect import PublicConnector

ADDRESSES = {"public.example": "93.184.216.34", "inside.example": "10.0.0.1", "metadata.example": "169.254.169.254"}
CODE = """
import socket
def ask(domain):
    with socket.create_connection(("127.0.0.1", 3128), 10) as s:
        s.sendall(f"CONNECT {domain}:443 HTTP/1.1\\r\\n\\r\\n".encode())
        return int(s.recv(99).split()[1])
[ask(f"{name}.example") for name in ("public", "inside", "metadata", "other")]
"""


class Resolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=ADDRESSES[host], port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.docker
async def test_a_container_reaches_what_it_may_and_nothing_inside() -> None:
    dialled: list[tuple[str, int]] = []

    async def accept(_reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def dial(address: str, port: int) -> Any:
        dialled.append((address, port))
        return await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    driver = DockerSandbox(sandboxes.image(), f"test-{uuid.uuid4().hex}")
    sandbox = OnlineSandbox(driver, PublicConnector(AddressPolicy(), Resolver(), dial))
    async with interpreters.serving(sandbox, sandbox_allowed_domains=("example",)) as containers:
        policy = NetworkPolicy(type="allowlist", allowed_domains=list(ADDRESSES))
        stored = await containers.create("me", containers.options.chosen("c", None, policy), {})
        assert stored.network_policy == {"type": "allowlist", "allowed_domains": list(ADDRESSES)}
        executed = await containers.execute(await containers.use("me", stored.id, "id"), CODE)
        assert value(executed.result) == "[200, 403, 403, 403]"
    assert dialled == [("93.184.216.34", 443)]
    await sandbox.aclose()
    server.close()
    await server.wait_closed()
