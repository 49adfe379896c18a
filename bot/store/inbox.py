"""What chat platforms delivered: a row for each event, known by its key for some time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from bot.store.portable import insert_new
from bot.store.schema import inbox
from bot.store.transaction import Tx

_DONE = (
    update(inbox)
    .where(inbox.c.adapter == bindparam("of_adapter"), inbox.c.key == bindparam("of_key"))
    .values(payload={}, done_at=bindparam("now"))
)


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Something that a platform delivered and that is not dealt with yet."""

    key: str
    payload: Mapping[str, object]
    received_at: datetime
    #: The process that has it in hand, or had; none where an earlier version kept it.
    held_by: str


def note(
    tx: Tx, adapter: str, key: str, payload: Mapping[str, object], now: datetime, *, by: str
) -> bool:
    """Write down what came in, and which process has it; False where its key is known."""
    row = {"adapter": adapter, "key": key, "payload": dict(payload), "received_at": now}
    return insert_new(tx, inbox, {**row, "held_by": by})


def take(tx: Tx, adapter: str, left: Collection[Noted], *, by: str) -> tuple[Noted, ...]:
    """Give these to a process; those that are still in the same hands are its own now."""
    return tuple(each for each in left if _is_taken(tx, adapter, each, by))


def _is_taken(tx: Tx, adapter: str, left: Noted, by: str) -> bool:
    taken = tx.conn.execute(
        update(inbox)
        .where(
            inbox.c.adapter == adapter,
            inbox.c.key == left.key,
            inbox.c.done_at.is_(None),
            func.coalesce(inbox.c.held_by, "") == left.held_by,
        )
        .values(held_by=by)
    )
    return bool(taken.rowcount)


def done(tx: Tx, adapter: str, key: str, now: datetime) -> None:
    """Empty what was dealt with, for it holds people's words; its key stays known."""
    tx.conn.execute(_DONE, {"of_adapter": adapter, "of_key": key, "now": now})


def undone(conn: Connection, adapter: str) -> tuple[Noted, ...]:
    """What is still to be dealt with, oldest first."""
    rows = conn.execute(
        select(inbox)
        .where(inbox.c.adapter == adapter, inbox.c.done_at.is_(None))
        .order_by(inbox.c.received_at, inbox.c.key)
    )
    return tuple(
        Noted(
            key=row.key,
            payload=row.payload,
            received_at=row.received_at,
            held_by=row.held_by or "",
        )
        for row in rows
    )


def forget(tx: Tx, *, done: datetime, undone: datetime) -> int:
    """Drop what was dealt with before `done`, and what came in before `undone` and was not."""
    is_old = and_(inbox.c.done_at.is_(None), inbox.c.received_at < undone)
    return tx.conn.execute(delete(inbox).where(or_(inbox.c.done_at < done, is_old))).rowcount
