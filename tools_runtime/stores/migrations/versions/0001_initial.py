"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("previous_response_id", sa.Text),
        sa.Column("conversation_id", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text, sa.ForeignKey("responses.id", ondelete="CASCADE")),
        sa.Column("conversation_id", sa.Text),
        sa.Column("output", sa.Boolean, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "files",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "vector_stores",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_active_at", sa.BigInteger, nullable=False),
        sa.Column("expires_after_days", sa.Integer),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("metadata", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "file_batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("vector_store_id", sa.Text, sa.ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "vector_store_files",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("vector_store_id", sa.Text, sa.ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
        sa.Column("file_id", sa.Text, sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
        sa.Column("batch_id", sa.Text, sa.ForeignKey("file_batches.id", ondelete="SET NULL")),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("chunk_tokens", sa.Integer, nullable=False),
        sa.Column("overlap_tokens", sa.Integer, nullable=False),
        sa.Column("usage_bytes", sa.BigInteger, nullable=False),
        sa.Column("embedding_model", sa.Text),
        sa.UniqueConstraint("vector_store_id", "file_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunks",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("file_key", KEY, sa.ForeignKey("vector_store_files.key", ondelete="CASCADE"), nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "vectors",
        sa.Column("chunk_key", KEY, sa.ForeignKey("chunks.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("file_key", KEY, nullable=False),
        sa.Column("windows", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_items_response_id", "items", ["response_id"])
    op.create_index("ix_items_conversation_id", "items", ["conversation_id"])
    op.create_index("ix_items_id", "items", ["id"])
    op.create_index("ix_files_owner", "files", ["owner"])
    op.create_index("ix_vector_stores_owner", "vector_stores", ["owner"])
    op.create_index("ix_file_batches_vector_store_id", "file_batches", ["vector_store_id"])
    op.create_index("ix_vector_store_files_file_id", "vector_store_files", ["file_id"])
    op.create_index("ix_vector_store_files_batch_id", "vector_store_files", ["batch_id"])
    op.create_index("ix_vector_store_files_status", "vector_store_files", ["status"])
    op.create_index("ix_chunks_file_key", "chunks", ["file_key"])
