"""Ingestion jobs have leases and attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("vector_store_files", sa.Column("worker", sa.Text))
    op.add_column("vector_store_files", sa.Column("lease_until", sa.Float))
    op.add_column("vector_store_files", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("vector_store_files", sa.Column("attempt_error", sa.Text))
    op.create_index("ix_vector_store_files_jobs", "vector_store_files", ["status", "vector_store_id", "key"])
