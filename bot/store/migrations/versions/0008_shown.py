"""Which version of its job a message shows: who looks after others need not look at it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; what earlier messages show is looked at once more."""
    op.add_column("messages", sa.Column("shown", sa.Integer(), nullable=True))
