"""The tables. Change one here and write the migration beside it: a test compares the two.

``key`` is our own integer, which grows with each row and so gives the order of creation; ``id`` is what clients see.
JSON that nobody queries (response bodies, items) is kept as bytes, exactly as it was written.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    types,
)

metadata = MetaData()


class Text(TypeDecorator[str]):
    """Text without the character NUL, which PostgreSQL does not take: U+FFFD is in its place, on every database."""

    impl = types.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return value and value.replace("\0", "\ufffd")


Key = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is spelled INTEGER."""

responses = Table(
    "responses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("status", Text, nullable=False),
    Column("previous_response_id", Text, index=True),
    Column("conversation_id", Text),
    Column("body", LargeBinary, nullable=False),
    Column("events_until", BigInteger, index=True),
)
"""``events_until``: when the events of a background response that has ended are deleted, in seconds since 1970."""

runs = Table(
    "runs",
    metadata,
    Column("key", Key, primary_key=True),
    Column("response_id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False, index=True),
    Column("conversation_id", Text, unique=True),
    Column("request", LargeBinary),
    Column("begun", Boolean, nullable=False),
    Column("worker", Text),
    Column("token", Text, unique=True),
    Column("lease_until", Float),
    sqlite_autoincrement=True,
)
"""What is not to be run twice: each background response that has not ended (they have a ``request``), and each response
under way in a conversation, which so is locked. Whoever has the ``token`` runs it, until ``lease_until`` (in seconds
since 1970); without one, it waits. ``begun``: the model has been called."""

events = Table(
    "events",
    metadata,
    Column("response_id", Text, ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""The events of background responses, by ``sequence_number``."""

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("metadata", JSON, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("key", Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("response_id", Text, ForeignKey("responses.id", ondelete="CASCADE"), index=True),
    Column("conversation_id", Text, index=True),
    Column("output", Boolean, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("ix_items_id", "id"),
    sqlite_autoincrement=True,
)
"""An item that a client sends back keeps its id, so an id may stand in several rows. A row lives as long as its
response or its conversation does."""

files = Table(
    "files",
    metadata,
    Column("key", Key, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("expires_at", BigInteger, index=True),
    sqlite_autoincrement=True,
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("file_seconds", BigInteger),
)
"""``bytes`` is what the client means to send, ``file_seconds`` how long the file is to live."""

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("upload_id", Text, ForeignKey("uploads.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

vector_stores = Table(
    "vector_stores",
    metadata,
    Column("key", Key, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("last_active_at", BigInteger, nullable=False),
    Column("expires_after_days", Integer),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("metadata", JSON, nullable=False),
    sqlite_autoincrement=True,
)

file_batches = Table(
    "file_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("vector_store_id", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
)

vector_store_files = Table(
    "vector_store_files",
    metadata,
    Column("key", Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("vector_store_id", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
    Column("file_id", Text, ForeignKey("files.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("batch_id", Text, ForeignKey("file_batches.id", ondelete="SET NULL"), index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("status", Text, nullable=False, index=True),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("attributes", JSON, nullable=False),
    Column("chunk_tokens", Integer, nullable=False),
    Column("overlap_tokens", Integer, nullable=False),
    Column("usage_bytes", BigInteger, nullable=False),
    Column("embedding_model", Text),
    Column("version", BigInteger),
    Column("worker", Text),
    Column("lease_until", Float),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("attempt_error", Text),
    UniqueConstraint("vector_store_id", "file_id"),
    Index("ix_vector_store_files_jobs", "status", "vector_store_id", "key"),
    sqlite_autoincrement=True,
)
"""A row in status ``in_progress`` is the ingestion job itself: ``worker`` does it until ``lease_until`` (in seconds
since 1970); without a worker, it is not tried before. ``attempts`` counts how often it was begun, ``attempt_error`` is
why it failed last.
``version`` is a random number that each completion gives anew: what an index kept on disk knows of a file is true as
long as it knows the same one."""

chunks = Table(
    "chunks",
    metadata,
    Column("key", Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("file_key", Key, ForeignKey("vector_store_files.key", ondelete="CASCADE"), nullable=False, index=True),
    Column("page", Integer),
    Column("heading", Text),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)

vectors = Table(
    "vectors",
    metadata,
    Column("chunk_key", Key, ForeignKey("chunks.key", ondelete="CASCADE"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("file_key", Key, nullable=False),
    Column("windows", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""``data`` is a matrix of 16-bit floats, one row a window of the chunk. Apart from the chunks, so that the index can be
rebuilt without reading their texts."""

index_clock = Table("index_clock", metadata, Column("value", BigInteger, nullable=False))
"""One row: the number of the last change in ``index_changes``."""

index_changes = Table(
    "index_changes",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("file_key", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
)
"""Files of vector stores whose chunks or attributes changed, or that are gone; see ``stores/changes.py``."""

containers = Table(
    "containers",
    metadata,
    Column("key", Key, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("last_active_at", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("idle_minutes", Integer, nullable=False),
    Column("memory_limit", Text),
    Column("network_policy", JSON, nullable=False),
    Column("started", Boolean, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("worker", Text),
    sqlite_autoincrement=True,
)

container_files = Table(
    "container_files",
    metadata,
    Column("key", Key, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner", Text, nullable=False, index=True),
    Column("container_id", Text, ForeignKey("containers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("blob", Text, nullable=False, index=True),
    Column("current", Boolean, nullable=False),
    sqlite_autoincrement=True,
)
"""A file that is written again gets a new row; the old one stays, no longer ``current``, because it was cited."""

former_members = Table(
    "former_members",
    metadata,
    Column("list", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("left_at", BigInteger, nullable=False, index=True),
    Index("ix_former_members_id", "list", "id"),
)
"""Where members of lists stood that are in them no more. ``list`` names the table, and whose or what's list it was."""

container_usage = Table(
    "container_usage",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("cells", BigInteger, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
)
"""``hour`` counts from 1970."""
