"""Links to the operator's desk, who is signed in there, and the indexes of what it shows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables, the indexes and the column."""
    op.add_column("grants", sa.Column("form", sa.String(length=100), nullable=True))
    op.create_index(op.f("ix_grants_form"), "grants", ["form"], unique=True)
    op.create_table(
        "desk_links",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("who", sa.JSON(), nullable=False),
        sa.Column("tenant", sa.String(length=120), nullable=False),
        sa.Column("has_desk", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_desk_links")),
    )
    op.create_table(
        "desk_sessions",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("who", sa.JSON(), nullable=False),
        sa.Column("tenant", sa.String(length=120), nullable=False),
        sa.Column("has_desk", sa.Boolean(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_desk_sessions")),
    )
    op.create_index("ix_jobs_tenant_created_at", "jobs", ["tenant", "created_at", "id"])
    op.create_index("ix_jobs_created_at", "jobs", ["created_at", "id"])
    has_ended = sa.text("ended_at IS NOT NULL")
    op.create_index(
        op.f("ix_jobs_asked"),
        "jobs",
        [
            *("created_at", "tenant", "person", "model", "state", "cost", "seconds"),
            *("accepted_at", "completed_at", "ended_at", "story", "id"),
        ],
        sqlite_where=has_ended,
        postgresql_where=has_ended,
    )
