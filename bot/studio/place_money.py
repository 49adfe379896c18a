"""What those who run a place read of its money, and how they set its limits and grant more."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bot import choice, quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import InvalidRequest
from bot.limits import MOST_DOLLARS, settable, to_settings
from bot.notices import Notice
from bot.overview import Document, Grant, PlaceLimit, PlaceLimits, PlaceUsage, UsageRow
from bot.refs import JobId, money
from bot.request import Requester
from bot.routing.planning import Planner
from bot.store import allowances, digests, reports, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.studio.rights import Rights, to_person
from bot.tables import micros
from bot.words import NAME_CHARS, cell, charge_words, labels, moment

#: A spreadsheet takes a cell that begins so for a formula.
MEASURES = ("asked", "delivered", "refused", "failed", "seconds", "charged_usd")
CSV_HEAD = ("day", "person", "name", "model", *MEASURES)


class Treasury:
    """Usage, limits and grants of a place.

    Raises `NotAllowed` as `Rights` does, and `InvalidRequest` for bad values.
    """

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clock: Clock,
        context: BotContext,
        access: Access,
        rights: Rights,
        cancel: Callable[[JobId, Requester], Awaitable[Notice]],
    ) -> None:
        self._database = database
        self._planner = planner
        self._clock = clock
        self._context = context
        self._access = access
        self._rights = rights
        self._cancel = cancel

    def check(self, tenant: str, *, actor: Requester) -> None:
        """Raise unless somebody may read and decide for this place, if the platform lets them."""
        self._rights.check(tenant, actor=actor)

    def is_operator(self, actor: Requester) -> bool:
        """Whether somebody may act for every place."""
        return self._rights.is_operator(actor)

    # ---- what they read ------------------------------------------------------------------

    async def usage(self, tenant: str, since: datetime, until: datetime) -> tuple[UsageRow, ...]:
        """A row for each person who asked, by name, the most expensive first."""
        # There may be thousands, and the loop has others to serve.
        return await self._database.read(
            lambda conn: _named(
                reports.usage(conn, since, until, by="person", timezone=self._zone, tenant=tenant),
                reports.names(conn, since, until, tenant=tenant),
            )
        )

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

    async def usage_by_day(
        self, tenant: str, since: datetime, until: datetime
    ) -> tuple[UsageRow, ...]:
        """A row for each day (in the limits' time zone), also where nothing was asked."""
        rows = await self._database.read(
            lambda conn: reports.by_day(conn, since, until, timezone=self._zone, tenant=tenant)
        )
        return tuple(rows)

    def last_days(self, days: int) -> tuple[datetime, datetime]:
        """The midnight with which so many days begin, of which today is the last, and now."""
        until = self._clock.now()
        return quota.days_before(until, self._zone, days), until

    async def usage_of_days(self, tenant: str, days: int) -> PlaceUsage:
        """All that a place used on so many days up to now, with files and a picture."""
        since, until = self.last_days(days)
        by_day = await self.usage_by_day(tenant, since, until)
        details = await self.usage_csv(tenant, since, until)
        drawn = await self._context.chart(by_day)
        name = f"{by_day[0].label}-{by_day[-1].label}"
        alt = f"Chart of usage by day. {charge_words(reports.total(by_day).charged)}"
        return PlaceUsage(
            since=since,
            until=until,
            people=await self.usage(tenant, since, until),
            models=await self.usage_by_model(tenant, since, until),
            days=by_day,
            tables=(
                Document(name=f"raybot-usage-{name}.csv", content=details.encode()),
                Document(name=f"raybot-days-{name}.csv", content=_days_csv(by_day).encode()),
            ),
            chart=Document(name=f"raybot-chart-{name}.png", content=drawn, alt=alt)
            if drawn
            else None,
        )

    async def usage_csv(self, tenant: str, since: datetime, until: datetime) -> str:
        """A line for each person, model and day (in the limits' time zone), with exact dollars."""
        return await self._database.read(
            lambda conn: _usage_csv(
                reports.details(conn, since, until, tenant=tenant, timezone=self._zone),
                reports.names(conn, since, until, tenant=tenant),
            )
        )

    async def limits(self, tenant: str) -> PlaceLimits:
        """The limits in force in a place, what was set there, and what is used of those it shares.

        What holds for a role or in one channel is in `rules`.
        """
        house, now = self._context.limits, self._clock.now()
        adapter, _, workspace = tenant.partition(":")
        anybody = Requester(adapter=adapter, workspace=workspace, user="")
        span = quota.windows(now, house.timezone)
        limits, rules, asked = await self._database.read(
            lambda conn: (
                allowances.of_people(conn, anybody, "", house),
                allowances.rules_in(conn, tenant),
                reports.usage(
                    conn,
                    span.month_start,
                    span.month_end,
                    by="tenant",
                    timezone=house.timezone,
                    tenant=tenant,
                ),
            )
        )
        counted = await self._database.read(
            lambda conn: allowances.used(conn, anybody, "", limits, now)
        )
        return PlaceLimits(
            limits=limits,
            used=allowances.only(counted, "tenant", "total"),
            rules=rules,
            month=replace(reports.total(asked), label="this month"),
            month_ends=span.month_end,
        )

    @property
    def _zone(self) -> str:
        return self._context.limits.timezone

    # ---- what they decide ----------------------------------------------------------------

    def settable(self, *, channel: str = "", role: str = "") -> tuple[str, ...]:
        """The names of what `set_limits` takes for a place, for one channel of it, or a role."""
        return settable(channel=channel, role=role)

    async def set_limits(
        self,
        tenant: str,
        changes: Mapping[str, str],
        *,
        actor: Requester,
        channel: str = "",
        role: str = "",
    ) -> tuple[PlaceLimit, ...]:
        """Change limits of a place, of one channel or of a role, or of a role in one channel.

        An empty value takes one back. Returns all that is set in the place. What the operator set
        for channels, for the place, for guests or for everybody can only be lowered.
        """
        scope = settings.rules_scope(tenant, channel)
        models = [each.model for each in choice.offered(self._planner.providers)]
        written = to_settings(
            changes, self._context.limits, channel=channel, role=role, models=models
        )
        where = ":".join(part for part in (tenant, channel) if part)
        await self._rights.act(
            tenant,
            actor,
            "limits",
            lambda tx, _: settings.choose(tx, scope, written),
            target=where,
            detail=_changes(written, role),
        )
        return await self._database.read(lambda conn: allowances.rules_in(conn, tenant))

    async def grant(
        self,
        tenant: str,
        user: str,
        dollars: float,
        *,
        actor: Requester,
        until: datetime | None = None,
        form: str | None = None,
    ) -> Grant:
        """Let somebody spend so much more than their own limits, once, until the month ends.

        Budgets of channels, of the place and of everybody hold as before. It cannot be taken back.
        Raises `InvalidRequest` of `form` where the one that asks for it was sent before.
        """
        person, now = to_person(tenant, user), self._clock.now()
        if not 0 < dollars <= MOST_DOLLARS or not micros(dollars):
            raise InvalidRequest("Grant some dollars, such as 5 or 2.50.", field="dollars")
        end = until or quota.windows(now, self._zone).month_end
        if end <= now:
            raise InvalidRequest("Choose a time that is still to come.", field="until")
        given = Grant(micros=micros(dollars), at=now, until=end)

        def change(tx: Tx, _: datetime) -> None:
            if not allowances.grant(tx, person, given, by=actor.person, form=form):
                raise InvalidRequest(
                    "This was granted already. Load the page again.", field="form"
                )

        detail = f"{money(given.micros)} until {moment(end)}"
        await self._rights.act(tenant, actor, "grant", change, target=person, detail=detail)
        return given

    async def set_digest(self, tenant: str, channel: str, *, actor: Requester) -> None:
        """Show a digest of the week in this channel every Monday; in none where it is empty."""
        await self._rights.act(
            tenant,
            actor,
            "digest",
            lambda tx, now: digests.want(tx, tenant, channel, now),
            target=f"{tenant}:{channel}" if channel else tenant,
            detail="on" if channel else "off",
        )


def _changes(written: Mapping[str, str], role: str) -> str:
    """What was set, as it is said in chat: what a value is written down under is not."""
    said = (f"{key.rpartition('.')[2]} {value or 'taken back'}" for key, value in written.items())
    return ", ".join(said) + (f" for role {role}" if role else "")


def _named(rows: Sequence[UsageRow], names: Mapping[str, str]) -> tuple[UsageRow, ...]:
    called = labels(names)
    named = [replace(row, label=called[row.label]) for row in rows]
    return tuple(sorted(named, key=lambda row: (-row.charged, -row.asked, row.label)))


def _usage_csv(rows: Iterable[tuple[str, str, UsageRow]], names: Mapping[str, str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for day, model, used in rows:
        who = (used.label, cell(names[used.label], limit=NAME_CHARS))
        writer.writerow((day, *who, cell(model, limit=NAME_CHARS), *_measures(used)))
    return file.getvalue()


def _days_csv(days: Sequence[UsageRow]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("day", *MEASURES))
    writer.writerows((each.label, *_measures(each)) for each in days)
    return file.getvalue()


def _measures(used: UsageRow) -> tuple[object, ...]:
    counts = (used.asked, used.delivered, used.refused, used.failed)
    return (*counts, f"{used.seconds:.3f}", f"{used.charged / 1_000_000:.6f}")
