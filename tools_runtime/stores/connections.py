"""What differs between the databases: how one connects, how a transaction begins, and what a refusal means."""

from __future__ import annotations

import errno
import os
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from tools_runtime.errors import ApiError

READS: dict[str, Any] = {"postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}}
WRITES: dict[str, Any] = {"postgresql": {"isolation_level": "READ COMMITTED"}}
"""How transactions run, where that must be said; SQLite has one way only."""

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # What was acknowledged survives not only a kill but a power cut; shared commits keep it cheap.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
)

_POSTGRES = {
    "application_name": "tools-runtime",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    # A host that is gone without a word is noticed after a minute and not after hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

# Writers take turns, as SQLite's do (docs/decisions/0015-postgresql-writers-take-turns.md). The number is this
# program's own: advisory locks count for one database, whoever uses it.
_TURN = (
    "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '60s';"
    "SELECT pg_advisory_xact_lock(8405182331)"
)

_FULL = ("SQLITE_FULL", "53100")
_BUSY = ("SQLITE_BUSY", "55P03", "53300")
"""SQLite's names and PostgreSQL's codes: a full disk; a turn that did not come in time, too many connections."""
_GONE = ("08", "57P")
"""How PostgreSQL's codes begin when a connection failed, or the server shuts down or starts up."""


class Unavailable(ApiError):
    """The database cannot be reached, or a turn to write did not come in time. Whether a write that ends like this was
    done is not known."""

    def __init__(self) -> None:
        message = "The server's database is not available at the moment. Try again."
        super().__init__(message, status=503, type="server_error", code="database_unavailable", retry_after=1)


def connect(url: str, *, connections: int) -> Engine:
    """An engine with as many connections at most. ``url`` as in the settings: ``sqlite:///…`` or ``postgresql://…``."""
    where = make_url(url.replace("postgres:", "postgresql:", 1) if url.startswith("postgres:") else url)
    if where.get_backend_name() == "sqlite":
        engine = create_engine(where, pool_size=connections)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        where.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args=_POSTGRES,
    )
    event.listen(engine, "begin", _begin_postgres)
    return engine


def describe(url: str) -> str:
    """What the database is and where, without credentials. Raises ``SQLAlchemyError`` if it does not answer."""
    engine = connect(url, connections=1)
    try:
        with engine.connect():
            version = ".".join(map(str, engine.dialect.server_version_info or ()))
    finally:
        engine.dispose()
    where = f"{engine.url.database} at {engine.url.host}" if engine.url.host else engine.url.database
    return f"{engine.dialect.name} {version}: {where}"


def refusal(error: Exception) -> Exception:
    """What ``error`` means to a caller: ``OSError`` with ``ENOSPC`` where the database's disk is full, ``Unavailable``
    where it is not there, else ``error`` itself."""
    # What fails to begin is not wrapped.
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    if state in _FULL:
        return _caused(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), error)
    if state in _BUSY or _lost(cause, state):
        return _caused(Unavailable(), error)
    return error


def _lost(cause: BaseException | None, state: str | None) -> bool:
    """Whether PostgreSQL's connection failed. Where there is none, there is no code either."""
    failed = hasattr(cause, "sqlstate") and type(cause).__name__ in ("OperationalError", "ConnectionTimeout")
    return (failed and state is None) or (state or "").startswith(_GONE)


def _caused(refusal: Exception, by: Exception) -> Exception:
    refusal.__cause__ = by
    return refusal


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own: _begin_sqlite does
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock first: one that reads and then writes would fail where it cannot wait for its turn.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(_TURN)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", False))
