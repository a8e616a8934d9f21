"""What each owner's containers did, hour by hour."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import Connection, insert, select, update

from tools_runtime.stores import ContainerUsage
from tools_runtime.stores.database import Database
from tools_runtime.stores.schema import container_usage

_COUNTERS = tuple(field.name for field in fields(ContainerUsage))


class ContainerUsageStore:
    """Counters that only grow. ``hour`` counts from 1970."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: str, hour: int, usage: ContainerUsage) -> None:
        row = container_usage.c.owner == owner, container_usage.c.hour == hour
        grown = {name: container_usage.c[name] + getattr(usage, name) for name in _COUNTERS}

        def work(connection: Connection) -> None:
            if not connection.execute(update(container_usage).where(*row).values(**grown)).rowcount:
                connection.execute(insert(container_usage), vars(usage) | {"owner": owner, "hour": hour})

        await self._database.write(work)

    async def get(self, owner: str, hour: int) -> ContainerUsage:
        columns = [container_usage.c[name] for name in _COUNTERS]
        query = select(*columns).where(container_usage.c.owner == owner, container_usage.c.hour == hour)

        def work(connection: Connection) -> ContainerUsage:
            row = connection.execute(query).one_or_none()
            return ContainerUsage() if row is None else ContainerUsage(*row)

        return await self._database.read(work)
