"""What the figures page shows of the rows: jobs by state, money held and charged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from bot.job import OPEN
from bot.refs import Micros
from bot.store.schema import jobs


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One look at all jobs. `charged` is by provider and model."""

    by_state: dict[str, int]
    parked: int
    oldest_open: datetime | None
    held: Micros
    charged: dict[tuple[str, str], Micros]


def read(conn: Connection) -> Figures:
    """Count everything once; a few milliseconds at ten thousand jobs."""
    states = conn.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    is_open = jobs.c.state.in_(OPEN)
    parked = select(func.count()).select_from(jobs).where(jobs.c.parked_at.is_not(None))
    held = select(func.coalesce(func.sum(jobs.c.cost), 0)).where(is_open)
    charged = conn.execute(
        select(jobs.c.provider, jobs.c.model, func.sum(jobs.c.cost))
        .where(jobs.c.state.not_in(OPEN), jobs.c.provider.is_not(None))
        .group_by(jobs.c.provider, jobs.c.model)
    )
    oldest = select(jobs.c.created_at).where(is_open).order_by(jobs.c.created_at).limit(1)
    return Figures(
        by_state={row[0]: row[1] for row in states},
        parked=conn.execute(parked).scalar_one(),
        oldest_open=conn.execute(oldest).scalar_one_or_none(),
        held=Micros(conn.execute(held).scalar_one()),
        charged={(row[0], row[1]): Micros(row[2]) for row in charged},
    )
