"""Which account an attempt went to: another one cannot tell whether it was taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; of earlier attempts nobody knows."""
    op.add_column("attempts", sa.Column("account", sa.String(length=16), nullable=True))
