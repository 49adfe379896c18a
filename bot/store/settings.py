"""Own defaults, blocks, the audit log, and what the operator must be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    union_all,
    update,
)

from bot.consent import rules_key
from bot.desk_views import AuditSearch
from bot.errors import ProviderClosed, ProviderRetired
from bot.overview import AuditLine, Blocked
from bot.refs import JobId
from bot.request import Requester
from bot.store.portable import insert_new, put
from bot.store.schema import audit_log, blocks, boots, jobs, operator_notices, settings
from bot.store.transaction import Tx

_JOB = "job:"
#: So begins the scope of what one job at most has; whose it is, stands there as its `_OWNER`.
_CLAIM = "claim:"
_OWNER = "job"
AUDIT_PAGE = 20
EVERY_LINE = AuditSearch()
_CHOSEN = select(settings.c.chosen).where(settings.c.scope == bindparam("of_scope"))
_SCOPES = tuple(f"scope{at}" for at in range(6))
_CHOSEN_BOTH = union_all(
    *(select(settings).where(settings.c.scope == bindparam(each)) for each in ("one", "other"))
)
_CHOSEN_IN = select(settings).where(settings.c.scope.in_([bindparam(each) for each in _SCOPES]))
#: Whether a block still holds at `now`.
IS_BLOCKED = or_(blocks.c.until.is_(None), blocks.c.until > bindparam("now"))


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The defaults that hold for a person in a channel of a place, the strongest first.

    `rules` and `channel_rules` are what its place and channel decided, `trust` is what the person
    agreed to.
    """

    person: Mapping[str, str]
    channel: Mapping[str, str]
    place: Mapping[str, str]
    rules: Mapping[str, str] = field(default_factory=dict)
    channel_rules: Mapping[str, str] = field(default_factory=dict)
    trust: Mapping[str, str] = field(default_factory=dict)

    @property
    def merged(self) -> dict[str, str]:
        """Defaults merged; person over channel over place."""
        return {**self.place, **self.channel, **self.person}


def place_scope(tenant: str) -> str:
    """The scope of a place's defaults."""
    return f"place:{tenant}"


def channel_scope(tenant: str, channel: str) -> str:
    """The scope of a channel's defaults, unlike any person's, whose scope is their key."""
    return f"channel:{tenant}:{channel}"


def rules_scope(tenant: str, channel: str = "") -> str:
    """The scope of what those who run a place decided for it, or for one of its channels."""
    return f"rules:{tenant}:{channel}" if channel else f"rules:{tenant}"


def trust_scope(person: str) -> str:
    """The scope of what a person lets be done with their images, and which rules they accepted."""
    return f"trust:{person}"


def scopes_of(person: str) -> tuple[str, ...]:
    """The scopes of all that is kept of a person's choices."""
    return person, trust_scope(person)


def provider_scope(provider: str) -> str:
    """The scope of what was observed of a provider, and is learnt again at every start."""
    return f"provider:{provider}"


def job_scope(job_id: JobId) -> str:
    """The scope of what an adapter must not forget while it speaks of a job."""
    return f"{_JOB}{job_id}"


def adapter_scope(adapter: str, job_id: JobId | None = None) -> str:
    """The scope of what an adapter must not forget, of a job or for good."""
    return f"adapter:{adapter}" if job_id is None else job_scope(job_id)


def chosen(conn: Connection, scope: str) -> dict[str, str]:
    """The defaults that a person, channel or place chose."""
    row = conn.execute(_CHOSEN, {"of_scope": scope}).one_or_none()
    return dict(row.chosen) if row is not None else {}


def chosen_both(conn: Connection, one: str, other: str) -> tuple[dict[str, str], dict[str, str]]:
    """The defaults of two scopes, in one query."""
    rows = conn.execute(_CHOSEN_BOTH, {"one": one, "other": other})
    found = {row.scope: dict(row.chosen) for row in rows}
    return found.get(one, {}), found.get(other, {})


def chosen_in(conn: Connection, person: str, tenant: str, channel: str) -> Chosen:
    """What a person, their channel and their place chose and decided, in one query."""
    scopes = (
        *(person, channel_scope(tenant, channel), place_scope(tenant)),
        *(rules_scope(tenant), rules_scope(tenant, channel), trust_scope(person)),
    )
    rows = conn.execute(_CHOSEN_IN, dict(zip(_SCOPES, scopes, strict=True)))
    found = {row.scope: row.chosen for row in rows}
    own, there, everywhere, rules, channel_rules, trust = (found.get(e, {}) for e in scopes)
    return Chosen(
        person=own,
        channel=there,
        place=everywhere,
        rules=rules,
        channel_rules=channel_rules,
        trust=trust,
    )


def chosen_by_channel(
    conn: Connection, tenant: str, *, rules: bool = False
) -> dict[str, dict[str, str]]:
    """The defaults, or the rules, of each channel of a place that has some."""
    prefix = f"{rules_scope(tenant)}:" if rules else channel_scope(tenant, "")
    rows = conn.execute(
        select(settings).where(settings.c.scope.startswith(prefix, autoescape=True))
    )
    return {row.scope.removeprefix(prefix): dict(row.chosen) for row in rows if row.chosen}


def choose(tx: Tx, scope: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Change defaults; an empty value takes one back. Returns what then holds."""
    merged = {**chosen(tx.conn, scope), **changes}
    kept = {name: value for name, value in merged.items() if value}
    if not kept:
        tx.conn.execute(delete(settings).where(settings.c.scope == scope))
        return kept
    put(tx, settings, {"scope": scope}, {"chosen": kept})
    return kept


def claim(tx: Tx, job_id: JobId, name: str, value: str) -> bool:
    """Choose for a job what no other one claimed, under whatever name; False where one did."""
    scope = f"{_CLAIM}{value}"
    own = {_OWNER: job_id}
    is_new = insert_new(tx, settings, {"scope": scope, "chosen": own})
    if not is_new and chosen(tx.conn, scope) != own:
        return False
    choose(tx, job_scope(job_id), {name: value})
    return True


def accept_rules(tx: Tx, requester: Requester, rules: str, now: datetime) -> None:
    """Remember that somebody accepted these rules, and when."""
    choose(tx, trust_scope(requester.person), {rules_key(rules): now.isoformat()})
    person = requester.person
    write_audit(tx, now, actor=person, act="accept rules", target=person, detail="")


def forget_ended(tx: Tx, before: datetime) -> int:
    """Drop what adapters kept for jobs that ended before this time; how many rows."""
    scope = settings.c.scope
    of_job = scope.startswith(_JOB, autoescape=True), func.substr(scope, len(_JOB) + 1)
    owner = settings.c.chosen[_OWNER].as_string()
    claimed = scope.startswith(_CLAIM, autoescape=True), owner
    has_ended = [
        each & exists().where(jobs.c.id == job_id, jobs.c.ended_at < before)
        for each, job_id in (of_job, claimed)
    ]
    return tx.conn.execute(delete(settings).where(or_(*has_ended))).rowcount


def forget_job(tx: Tx, job_id: JobId) -> None:
    """Drop what adapters kept for a job, and what it claimed."""
    scope, own = settings.c.scope, job_scope(job_id)
    kept = [f"{_CLAIM}{value}" for value in chosen(tx.conn, own).values()]
    claimed = scope.in_(kept) & (settings.c.chosen[_OWNER].as_string() == job_id)
    tx.conn.execute(delete(settings).where(or_(scope == own, claimed)))


def forget_place(tx: Tx, tenant: str) -> None:
    """Drop what a place, its channels and its people chose."""
    scope, ends = settings.c.scope, (place_scope(tenant), rules_scope(tenant))
    people = (f"{tenant}:", trust_scope(f"{tenant}:"))
    inner = (channel_scope(tenant, ""), f"{rules_scope(tenant)}:", *people)
    begins = [scope.startswith(each, autoescape=True) for each in inner]
    tx.conn.execute(delete(settings).where(or_(scope.in_(ends), *begins)))


def blocked_in(
    conn: Connection, tenant: str | None, now: datetime, limit: int | None = None
) -> tuple[Blocked, ...]:
    """Who may ask for nothing in a place, or anywhere, the latest first."""
    people = blocks.c.person.startswith(f"{tenant}:", autoescape=True)
    rows = conn.execute(
        select(blocks)
        .where(IS_BLOCKED, true() if tenant is None else people)
        .order_by(blocks.c.at.desc(), blocks.c.person)
        .limit(limit),
        {"now": now},
    )
    return tuple(to_blocked(row) for row in rows)


def to_blocked(row: Row[Any]) -> Blocked:
    """A row of `blocks` as a value."""
    return Blocked(person=row.person, at=row.at, until=row.until, reason=row.reason)


def block(tx: Tx, person: str, *, until: datetime | None, reason: str, now: datetime) -> None:
    """Let a person ask for nothing from now on; a later block takes the place of an earlier."""
    put(tx, blocks, {"person": person}, {"until": until, "reason": reason, "at": now})


def unblock(tx: Tx, person: str) -> bool:
    """Let a person ask again; False where nothing kept them."""
    return tx.conn.execute(delete(blocks).where(blocks.c.person == person)).rowcount == 1


def write_audit(tx: Tx, now: datetime, *, actor: str, act: str, target: str, detail: str) -> None:
    """Remember who did what to whom."""
    tx.conn.execute(
        audit_log.insert().values(at=now, actor=actor, act=act, target=target, detail=detail)
    )


def audit(
    conn: Connection,
    tenant: str | None,
    search: AuditSearch = EVERY_LINE,
    *,
    limit: int = AUDIT_PAGE,
    skip: int = 0,
) -> tuple[AuditLine, ...]:
    """Who did what to whom, the latest first: in all, or to a place, its people and their jobs."""
    rows = conn.execute(
        select(audit_log)
        .where(*_is_there(tenant), *_is_sought(search))
        .order_by(audit_log.c.id.desc())
        .limit(limit)
        .offset(skip)
    )
    return tuple(_to_line(row) for row in rows)


def _is_there(tenant: str | None) -> Sequence[ColumnElement[bool]]:
    if tenant is None:
        return ()
    target = audit_log.c.target
    of_place = target.startswith(f"{tenant}:", autoescape=True)
    own_jobs = select(jobs.c.id).where(jobs.c.tenant == tenant)
    return (or_(target == tenant, of_place, target.in_(own_jobs)),)


def _is_sought(search: AuditSearch) -> list[ColumnElement[bool]]:
    words = (
        (audit_log.c.actor, search.actor),
        (audit_log.c.act, search.act),
        (audit_log.c.target, search.target),
    )
    return [column.icontains(said, autoescape=True) for column, said in words if said]


def last_act(conn: Connection, target: str, act: str) -> AuditLine | None:
    """The last of what was done to somebody or something whose name begins so."""
    is_it = (audit_log.c.target == target) & audit_log.c.act.startswith(act, autoescape=True)
    query = select(audit_log).where(is_it).order_by(audit_log.c.id.desc()).limit(1)
    row = conn.execute(query).one_or_none()
    return _to_line(row) if row is not None else None


def _to_line(row: Row[Any]) -> AuditLine:
    return AuditLine(at=row.at, actor=row.actor, act=row.act, target=row.target, detail=row.detail)


#: So begins the key of a notice that a video service takes nothing; the service comes next.
PROVIDER = "provider"


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
    row = {"key": key, "at": now, "sentence": sentence, "job_id": job_id}
    insert_new(tx, operator_notices, row)


def closed_key(error: ProviderClosed, now: datetime, model: str = "") -> str:
    """The operator hears once that an address, or this model, is closed, else once a day."""
    of_what = model if isinstance(error, ProviderRetired) else f"{now:%Y-%m-%d}"
    key = f"{PROVIDER}:{error.provider}:{type(error).__name__}"
    return f"{key}:{of_what}" if of_what else key


def withdraw(tx: Tx, key: str) -> bool:
    """Take a notice back that is no longer so; False where the operator has heard it."""
    is_untold = operator_notices.c.told_at.is_(None)
    wanted = delete(operator_notices).where(operator_notices.c.key == key, is_untold)
    return tx.conn.execute(wanted).rowcount > 0


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
