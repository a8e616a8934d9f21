"""A list goes on behind a member that is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "former_members",
        sa.Column("list", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("left_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_former_members_id", "former_members", ["list", "id"])
    op.create_index("ix_former_members_left_at", "former_members", ["left_at"])
