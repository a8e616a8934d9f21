"""A PostgreSQL server of the tests' own, on a loopback port, with its data in a temporary folder."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 60

# What is stored need not survive the machine; it does survive that clients and servers are killed.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
}


class Postgres:
    """The server. ``stop`` and ``start`` are for tests of a database that is away for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._password = secrets.token_hex(16)
        self._numbers = itertools.count()
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o700)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        (folder / "password").write_text(self._password)
        initialise = [_binary("initdb"), "--username=tests", "--auth=md5", f"--pwfile={folder}/password", "--no-sync"]
        initialise += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={folder}/data"]
        (folder / "password").chmod(0o644)
        subprocess.run(_unprivileged(initialise), check=True, capture_output=True, cwd="/")

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Postgres]:
        with tempfile.TemporaryDirectory(prefix="postgres", dir=_fast()) as folder:
            server = cls(Path(folder))
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        options = [f"--{name}={value}" for name, value in (_OPTIONS | {"port": self._port}).items()]
        command = [_binary("postgres"), "-D", f"{self._folder}/data", *options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(_unprivileged(command), stdout=log, stderr=log, cwd="/")
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{error}\n{(self._folder / 'log').read_text()[-2000:]}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends it at once, as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_SECONDS)

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database: an empty one, or a copy of that with the URL ``template``."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2]} STRATEGY file_copy")
        try:
            yield f"postgresql://tests:{self._password}@127.0.0.1:{self._port}/{name}"
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> list[Any]:
        """Runs a statement as the server's administrator. Returns its rows."""
        with self._connect() as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def _connect(self) -> psycopg.Connection[Any]:
        where = {"host": "127.0.0.1", "port": self._port, "user": "tests", "password": self._password}
        return psycopg.connect(dbname="postgres", autocommit=True, **where)  # type: ignore[arg-type]


def _fast() -> str | None:
    """A folder in memory, if there is room: each database is a thousand files."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2**30 else None


def _unprivileged(command: Sequence[str]) -> Sequence[str]:
    """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
    if os.geteuid() != 0:
        return command
    user = pwd.getpwnam("postgres")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]


def _binary(name: str) -> str:
    """Debian keeps the programs of each version in a folder of its own."""
    found = [*sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")), shutil.which(name)]
    if found[0] is None:
        raise RuntimeError(f"{name} is not there: install the package postgresql")
    return found[0]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
