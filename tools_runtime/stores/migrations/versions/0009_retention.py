"""Old responses that no other continues are found by indexes."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index("ix_responses_created_at", "responses", ["created_at"])
    op.create_index("ix_responses_previous_response_id", "responses", ["previous_response_id"])
