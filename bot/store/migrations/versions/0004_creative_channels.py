"""Where clips come from, films of several shots, grants, reports, stars, errands, erasures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, empty, and the tables; what was tried again came of its first try."""
    for name in ("parent", "story", "waits_for"):
        op.add_column("jobs", sa.Column(name, sa.String(length=16), nullable=True))
    op.add_column("jobs", sa.Column("shot", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("places", sa.Column("left_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_jobs_parent"), "jobs", ["parent"])
    op.create_index(op.f("ix_jobs_story"), "jobs", ["story"])
    op.execute("UPDATE jobs SET parent = retry_of")
    op.add_column("place_rules", sa.Column("paused_message", sa.Text(), nullable=True))
    op.add_column("messages", sa.Column("posted", sa.String(length=200), nullable=True))
    op.create_index(op.f("ix_messages_posted"), "messages", ["posted"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    named = "json_extract(message, '$.message')" if is_sqlite else "message ->> 'message'"
    op.execute(f"UPDATE messages SET posted = {named}")  # noqa: S608 - one of the two above
    _make_grants()
    _make_errands()
    _make_erasures()
    _widen_indexes()
    op.create_table(
        "reports",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_reports_job_id")),
        sa.PrimaryKeyConstraint("job_id", "person", name=op.f("pk_reports")),
    )
    op.create_table(
        "stars",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_stars_job_id")),
        sa.PrimaryKeyConstraint("job_id", "person", name=op.f("pk_stars")),
    )


def _make_grants() -> None:
    op.create_table(
        "grants",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_person"), "grants", ["person"])


def _make_errands() -> None:
    op.create_table(
        "errands",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("to", sa.JSON(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_errands_job_id")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_errands")),
    )
    op.create_index(op.f("ix_errands_job_id"), "errands", ["job_id"])
    op.create_index(op.f("ix_errands_due_at"), "errands", ["due_at"])


def _make_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("is_gone", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_erasures_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_erasures")),
    )


def _widen_indexes() -> None:
    """Clips are counted, too, and what runs is found without reading what ended."""
    for column in ("person", "channel", "tenant"):
        name = op.f(f"ix_jobs_{column}_accepted_at")
        op.drop_index(name, "jobs")
        op.create_index(name, "jobs", [column, "accepted_at", "state", "cost", "story", "id"])
    is_running = sa.text("ended_at IS NULL AND accepted_at IS NOT NULL")
    op.create_index(
        op.f("ix_jobs_running"),
        "jobs",
        ["tenant", "ended_at", "accepted_at", "channel", "person"],
        sqlite_where=is_running,
        postgresql_where=is_running,
    )
