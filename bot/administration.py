"""What those who run a place read and decide. Who they are is the adapter's to know."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from bot import quota
from bot.access import Access
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed
from bot.house import House, Resolution
from bot.notices import Notice
from bot.overview import PlaceLimits, PlaceRules, UsageRow
from bot.planning import Planner
from bot.policy import PATTERNS, WORDS, decided
from bot.refs import JobId
from bot.request import Requester
from bot.rulings import Rulings
from bot.store import ledger, places, reports, settings
from bot.store.database import Database, Tx
from bot.words import clean

NAME_CHARS = 80
REASON_CHARS = 300
MAX_CHANNELS = 200
#: A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@")
CSV_HEAD = (
    *("day", "person", "name", "model", "asked", "delivered", "refused", "failed"),
    *("seconds", "charged_usd"),
)
_TENANT = re.compile(r"[a-z_]+:[\w.-]{1,100}")


class Administration(Rulings):
    """Usage, limits and rules of a place, and acts on it, each in the audit log.

    The adapter has checked that `actor` has the platform's right; here an act on a place must come
    from that place, or from an operator, and `check` says the same before something is read.
    Raises `NotAllowed`, and `InvalidRequest` for bad values.
    """

    def __init__(
        self, *, database: Database, planner: Planner, clock: Clock, house: House, access: Access
    ) -> None:
        super().__init__(database=database, clock=clock, house=house, access=access)
        self._planner = planner

    # ---- what they read ------------------------------------------------------------------

    async def usage(self, tenant: str, since: datetime, until: datetime) -> tuple[UsageRow, ...]:
        """A row for each person who asked, by name, the most expensive first."""
        rows, names = await self._database.read(
            lambda conn: (
                reports.usage(conn, since, until, by="person", timezone=self._zone, tenant=tenant),
                reports.names(conn, since, until, tenant=tenant),
            )
        )
        labels = _labels(names)
        named = [replace(row, label=labels[row.label]) for row in rows]
        return tuple(sorted(named, key=lambda row: (-row.charged, -row.asked, row.label)))

    async def usage_by_model(
        self, tenant: str, since: datetime, until: datetime
    ) -> tuple[UsageRow, ...]:
        """A row for each model that was asked for."""
        rows = await self._database.read(
            lambda conn: reports.usage(
                conn, since, until, by="model", timezone=self._zone, tenant=tenant
            )
        )
        return tuple(rows)

    async def usage_csv(self, tenant: str, since: datetime, until: datetime) -> str:
        """A line for each person, model and day (in the limits' time zone), with exact dollars."""
        rows, names = await self._database.read(
            lambda conn: (
                reports.details(conn, since, until, tenant=tenant, timezone=self._zone),
                reports.names(conn, since, until, tenant=tenant),
            )
        )
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_HEAD)
        for day, model, used in rows:
            who = (used.label, _cell(names[used.label]))
            counts = (used.asked, used.delivered, used.refused, used.failed)
            measures = (f"{used.seconds:.3f}", f"{used.charged / 1_000_000:.6f}")
            writer.writerow((day, *who, _cell(model), *counts, *measures))
        return file.getvalue()

    async def limits(self, tenant: str) -> PlaceLimits:
        """The limits in force, and what was used of those that a place or everybody shares."""
        limits, now = self._house.limits, self._clock.now()
        span = quota.windows(now, limits.timezone)
        counted, asked = await self._database.read(
            lambda conn: (
                ledger.used_by(conn, "", "", tenant, limits, now),
                reports.usage(
                    conn,
                    span.month_start,
                    span.month_end,
                    by="tenant",
                    timezone=limits.timezone,
                    tenant=tenant,
                ),
            )
        )
        return PlaceLimits(
            limits=limits,
            place_used=counted.tenant_month,
            total_used=counted.total_month,
            month=replace(reports.total(asked), label="this month"),
            month_ends=span.month_end,
        )

    async def rules(self, tenant: str) -> PlaceRules:
        """What was decided for a place: pause, channels, defaults, blocked people."""
        now = self._clock.now()
        state, rules, defaults, by_channel, blocked, own, theirs = await self._database.read(
            lambda conn: (
                places.state(conn, tenant),
                places.rules(conn, tenant),
                settings.chosen(conn, settings.place_scope(tenant)),
                settings.chosen_by_channel(conn, tenant),
                settings.blocked_in(conn, tenant, now),
                settings.chosen(conn, settings.rules_scope(tenant)),
                settings.chosen_by_channel(conn, tenant, rules=True),
            )
        )
        return PlaceRules(
            tenant=tenant,
            is_served=self._access.is_served(tenant, state),
            paused_at=rules.paused_at,
            channels=rules.channels,
            defaults=defaults,
            channel_defaults=by_channel,
            blocked=blocked,
            policy=decided(own),
            channel_policies={each: made for each, t in theirs.items() if (made := decided(t))},
            words=len(own.get(WORDS, "").splitlines()),
            patterns=len(own.get(PATTERNS, "").splitlines()),
        )

    @property
    def _zone(self) -> str:
        return self._house.limits.timezone

    # ---- what they decide ----------------------------------------------------------------

    async def pause(self, tenant: str, *, actor: Requester) -> None:
        """Let nothing new be started in a place; what is under way goes on."""

        def change(tx: Tx, now: datetime) -> None:
            paused_at = places.rules(tx.conn, tenant).paused_at
            places.pause(tx, tenant, at=paused_at or now, by=actor.person)

        await self._act(tenant, actor, "pause", change)

    async def resume(self, tenant: str, *, actor: Requester) -> None:
        """Let a place go on."""
        await self._act(
            tenant,
            actor,
            "resume",
            lambda tx, _: places.pause(tx, tenant, at=None, by=actor.person),
        )

    async def block(
        self,
        tenant: str,
        user: str,
        *,
        actor: Requester,
        until: datetime | None = None,
        reason: str = "",
    ) -> None:
        """Let somebody ask for nothing more, for good or until a time; jobs under way go on."""
        person = _person(tenant, user)
        why = clean(reason, limit=REASON_CHARS)
        if until is not None and until <= self._clock.now():
            raise InvalidRequest("Choose a time that is still to come.", field="until")
        await self._act(
            tenant,
            actor,
            "block",
            lambda tx, now: settings.block(tx, person, until=until, reason=why, now=now),
            target=person,
            detail=" ".join(part for part in (f"until {until}" if until else "", why) if part),
        )

    async def unblock(self, tenant: str, user: str, *, actor: Requester) -> None:
        """Let somebody ask again."""
        person = _person(tenant, user)

        def change(tx: Tx, _: datetime) -> None:
            if not settings.unblock(tx, person):
                raise InvalidRequest("They are not blocked.", field="user")

        await self._act(tenant, actor, "unblock", change, target=person)

    async def set_channels(
        self, tenant: str, channels: Mapping[str, str], *, actor: Requester
    ) -> None:
        """Allow only these channels, ids with the names people know; with none, every channel."""
        if len(channels) > MAX_CHANNELS:
            raise InvalidRequest(f"At most {MAX_CHANNELS} channels can be named.")
        named = {each: clean(name, limit=NAME_CHARS) for each, name in channels.items()}
        await self._act(
            tenant,
            actor,
            "channels",
            lambda tx, _: places.allow_channels(tx, tenant, named),
            detail=", ".join(named) or "all",
        )

    async def set_defaults(
        self, tenant: str, changes: Mapping[str, str], *, actor: Requester, channel: str = ""
    ) -> Mapping[str, str]:
        """Change the defaults of a place, or of one channel; returns what then holds there.

        An empty value takes one back.
        """
        scope = (
            settings.channel_scope(tenant, channel) if channel else settings.place_scope(tenant)
        )
        known = await self._database.read(lambda conn: settings.chosen(conn, scope))
        self._planner.check_chosen({**known, **changes})
        await self._act(
            tenant,
            actor,
            "defaults",
            lambda tx, _: settings.choose(tx, scope, changes),
            target=f"{tenant}:{channel}" if channel else tenant,
            detail=", ".join(f"{name}={value}" for name, value in changes.items()),
        )
        return await self._database.read(lambda conn: settings.chosen(conn, scope))

    # ---- what operators decide -----------------------------------------------------------

    async def approve(self, tenant: str, *, actor: Requester) -> None:
        """Serve a place from now on."""
        await self._decide(tenant, "approved", actor, "approve")

    async def close(self, tenant: str, *, actor: Requester) -> None:
        """Serve a place no more, or never; jobs under way go on."""
        if self._access.is_configured(tenant):
            raise InvalidRequest("This place is named in [access]. Take it out there.")
        await self._decide(tenant, "closed", actor, "close")

    async def resolve(self, job_id: JobId, how: Resolution, *, actor: Requester) -> Notice:
        """End a job that nobody can tell about: charge for it, or give its hold back."""
        self._check_operator(actor)
        job = await self._house.resolve(job_id, how, generation_id=None, actor=actor.person)
        return await self._house.to_notice(job)

    def _check_operator(self, actor: Requester) -> None:
        if not self.is_operator(actor):
            raise NotAllowed("Only the operator of this bot can do that.")

    async def _decide(
        self, tenant: str, state: places.PlaceState, actor: Requester, act: str
    ) -> None:
        self._check_operator(actor)
        if not _TENANT.fullmatch(tenant):
            raise InvalidRequest("A place is named like discord:123.", field="tenant")
        await self._act(
            tenant,
            actor,
            act,
            lambda tx, now: places.decide(tx, tenant, state, by=actor.person, now=now),
        )


def _person(tenant: str, user: str) -> str:
    if not user or ":" in user:
        raise InvalidRequest("Say whom.", field="user")
    return f"{tenant}:{user}"


def _labels(names: Mapping[str, str]) -> dict[str, str]:
    """What each person is called here; ids tell those apart who share a name or have none."""
    shown = {person: clean(name, limit=NAME_CHARS) for person, name in names.items()}
    often = Counter(shown.values())
    labels = {}
    for person, name in shown.items():
        user = person.rpartition(":")[2]
        is_clear = name and often[name] == 1
        labels[person] = name if is_clear else f"{name} ({user})" if name else user
    return labels


def _cell(text: str) -> str:
    text = clean(text, limit=NAME_CHARS)
    return f"'{text}" if text.startswith(FORMULA) else text
