"""A log of changes that indexes follow; the words of chunks are no longer indexed in the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    clock = op.create_table("index_clock", sa.Column("value", sa.BigInteger, nullable=False))
    op.bulk_insert(clock, [{"value": 0}])
    op.create_table(
        "index_changes",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("file_key", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_index_changes_created_at", "index_changes", ["created_at"])
    op.add_column("vector_store_files", sa.Column("version", sa.BigInteger))
    op.execute("UPDATE vector_store_files SET version = key WHERE status = 'completed'")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER chunk_words_insert")
        op.execute("DROP TRIGGER chunk_words_delete")
        op.execute("DROP TABLE chunk_words")
