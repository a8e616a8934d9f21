"""Containers of the code interpreter, their files, and what they did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "containers",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_active_at", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("idle_minutes", sa.Integer, nullable=False),
        sa.Column("memory_limit", sa.Text),
        sa.Column("network_policy", sa.JSON, nullable=False),
        sa.Column("started", sa.Boolean, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "container_files",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("container_id", sa.Text, sa.ForeignKey("containers.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "container_usage",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("cells", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("bytes_in", sa.BigInteger, nullable=False),
        sa.Column("bytes_out", sa.BigInteger, nullable=False),
        sa.Column("files", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_containers_owner", "containers", ["owner"])
    op.create_index("ix_container_files_owner", "container_files", ["owner"])
    op.create_index("ix_container_files_container_id", "container_files", ["container_id"])
    op.create_index("ix_container_files_blob", "container_files", ["blob"])
