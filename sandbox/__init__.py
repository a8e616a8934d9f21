"""The sandbox: runs untrusted Python, with its state kept from cell to cell. Knows nothing of Responses.

A ``Sandbox`` (one driver a file beside this one) makes ``Session``s; a session is one isolated machine with one Python
interpreter. What the isolation is worth: docs/sandbox.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

CODE_LIMIT_BYTES = 2**20
"""Longer cells are refused."""
DATA = "/mnt/data"
"""The sandbox's working folder, the one place where files of a session live."""


class SandboxError(Exception):
    """What the sandbox cannot do. The message is fit for a client to read."""


class SandboxUnavailable(SandboxError):
    """There is no sandbox to be had: no engine, no image, or no room."""


class SandboxFull(SandboxUnavailable):
    """There is no room for another session now; there may be in ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SessionClosed(SandboxError):
    """The session is gone, and its state and files with it."""


class FileRefused(SandboxError):
    """The file's name is not acceptable, there is no such file, or there is no room for it."""


@dataclass(frozen=True)
class Spec:
    """The size of one session. ``disk_bytes`` is the room of /mnt/data, which counts against ``memory_bytes``.

    Drivers make sessions without a network; ``allowed_domains`` are the business of ``sandbox.online``.
    """

    memory_bytes: int = 2**30
    disk_bytes: int = 256 * 2**20
    cpus: float = 1.0
    pids: int = 128
    allowed_domains: tuple[str, ...] = ()


class Connect(Protocol):
    async def __call__(self, domain: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to port 443 of ``domain``. Says which addresses may be reached; raises ``OSError``."""
        ...


@dataclass(frozen=True)
class Network:
    """What a session may reach: ``domains`` (as ``sandbox.egress.domain`` gives them) and those below them."""

    domains: tuple[str, ...]
    connect: Connect


@dataclass(frozen=True)
class Text:
    """What the program printed. Output of its subprocesses and of C code counts as stdout."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Display:
    """Something shown: ``data`` by MIME type. ``result`` when it is the value of the cell's last expression."""

    data: dict[str, bytes]
    result: bool


@dataclass(frozen=True)
class Traceback:
    """An exception that the cell did not catch, as Python prints it, without terminal colours."""

    text: str


Output = Text | Display | Traceback

Status = Literal["ok", "error", "interrupted", "killed_timeout", "kernel_died", "output_flood"]
"""``error``: the code raised. ``interrupted``: stopped at the time limit, or by the caller, state kept.
``killed_timeout``: did not heed the interrupt. ``kernel_died``: the interpreter ended itself, crashed or ran out of
memory. ``output_flood``: stopped because it printed without end."""


@dataclass(frozen=True)
class FileInfo:
    """A regular file below /mnt/data; ``name`` is its path relative to it."""

    name: str
    size: int


@dataclass(frozen=True)
class CellResult:
    """``outputs`` in the order in which they came about; ``dropped`` counts the bytes that were too many to keep.

    ``restarted``: the interpreter is a new one, and the variables are lost (files are not). ``files`` are those that
    the cell made or changed.
    """

    status: Status
    outputs: Sequence[Output]
    restarted: bool
    files: Sequence[FileInfo]
    dropped: int = 0


class Session(Protocol):
    """One isolated machine. Calls of several tasks are served one after another."""

    id: str

    @property
    def alive(self) -> bool:
        """False once the session is closed or its machine has ended."""
        ...

    async def open_network(self, network: Network) -> None:
        """Gives a new session's programs a proxy for HTTPS. Must come before the first cell, and once at most.

        Raises ``SessionClosed``.
        """
        ...

    async def execute(self, code: str, timeout_seconds: float) -> CellResult:
        """Runs a cell. When the caller is cancelled, the cell is interrupted and the session lives on.

        Raises ``SessionClosed``, and ``SandboxError`` for code that is too long.
        """
        ...

    async def put(self, name: str, data: bytes) -> None:
        """Writes a file below /mnt/data, with its folders. Raises ``FileRefused`` and ``SessionClosed``."""
        ...

    async def get(self, name: str) -> bytes:
        """Reads a file below /mnt/data. Follows no symbolic link. Raises ``FileRefused`` and ``SessionClosed``."""
        ...

    async def remove(self, name: str) -> None:
        """Removes a file below /mnt/data; of a link, the link. Raises ``FileRefused`` and ``SessionClosed``."""
        ...

    async def files(self) -> list[FileInfo]:
        """The files below /mnt/data, as many as are listed at most. Raises ``SessionClosed``."""
        ...

    async def cpu_seconds(self) -> float:
        """Processor time that the session used since it was ready, as the machine outside counts it.

        Raises ``SandboxError`` when it cannot be told; of a session that has ended it never can.
        """
        ...

    async def close(self) -> None:
        """Ends the machine. May be called again."""
        ...


class Sandbox(Protocol):
    """A driver: makes sessions of one kind of isolation."""

    name: str

    async def create(self, spec: Spec) -> Session:
        """A fresh session whose interpreter is ready. Raises ``SandboxUnavailable``; ``SandboxFull`` of it passes."""
        ...

    async def sweep(self) -> int:
        """Removes what an earlier server of the same owner left behind; returns how many machines those were."""
        ...

    async def probe(self) -> str:
        """One line on what is there, for people. Raises ``SandboxUnavailable`` with the remedy in its message."""
        ...

    async def aclose(self) -> None:
        """Lets go of the driver's own resources. Sessions must be closed before."""
        ...
