"""Who starred which clip."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from bot.refs import JobId
from bot.store.portable import insert_new
from bot.store.schema import stars
from bot.store.transaction import Tx


def put(tx: Tx, job_id: JobId, person: str, now: datetime) -> None:
    """Remember a star, once for each person."""
    insert_new(tx, stars, {"job_id": job_id, "person": person, "at": now})


def take(tx: Tx, job_id: JobId, person: str) -> None:
    """Forget a star."""
    tx.conn.execute(delete(stars).where(stars.c.job_id == job_id, stars.c.person == person))


def by(conn: Connection, person: str) -> int:
    """How many clips a person starred."""
    query = select(func.count()).select_from(stars).where(stars.c.person == person)
    return int(conn.execute(query).scalar_one())


def forget(tx: Tx, person: str) -> None:
    """Forget all stars of a person."""
    tx.conn.execute(delete(stars).where(stars.c.person == person))


def count(conn: Connection, job_id: JobId) -> int:
    """How many people starred a clip."""
    query = select(func.count()).select_from(stars).where(stars.c.job_id == job_id)
    return int(conn.execute(query).scalar_one())
