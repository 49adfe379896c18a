"""What is to be posted, changed or removed once, beside a job's own messages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, select, update

from bot.job import Job
from bot.refs import JobId, ThreadRef
from bot.request import Requester
from bot.store import messages
from bot.store.portable import insert_new
from bot.store.schema import errands
from bot.store.transaction import Tx

#: A report for moderators, a copy in the gallery, a copy by direct message, a clip for moderators,
#: what only its person is told, what whoever posted its image is asked, and what its person is
#: asked then; `recall`: what was one of them goes, and with it what is known of it.
ErrandKind = Literal["report", "gallery", "letter", "review", "why", "consent", "price", "recall"]


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One message beside a job's own, in a conversation or to a person directly."""

    key: str
    job_id: JobId
    kind: ErrandKind
    to: ThreadRef | Requester
    version: int


def short(name: str) -> str:
    """A short stand-in for a name, for a key."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def begin(
    tx: Tx, key: str, job_id: JobId, kind: ErrandKind, to: ThreadRef | Requester, now: datetime
) -> bool:
    """Let something be posted; False where that was begun before."""
    where = "thread" if isinstance(to, ThreadRef) else "person"
    row = {
        "key": key,
        "job_id": job_id,
        "kind": kind,
        "to": {where: to.model_dump(mode="json")},
        "due_at": now,
        "version": 1,
    }
    return insert_new(tx, errands, row)


def explain(tx: Tx, job: Job, now: datetime) -> None:
    """Let its person be told why there is no clip, where others read along with its status."""
    if not job.request.is_private:
        begin(tx, messages.why_key(job.id), job.id, "why", job.request.requester, now)


def ask_consent(tx: Tx, job: Job, now: datetime) -> None:
    """Let whoever posted its image be asked where it was asked for."""
    assert job.plan is not None
    key = messages.consent_key(job.id, len(job.plan.granted))
    begin(tx, key, job.id, "consent", job.request.thread, now)


def ask_price(tx: Tx, job: Job, now: datetime) -> None:
    """Let its person be asked directly to confirm the price; who waited for others is away."""
    begin(tx, messages.price_key(job.id), job.id, "price", job.request.requester, now)


def renew_questions(tx: Tx, job_id: JobId, now: datetime) -> None:
    """Let what people are asked before a job is accepted say what became of it, or go."""
    renew(tx, job_id, now, kind="consent")
    renew(tx, job_id, now, kind="price")


def renew(tx: Tx, job_id: JobId, now: datetime, *, kind: ErrandKind | None = None) -> None:
    """Let what was posted of a job say what is so now, or go where there is nothing to say."""
    which = [errands.c.kind == kind] if kind else []
    tx.conn.execute(
        update(errands)
        .where(errands.c.job_id == job_id, *which)
        .values(due_at=now, version=errands.c.version + 1)
    )


def again(tx: Tx, key: str, now: datetime) -> None:
    """Let something be tried once more that was given up."""
    is_over = errands.c.due_at.is_(None)
    tx.conn.execute(
        update(errands)
        .where(errands.c.key == key, is_over)
        .values(due_at=now, version=errands.c.version + 1)
    )


def letters(conn: Connection, person: str) -> list[str]:
    """The keys of the copies that somebody was sent."""
    is_to_them = errands.c.key.endswith(f":letter:{short(person)}", autoescape=True)
    rows = conn.execute(select(errands).where(errands.c.kind == "letter", is_to_them))
    return [row.key for row in rows if Requester.model_validate(row.to["person"]).person == person]


def forget_letters(tx: Tx, person: str, now: datetime) -> None:
    """Let the copies go that somebody was sent."""
    for key in letters(tx.conn, person):
        _recall(tx, key, now)


def forget(tx: Tx, job_id: JobId, now: datetime, *, is_gone: bool) -> None:
    """Let the copies of a job go; what was reported of it says no more than is left.

    Where its place `is_gone`, nothing can be reached there.
    """
    for row in tx.conn.execute(select(errands).where(errands.c.job_id == job_id)).all():
        if is_gone and "thread" in row.to:
            tx.conn.execute(delete(errands).where(errands.c.key == row.key))
            messages.remove(tx, row.key)
        elif row.kind == "report":
            renew(tx, job_id, now, kind="report")
        else:
            _recall(tx, row.key, now)


def _recall(tx: Tx, key: str, now: datetime) -> None:
    tx.conn.execute(
        update(errands)
        .where(errands.c.key == key)
        .values(kind="recall", due_at=now, version=errands.c.version + 1)
    )


def due(conn: Connection, now: datetime) -> list[Errand]:
    """What is to be done now, the longest due first."""
    query = select(errands).where(errands.c.due_at <= now).order_by(errands.c.due_at)
    return [_to_errand(row) for row in conn.execute(query)]


def next_due(conn: Connection) -> datetime | None:
    """When the next is to be done."""
    query = select(errands.c.due_at).where(errands.c.due_at.is_not(None))
    return conn.execute(query.order_by(errands.c.due_at).limit(1)).scalar_one_or_none()


def get(conn: Connection, key: str) -> Errand | None:
    """One errand that is still to be done."""
    query = select(errands).where(errands.c.key == key, errands.c.due_at.is_not(None))
    row = conn.execute(query).one_or_none()
    return _to_errand(row) if row is not None else None


def open_of(conn: Connection, job_id: JobId, *, is_begun: bool = False) -> list[Errand]:
    """What is still to be done of a job; `is_begun`: only what was perhaps posted already."""
    query = select(errands).where(errands.c.job_id == job_id, errands.c.due_at.is_not(None))
    found = [_to_errand(row) for row in conn.execute(query)]
    return [each for each in found if not is_begun or messages.get(conn, each.key).is_begun]


def put_off(tx: Tx, errand: Errand, until: datetime | None) -> None:
    """Try again then, or not at all; not where what it says has changed since it was read."""
    is_same = errands.c.version == errand.version
    tx.conn.execute(
        update(errands).where(errands.c.key == errand.key, is_same).values(due_at=until)
    )


def finish(tx: Tx, errand: Errand) -> None:
    """It is done, unless what it says has changed since it was read: then it is due again."""
    if errand.kind == "recall":
        tx.conn.execute(delete(errands).where(errands.c.key == errand.key))
        return
    put_off(tx, errand, None)


def _to_errand(row: Row[Any]) -> Errand:
    to = row.to
    return Errand(
        key=row.key,
        job_id=JobId(row.job_id),
        kind=row.kind,
        to=ThreadRef.model_validate(to["thread"])
        if "thread" in to
        else Requester.model_validate(to["person"]),
        version=row.version,
    )
