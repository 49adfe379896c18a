"""Indexes for what is looked up while others write: owners of generations, words to forget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index(
        "ix_attempts_provider_sent_at", "attempts", ["provider", "sent_at", "generation_id"]
    )
    has_words = sa.text("ended_at IS NOT NULL AND prompt != ''")
    op.create_index(
        "ix_jobs_words",
        "jobs",
        ["ended_at"],
        sqlite_where=has_words,
        postgresql_where=has_words,
    )
