"""One-time links to the desk, and who is signed in there; of keys, only their hashes are known."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bot.overview import Sitting
from bot.request import Requester
from bot.store.schema import desk_links, desk_sessions
from bot.store.transaction import Tx


def add_link(tx: Tx, hashed: str, sitting: Sitting) -> None:
    """Let this link open until its time; what has ended is forgotten."""
    sweep(tx, sitting.checked_at)
    values = _to_row(sitting)
    values["made_at"] = values.pop("checked_at")
    tx.conn.execute(insert(desk_links).values(hash=hashed, **values))


def sweep(tx: Tx, now: datetime) -> None:
    """Forget what has ended."""
    for each in (desk_links, desk_sessions):
        tx.conn.execute(delete(each).where(each.c.ends_at <= now))


def end_all(tx: Tx) -> None:
    """End all sessions, and let no link open."""
    for each in (desk_links, desk_sessions):
        tx.conn.execute(delete(each))


def has_link(conn: Connection, hashed: str, now: datetime) -> bool:
    """Whether this link opens still."""
    found = select(desk_links.c.hash).where(
        desk_links.c.hash == hashed, desk_links.c.ends_at > now
    )
    return conn.execute(found).first() is not None


def spend_link(tx: Tx, hashed: str, now: datetime) -> Sitting | None:
    """What this link opens; from now on it opens nothing."""
    taken = delete(desk_links).where(desk_links.c.hash == hashed).returning(*desk_links.c)
    found = tx.conn.execute(taken).first()
    if found is None or found.ends_at <= now:
        return None
    return _to_sitting(found, checked_at=found.made_at)


def sit_down(tx: Tx, hashed: str, sitting: Sitting) -> None:
    """Begin a session."""
    tx.conn.execute(insert(desk_sessions).values(hash=hashed, **_to_row(sitting)))


def find(conn: Connection, hashed: str, now: datetime) -> Sitting | None:
    """Whose session this is; None where it has ended."""
    found = conn.execute(
        select(desk_sessions).where(desk_sessions.c.hash == hashed, desk_sessions.c.ends_at > now)
    ).first()
    if found is None:
        return None
    return _to_sitting(found, checked_at=found.checked_at)


def check(tx: Tx, hashed: str, now: datetime) -> None:
    """Their rights were checked now."""
    tx.conn.execute(
        update(desk_sessions).where(desk_sessions.c.hash == hashed).values(checked_at=now)
    )


def get_up(tx: Tx, hashed: str) -> None:
    """End a session; fine if it has ended."""
    tx.conn.execute(delete(desk_sessions).where(desk_sessions.c.hash == hashed))


def forget(tx: Tx, person: str) -> None:
    """End all sessions and links of somebody."""
    for table in (desk_links, desk_sessions):
        rows = tx.conn.execute(select(table.c.hash, table.c.who))
        theirs = [
            each.hash for each in rows if Requester.model_validate(each.who).person == person
        ]
        tx.conn.execute(delete(table).where(table.c.hash.in_(theirs)))


def _to_sitting(row: Any, *, checked_at: datetime) -> Sitting:
    return Sitting(
        who=Requester.model_validate(row.who),
        tenant=row.tenant,
        has_desk=row.has_desk,
        ends_at=row.ends_at,
        checked_at=checked_at,
    )


def _to_row(sitting: Sitting) -> dict[str, object]:
    return {
        "who": sitting.who.model_dump(mode="json"),
        "tenant": sitting.tenant,
        "has_desk": sitting.has_desk,
        "ends_at": sitting.ends_at,
        "checked_at": sitting.checked_at,
    }
