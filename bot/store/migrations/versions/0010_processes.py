"""Which process has what came in, and prepares a request: others go on once that one is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Name the process instead of the time at which it last spoke; earlier rows name none."""
    op.add_column("inbox", sa.Column("held_by", sa.String(40), nullable=True))
    op.drop_column("inbox", "held_at")
    op.add_column("jobs", sa.Column("prepared_by", sa.String(40), nullable=True))
