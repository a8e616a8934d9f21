"""Who runs what: rows of ``runs`` as leases. What several processes must not do twice, only the one with the token
does; each write that depends on it looks at the token in its own transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from tools_runtime.stores import Lease
from tools_runtime.stores.schema import runs

_THIS = runs.c.response_id == bindparam("this")
_HELD = select(runs.c.key).where(_THIS, runs.c.token == bindparam("by"))
_GIVE_UP = delete(runs).where(_THIS, runs.c.token == bindparam("by"))


def is_held(connection: Connection, lease: Lease) -> bool:
    """Whether nobody else has taken the run over; nobody can before the transaction ends."""
    return connection.scalar(_HELD, {"this": lease.response_id, "by": lease.token}) is not None


def give_up(connection: Connection, lease: Lease) -> bool:
    """Ends the run, and with it the lock on its conversation; False if another has taken it over."""
    return connection.execute(_GIVE_UP, {"this": lease.response_id, "by": lease.token}).rowcount > 0
