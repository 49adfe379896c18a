"""The places that are served, and what was decided for each: paused, allowed channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Row,
    String,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    select,
    update,
)

from bot.overview import Blocked
from bot.refs import JobId
from bot.request import Requester
from bot.store import settings
from bot.store.portable import insert_new, put
from bot.store.schema import blocks, jobs, place_rules, places
from bot.store.transaction import Tx

#: It asked and waits for the operator, who lets it in or turns it away. `listed`: there is
#: something of it, or it is named in the configuration, and it removed the bot.
PlaceState = Literal["asked", "approved", "closed", "listed"]
_PLACE = select(places.c.state).where(places.c.tenant == bindparam("of_tenant"))
#: What is paused under this name is paused in every place.
EVERYWHERE = "*"
PAUSE = ("paused_at", "paused_by", "paused_message")
_ASKED = select(jobs.c.id).where(jobs.c.dedupe_key == bindparam("key"))
_HERE = select(bindparam("of_tenant", type_=String).label("tenant")).subquery()
_EVERY = place_rules.alias("every")
_DECIDED = (
    place_rules.c.channels,
    *(getattr(place_rules.c, name) for name in PAUSE),
    *(getattr(_EVERY.c, name).label(f"every_{name}") for name in PAUSE),
)
#: One row, whatever there is of a place.
_WITH_RULES = _HERE.outerjoin(place_rules, place_rules.c.tenant == _HERE.c.tenant).outerjoin(
    _EVERY, _EVERY.c.tenant == literal_column(f"'{EVERYWHERE}'")
)
_RULES = select(*_DECIDED).select_from(_WITH_RULES)
#: One row, whatever there is of a place and a person.
_STANDING = select(
    places.c.state,
    *_DECIDED,
    blocks.c.at.label("blocked_at"),
    blocks.c.until,
    blocks.c.reason,
    _ASKED.scalar_subquery().label("asked"),
).select_from(
    _WITH_RULES.outerjoin(places, places.c.tenant == _HERE.c.tenant).outerjoin(
        blocks, and_(blocks.c.person == bindparam("who"), settings.IS_BLOCKED)
    )
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What those who run a place decided; `channels` maps ids to names, empty: all are allowed.

    `is_everywhere`: it is paused because everything is.
    """

    paused_at: datetime | None = None
    paused_by: str = ""
    paused_message: str = ""
    is_everywhere: bool = False
    channels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the rows say of a person in a channel of a place, read in one visit.

    `asked` is the job of their request, where it was asked for before.
    """

    state: PlaceState | None
    rules: Rules
    block: Blocked | None
    chosen: settings.Chosen
    asked: JobId | None = None


def standing(
    conn: Connection, requester: Requester, channel: str, now: datetime, *, key: str = ""
) -> Standing:
    """How a person stands who asks in this channel, in two queries: every request needs it."""
    person, tenant = requester.person, requester.tenant
    asked = {"who": person, "of_tenant": tenant, "now": now, "key": key}
    row = conn.execute(_STANDING, asked).one()
    is_blocked = row.blocked_at is not None
    return Standing(
        state=row.state,
        rules=_to_rules(row),
        block=Blocked(person=person, at=row.blocked_at, until=row.until, reason=row.reason)
        if is_blocked
        else None,
        chosen=settings.chosen_in(conn, person, tenant, channel),
        asked=JobId(row.asked) if row.asked is not None else None,
    )


def state(conn: Connection, tenant: str) -> PlaceState | None:
    """Where a place stands; None where it never asked."""
    found: PlaceState | None = conn.execute(_PLACE, {"of_tenant": tenant}).scalar_one_or_none()
    return found


def ask(tx: Tx, tenant: str, *, name: str, by: str, now: datetime) -> bool:
    """Remember that a place asked to be served; False where it is known already."""
    row = {"tenant": tenant, "state": "asked", "name": name, "at": now, "by": by}
    _unlist(tx, tenant)
    return insert_new(tx, places, row)


def decide(tx: Tx, tenant: str, state: PlaceState, *, by: str, now: datetime) -> None:
    """Let a place in, or turn it away; its name stays."""
    put(tx, places, {"tenant": tenant}, {"state": state, "at": now, "by": by}, name="")


def leave(tx: Tx, tenant: str, *, is_configured: bool, now: datetime) -> bool:
    """Remember when a place removed the bot; False where that is known, or nothing of it."""
    is_kept = exists().where(jobs.c.tenant == tenant, jobs.c.erased_at.is_(None))
    if is_configured or tx.conn.execute(select(is_kept)).scalar_one():
        row = {"tenant": tenant, "state": "listed", "name": "", "at": now, "by": ""}
        insert_new(tx, places, row)
    is_here = (places.c.tenant == tenant) & places.c.left_at.is_(None)
    return tx.conn.execute(update(places).where(is_here).values(left_at=now)).rowcount == 1


def come_back(tx: Tx, tenant: str) -> bool:
    """A place has the bot again and keeps all that is still here; False where it never left."""
    has_left = (places.c.tenant == tenant) & places.c.left_at.is_not(None)
    is_back = tx.conn.execute(update(places).where(has_left).values(left_at=None)).rowcount == 1
    _unlist(tx, tenant)
    return is_back


def come_back_used(tx: Tx) -> None:
    """Where something was asked for since, there the bot is again, whoever missed to say so."""
    is_used = exists().where(
        jobs.c.tenant == places.c.tenant, jobs.c.created_at > places.c.left_at
    )
    for tenant in tx.conn.execute(select(places.c.tenant).where(is_used)).scalars().all():
        come_back(tx, tenant)


def _unlist(tx: Tx, tenant: str) -> None:
    is_listed = places.c.state == "listed"
    tx.conn.execute(delete(places).where(places.c.tenant == tenant, is_listed))


def known(conn: Connection, adapter: str) -> set[str]:
    """The places of a platform that were let in, or of whose people something is kept."""
    is_there = places.c.tenant.startswith(f"{adapter}:", autoescape=True)
    let_in = select(places.c.tenant).where(places.c.state == "approved", is_there)
    asked = select(jobs.c.tenant).where(jobs.c.adapter == adapter, jobs.c.erased_at.is_(None))
    return {*conn.execute(let_in).scalars(), *conn.execute(asked.distinct()).scalars()}


def away(conn: Connection, *, adapter: str = "", before: datetime | None = None) -> list[str]:
    """The places that removed the bot: those of one platform, or those that did before a time."""
    is_there = places.c.tenant.startswith(f"{adapter}:", autoescape=True)
    wanted = [is_there] if adapter else []
    since = places.c.left_at.is_not(None) if before is None else places.c.left_at < before
    return list(conn.execute(select(places.c.tenant).where(since, *wanted)).scalars())


def forget(tx: Tx, tenant: str) -> None:
    """Drop what was decided for a place that left; one that was turned away stays so."""
    tx.conn.execute(delete(place_rules).where(place_rules.c.tenant == tenant))
    is_it, is_closed = places.c.tenant == tenant, places.c.state == "closed"
    tx.conn.execute(update(places).where(is_it, is_closed).values(name="", left_at=None))
    tx.conn.execute(delete(places).where(is_it, places.c.state != "closed"))


def rules(conn: Connection, tenant: str) -> Rules:
    """What was decided for a place; a pause everywhere comes before its own."""
    return _to_rules(conn.execute(_RULES, {"of_tenant": tenant}).one())


def approved(conn: Connection) -> list[str]:
    """The places that the operator let in."""
    let_in = select(places.c.tenant).where(places.c.state == "approved")
    return list(conn.execute(let_in.order_by(places.c.tenant)).scalars())


def served(conn: Connection, configured: Iterable[str]) -> dict[str, list[str]]:
    """These places and those that the operator let in, each with its allowed channels."""
    tenants = [*configured, *approved(conn)]
    return {tenant: list(rules(conn, tenant).channels) for tenant in tenants}


def _to_rules(row: Row[*tuple[Any, ...]]) -> Rules:
    prefix = "every_" if row.every_paused_at is not None else ""
    at, by, message = (getattr(row, f"{prefix}{name}") for name in PAUSE)
    return Rules(
        paused_at=at,
        paused_by=by or "",
        paused_message=message or "",
        is_everywhere=row.every_paused_at is not None,
        channels=row.channels or {},
    )


def pause(tx: Tx, tenant: str, *, at: datetime | None, by: str, message: str = "") -> None:
    """Pause a place, or `EVERYWHERE`, and say why; or let it go on where `at` is None."""
    _put(tx, tenant, {"paused_at": at, "paused_by": by, "paused_message": message})


def allow_channels(tx: Tx, tenant: str, channels: Mapping[str, str]) -> None:
    """Allow only these channels, ids with their names; all where there are none."""
    _put(tx, tenant, {"channels": dict(channels)})


def _put(tx: Tx, tenant: str, values: Mapping[str, object]) -> None:
    key = {"tenant": tenant}
    put(tx, place_rules, key, values, paused_at=None, paused_by="", channels={})
