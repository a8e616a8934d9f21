"""How a Docker Engine is reached: a unix socket, TCP with TLS, or through ssh the unix socket of another machine.

The ``docker`` package makes the requests; it blocks. A container's stdin and stdout are a connection of asyncio's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import DockerException
from docker.tls import TLSConfig

from sandbox import SandboxUnavailable
from sandbox.tunnel import Tunnel

USUAL = "unix:///var/run/docker.sock"
CONNECT_SECONDS = 15
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""A machine that has vanished from the network counts as gone after half a minute."""

NO_ENGINE = "No Docker Engine answers. Start it, or let sandbox/engine.sh start or install it."
NO_ENGINE_AT = "No Docker Engine answers at {url}: {reason}"


@dataclass(frozen=True)
class Address:
    """``url``: ``unix://PATH``, ``tcp://HOST:PORT`` or ``ssh://[USER@]HOST[:PORT][/PATH/OF/ITS/SOCKET]``.

    ``certificates``: a folder with ``ca.pem``, ``cert.pem`` and ``key.pem``, as the ``docker`` command has it. With it,
    TCP is TLS, and both ends prove who they are.
    """

    url: str = USUAL
    certificates: Path | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Address:
        """The engine that the ``docker`` command uses with these environment variables."""
        folder = Path(variables.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
        return cls(variables.get("DOCKER_HOST") or USUAL, folder if variables.get("DOCKER_TLS_VERIFY") else None)


def send(image: str, to: Address) -> str:
    """Copies an image from the usual engine. Returns one line on what was done. Raises ``SandboxUnavailable``."""
    source, target = Engine(Address.of(os.environ)), Engine(to)
    try:
        with source.requests() as here, target.requests() as there:
            found = here.images.get(image)
            if any(other.id == found.id for other in there.images.list(name=image)):
                return f"{to.url} has {image}"
            there.images.load(found.save(named=True))
            return f"{image} sent to {to.url}"
    finally:
        for engine in (source, target):
            engine.close()


class Engine:
    """All its methods raise ``SandboxUnavailable`` when the engine does not answer."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._tunnel = Tunnel(address.url) if address.url.startswith("ssh://") else None

    @contextlib.contextmanager
    def requests(self) -> Iterator[Any]:
        """The client of the ``docker`` package, which blocks; its errors become ``SandboxUnavailable``."""
        try:
            if self._tunnel is not None:
                self._tunnel.open()
            yield self._client
        except (DockerException, OSError) as error:
            raise self.silent(error) from error

    async def attach(self, id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The container's stdin, and its stdout and stderr in Docker's framing."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await self._connect()
                try:
                    await _upgrade(reader, writer, f"/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1")
                except BaseException:
                    writer.transport.abort()
                    raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise self.silent(error) from error
        return reader, writer

    def silent(self, error: Exception) -> SandboxUnavailable:
        if self.address.url == USUAL:
            return SandboxUnavailable(NO_ENGINE)
        return SandboxUnavailable(NO_ENGINE_AT.format(url=self.address.url, reason=_reason(error)))

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()
        if self._tunnel is not None:
            self._tunnel.close()

    @property
    def _url(self) -> str:
        return f"unix://{self._tunnel.socket}" if self._tunnel is not None else self.address.url

    @functools.cached_property
    def _client(self) -> Any:
        """One that speaks the engine's version of the API."""
        asking = self._new_client(DEFAULT_DOCKER_API_VERSION)
        try:
            version = asking.api.version(api_version=False)["ApiVersion"]
        finally:
            asking.close()
        return self._new_client(version)

    def _new_client(self, version: str) -> Any:
        folder = self.address.certificates
        tls: TLSConfig | bool = False
        if folder is not None:
            pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
            tls = TLSConfig(client_cert=pair, ca_cert=str(folder / "ca.pem"), verify=True)
        client = docker.DockerClient(base_url=self._url, version=version, tls=tls)
        # With trust_env, requests prefers a CA bundle from the environment to the one that the engine's TLS needs.
        client.api.trust_env = False
        return client

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = urlsplit(self._url)
        if target.scheme == "unix":
            return await asyncio.open_unix_connection(target.path)
        reader, writer = await asyncio.open_connection(target.hostname, target.port, ssl=self._tls)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, option, seconds)
        return reader, writer

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext | None:
        folder = self.address.certificates
        if folder is None:
            return None
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context


def _reason(error: BaseException) -> str:
    """What the system said. Libraries wrap it in several errors of their own, as an argument or a cause."""
    found: list[BaseException] = [error]
    for each in found:
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        inner = (*each.args, each.__cause__, each.__context__)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
    return str(error) or type(error).__name__


async def _upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    """Turns an HTTP connection into a raw one. Raises ``OSError`` when the engine refuses."""
    head = f"POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    writer.write(head.encode())
    status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] not in (["101"], ["200"]):
        raise OSError(f"the engine did not attach: {status}")
