"""Which places want a weekly digest, which they were shown, and what is in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection, exists, func, select

from bot.job import Job, JobState
from bot.notices import Starred
from bot.refs import JobId
from bot.store import jobs as job_rows
from bot.store.database import Database
from bot.store.schema import erasures, jobs, settings, stars
from bot.store.settings import choose, chosen
from bot.store.transaction import Tx

_SCOPE = "digest:"
#: The channel that a place chose, and up to when it was shown all it wants.
_CHANNEL, _SHOWN = "channel", "shown"
MOST_STARRED = 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A digest that a place was not shown yet."""

    tenant: str
    channel: str


def want(tx: Tx, tenant: str, channel: str, now: datetime) -> None:
    """Show a digest in a channel whenever one is due from now on; in none where it is empty."""
    scope = f"{_SCOPE}{tenant}"
    known = chosen(tx.conn, scope)
    if not channel:
        choose(tx, scope, dict.fromkeys(known, ""))
        return
    choose(tx, scope, {_SHOWN: _stamp(now), **known, _CHANNEL: channel})


def channel_of(conn: Connection, tenant: str) -> str:
    """The channel that wants a place's digest; empty where none does."""
    return chosen(conn, f"{_SCOPE}{tenant}").get(_CHANNEL, "")


def due(conn: Connection, at: datetime) -> list[Wanted]:
    """The places that were not shown what was due then."""
    rows = conn.execute(
        select(settings)
        .where(settings.c.scope.startswith(_SCOPE, autoescape=True))
        .order_by(settings.c.scope)
    )
    return [
        Wanted(tenant=row.scope.removeprefix(_SCOPE), channel=row.chosen[_CHANNEL])
        for row in rows
        if _CHANNEL in row.chosen and row.chosen.get(_SHOWN, "") < _stamp(at)
    ]


def done(tx: Tx, tenant: str, at: datetime) -> None:
    """Remember that what was due then was shown; what its post needed is dropped."""
    scope = f"{_SCOPE}{tenant}"
    kept = chosen(tx.conn, scope)
    if _CHANNEL in kept:
        channel = kept.pop(_CHANNEL)
        choose(tx, scope, {**dict.fromkeys(kept, ""), _CHANNEL: channel, _SHOWN: _stamp(at)})


def _stamp(when: datetime) -> str:
    """A time as text that sorts like it."""
    return when.astimezone(UTC).isoformat(timespec="seconds")


class StoredMemo:
    """The durable dictionary of one digest's post; gone once it was shown."""

    def __init__(self, database: Database, tenant: str, key: str, kept: Mapping[str, str]) -> None:
        self._database = database
        self._scope = f"{_SCOPE}{tenant}"
        self._prefix = f"{key} "
        self._kept = dict(kept)

    def get(self, name: str) -> str | None:
        """What was kept under this name."""
        return self._kept.get(f"{self._prefix}{name}")

    async def put(self, name: str, value: str) -> None:
        """Keep it, durably, before returning."""
        change = {f"{self._prefix}{name}": value}
        self._kept |= change

        def write(tx: Tx) -> None:
            if _CHANNEL in chosen(tx.conn, self._scope):
                choose(tx, self._scope, change)

        await self._database.write(write)


async def open_memo(database: Database, tenant: str, key: str) -> StoredMemo:
    """The memo of one digest's post as it was last written."""
    kept = await database.read(lambda conn: chosen(conn, f"{_SCOPE}{tenant}"))
    return StoredMemo(database, tenant, key, kept)


def starred(
    conn: Connection, tenant: str, since: datetime, until: datetime
) -> tuple[Starred, ...]:
    """The clips of a time with most stars, of those that everybody there may see and that are.

    What is to be forgotten is left out.
    """
    is_going = exists().where(erasures.c.job_id == jobs.c.id)
    count = func.count().label("stars")
    rows = conn.execute(
        select(jobs.c.id, count)
        .join(stars, stars.c.job_id == jobs.c.id)
        .where(
            jobs.c.tenant == tenant,
            jobs.c.created_at >= since,
            jobs.c.created_at < until,
            jobs.c.state == JobState.DELIVERED.value,
            jobs.c.clip.is_not(None),
            ~is_going,
        )
        .group_by(jobs.c.id)
        .order_by(count.desc(), jobs.c.id)
    )
    found = ((row.stars, job_rows.get(conn, JobId(row.id))) for row in rows)
    public = (_to_starred(job, count) for count, job in found if _is_public(job))
    return tuple(islice(public, MOST_STARRED))


def _is_public(job: Job) -> bool:
    request = job.request
    is_for_few = request.is_private or request.is_age_restricted
    return not is_for_few and not request.requester.is_outside


def _to_starred(job: Job, count: int) -> Starred:
    own = job.request.requester
    return Starred(
        job_id=job.id, stars=count, name=own.display_name or "somebody", message=job.message
    )
