"""When a process last said that it is at what came in: another one leaves that alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; what came in before is nobody's after its first moments."""
    op.add_column("inbox", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))
