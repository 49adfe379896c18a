"""Where clips come from, films of several shots, grants, reports and stars."""

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
    op.create_index(op.f("ix_jobs_parent"), "jobs", ["parent"])
    op.create_index(op.f("ix_jobs_story"), "jobs", ["story"])
    op.execute("UPDATE jobs SET parent = retry_of")
    op.add_column("places", sa.Column("left_at", sa.DateTime(timezone=True), nullable=True))
    _make_grants()
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
