"""Chunks know the headings above them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("chunks", sa.Column("heading", sa.Text))
