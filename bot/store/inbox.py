"""What chat platforms delivered: a row for each event, known by its key for some time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

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
    #: When a process last had it in hand, as far as it said so.
    held_at: datetime


def note(tx: Tx, adapter: str, key: str, payload: Mapping[str, object], now: datetime) -> bool:
    """Write down what came in; False where its key is known."""
    row = {"adapter": adapter, "key": key, "payload": dict(payload), "received_at": now}
    return insert_new(tx, inbox, row)


def hold(tx: Tx, adapter: str, keys: Collection[str], now: datetime) -> None:
    """Say of each that somebody is at it now."""
    tx.conn.execute(
        update(inbox)
        .where(inbox.c.adapter == adapter, inbox.c.key.in_(keys), inbox.c.done_at.is_(None))
        .values(held_at=now)
    )


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
            held_at=row.held_at or row.received_at,
        )
        for row in rows
    )


def forget(tx: Tx, *, done: datetime, undone: datetime) -> int:
    """Drop what was dealt with before `done`, and what came in before `undone` and was not."""
    is_old = and_(inbox.c.done_at.is_(None), inbox.c.received_at < undone)
    return tx.conn.execute(delete(inbox).where(or_(inbox.c.done_at < done, is_old))).rowcount
