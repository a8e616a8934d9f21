"""The keyword index: SQLite's FTS5 over the chunks' texts, which triggers keep in step with them; 0006 drops it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    # The text stays in chunks; the index holds only what finding takes.
    op.execute(
        "CREATE VIRTUAL TABLE chunk_words USING fts5("
        "text, content='chunks', content_rowid='key', tokenize='porter unicode61')"
    )
    op.execute(
        "CREATE TRIGGER chunk_words_insert AFTER INSERT ON chunks BEGIN "
        "INSERT INTO chunk_words (rowid, text) VALUES (new.key, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER chunk_words_delete AFTER DELETE ON chunks BEGIN "
        "INSERT INTO chunk_words (chunk_words, rowid, text) VALUES ('delete', old.key, old.text); END"
    )
    op.execute("INSERT INTO chunk_words (chunk_words) VALUES ('rebuild')")
