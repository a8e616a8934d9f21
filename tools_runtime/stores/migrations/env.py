"""Alembic's entry point: runs on the connection, and in the transaction, that ``Database.open`` hands over."""

from __future__ import annotations

from alembic import context

from tools_runtime.stores.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
