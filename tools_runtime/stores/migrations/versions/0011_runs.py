"""Runs have leases; background responses have events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("responses", sa.Column("events_until", sa.BigInteger))
    op.create_index("ix_responses_events_until", "responses", ["events_until"])
    op.create_table(
        "runs",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("response_id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("conversation_id", sa.Text, unique=True),
        sa.Column("request", sa.LargeBinary),
        sa.Column("begun", sa.Boolean, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("token", sa.Text, unique=True),
        sa.Column("lease_until", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_owner", "runs", ["owner"])
    op.create_table(
        "events",
        sa.Column("response_id", sa.Text, sa.ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
