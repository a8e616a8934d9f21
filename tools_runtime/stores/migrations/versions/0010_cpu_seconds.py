"""What containers used of the processor is counted, in place of how long their cells ran."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    # Alembic's own way copies the whole table on SQLite.
    op.execute("ALTER TABLE container_usage RENAME COLUMN seconds TO cpu_seconds")
