"""Own defaults, blocks, the audit log, and what the operator must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from bot.refs import JobId
from bot.store.database import Tx
from bot.store.schema import audit_log, blocks, boots, operator_notices, settings

_CHOSEN = select(settings.c.chosen).where(settings.c.scope == bindparam("of_scope"))
_BLOCKED = select(blocks.c.person).where(
    blocks.c.person == bindparam("who"),
    or_(blocks.c.until.is_(None), blocks.c.until > bindparam("now")),
)


def chosen(conn: Connection, scope: str) -> dict[str, str]:
    """The defaults that a person, channel or tenant chose."""
    row = conn.execute(_CHOSEN, {"of_scope": scope}).one_or_none()
    return dict(row.chosen) if row is not None else {}


def choose(tx: Tx, scope: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Change defaults; an empty value takes one back. Returns what then holds."""
    merged = {**chosen(tx.conn, scope), **changes}
    kept = {name: value for name, value in merged.items() if value}
    tx.conn.execute(
        insert(settings)
        .values(scope=scope, chosen=kept)
        .on_conflict_do_update(index_elements=["scope"], set_={"chosen": kept})
    )
    return kept


def is_blocked(conn: Connection, person: str, now: datetime) -> bool:
    """Whether a person may ask for nothing at this time."""
    return conn.execute(_BLOCKED, {"who": person, "now": now}).one_or_none() is not None


def write_audit(tx: Tx, now: datetime, *, actor: str, act: str, target: str, detail: str) -> None:
    """Remember who did what to whom."""
    tx.conn.execute(
        audit_log.insert().values(at=now, actor=actor, act=act, target=target, detail=detail)
    )


@dataclass(frozen=True, kw_only=True)
class OperatorNotice:
    """A sentence for whoever runs the bot, told once."""

    key: str
    at: datetime
    sentence: str
    job_id: JobId | None


def note_operator(
    tx: Tx, key: str, sentence: str, now: datetime, job_id: JobId | None = None
) -> None:
    """Leave a notice for the operator, once for each key."""
    tx.conn.execute(
        insert(operator_notices)
        .values(key=key, at=now, sentence=sentence, job_id=job_id)
        .on_conflict_do_nothing()
    )


def untold(conn: Connection) -> list[OperatorNotice]:
    """Notices that the operator was not told yet, oldest first."""
    rows = conn.execute(
        select(operator_notices)
        .where(operator_notices.c.told_at.is_(None))
        .order_by(operator_notices.c.at)
    )
    return [
        OperatorNotice(
            key=row.key,
            at=row.at,
            sentence=row.sentence,
            job_id=JobId(row.job_id) if row.job_id else None,
        )
        for row in rows
    ]


def tell(tx: Tx, key: str, now: datetime) -> None:
    """Remember that the operator was told."""
    tx.conn.execute(
        update(operator_notices).where(operator_notices.c.key == key).values(told_at=now)
    )


def boot(tx: Tx, now: datetime) -> bool:
    """Remember a start; returns whether the start before it was never stopped in order."""
    last = tx.conn.execute(
        select(boots.c.stopped_at).order_by(boots.c.id.desc()).limit(1)
    ).one_or_none()
    tx.conn.execute(boots.insert().values(started_at=now))
    return last is not None and last.stopped_at is None


def stop(tx: Tx, now: datetime) -> None:
    """Remember that the last start was stopped in order."""
    newest = select(boots.c.id).order_by(boots.c.id.desc()).limit(1).scalar_subquery()
    tx.conn.execute(update(boots).where(boots.c.id == newest).values(stopped_at=now))
