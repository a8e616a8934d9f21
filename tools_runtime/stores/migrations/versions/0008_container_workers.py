"""Containers say which process has their session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("containers", sa.Column("worker", sa.Text))
