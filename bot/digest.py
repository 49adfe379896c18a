"""Once a week, one message about what a place made, in the channel that its admins chose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.clock import Clock
from bot.errors import DeliveryError, DeliveryUnavailable, PostedBefore, StoreError
from bot.limits import BY_KEY
from bot.log import get_logger
from bot.notices import Digest
from bot.ports import Adapter
from bot.refs import Micros, ThreadRef
from bot.request import Requester
from bot.store import allowances, digests, reports, settings
from bot.store.database import Database
from bot.store.digests import Wanted
from bot.store.transaction import Tx
from bot.tables import LimitsTable, micros

log = get_logger(__name__)
LOOK_EVERY = timedelta(minutes=1)
#: On Mondays, in the limits' time zone.
POSTED_AT = time(9)
WEEK = timedelta(days=7)
#: What a place can still spend in a month is what is left of both.
BUDGETS = ("usd_per_tenant_per_month", "usd_total_per_month")


def last_due(now: datetime, timezone: str) -> datetime:
    """The latest Monday, nine o'clock, that is not to come."""
    here = now.astimezone(ZoneInfo(timezone))
    monday = here.date() - timedelta(days=here.weekday())
    due = datetime.combine(monday, POSTED_AT, tzinfo=here.tzinfo)
    return due if due <= here else due - WEEK


class Digests:
    """Posts what is due, once for each week and place, also across restarts."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        clock: Clock,
        limits: LimitsTable,
        serves: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._limits = limits
        self._serves = serves

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            try:
                await self.post_due()
            except StoreError as error:
                log.error("digest.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def post_due(self) -> None:
        """Post what a place was not shown of the last week; a chat that is away has it later."""
        due = last_due(self._clock.now(), self._limits.timezone)
        for each in await self._database.read(lambda conn: digests.due(conn, due)):
            adapter = self._adapters.get(each.tenant.partition(":")[0])
            if adapter is None or not await self._serves(each.tenant):
                continue
            try:
                await self._post(adapter, each, due)
            except DeliveryUnavailable as error:
                log.info("digest.later", tenant=each.tenant, cause=error.sentence)
            except PostedBefore:
                await self._note_done(each, due)
            except DeliveryError as error:
                await self._turn_off(each, error)
            else:
                await self._note_done(each, due)

    async def _note_done(self, wanted: Wanted, due: datetime) -> None:
        await self._database.write(lambda tx: digests.done(tx, wanted.tenant, due))

    async def _turn_off(self, wanted: Wanted, error: DeliveryError) -> None:
        """Where its channel is gone nobody would ever read it; who runs the bot is told."""
        now, tenant = self._clock.now(), wanted.tenant
        sentence = f"The weekly digest of {tenant} was turned off. {error.sentence}"

        def write(tx: Tx) -> None:
            digests.want(tx, tenant, "", now)
            settings.note_operator(tx, f"digest:{tenant}:{now:%Y-%m-%d}", sentence, now)

        await self._database.write(write)

    # ---- one digest ----------------------------------------------------------------------

    async def _post(self, adapter: Adapter, wanted: Wanted, due: datetime) -> None:
        name, _, workspace = wanted.tenant.partition(":")
        key = f"digest:{wanted.tenant}:{due:%Y-%m-%d}"
        thread = ThreadRef(adapter=name, workspace=workspace, channel=wanted.channel)
        memo = await digests.open_memo(self._database, wanted.tenant, key)
        await adapter.post(thread, await self._sum_up(wanted.tenant, due), key=key, memo=memo)

    async def _sum_up(self, tenant: str, due: datetime) -> Digest:
        """The week of whole days before the day on which it is due, and the month as it is now."""
        until = due.replace(hour=0, minute=0)
        since, zone, now = until - WEEK, self._limits.timezone, self._clock.now()
        start, end = since.astimezone(UTC), until.astimezone(UTC)
        name, _, workspace = tenant.partition(":")
        anybody = Requester(adapter=name, workspace=workspace, user="")
        rows, starred, limits = await self._database.read(
            lambda conn: (
                reports.usage(conn, start, end, by="person", timezone=zone, tenant=tenant),
                digests.starred(conn, tenant, start, end),
                allowances.of_people(conn, anybody, "", self._limits),
            )
        )
        used = await self._database.read(
            lambda conn: allowances.used(conn, anybody, "", limits, now)
        )
        made, money = reports.total(rows), _least_left(limits, used, *BUDGETS)
        return Digest(
            since=since.date(),
            until=(until - timedelta(days=1)).date(),
            clips=made.delivered,
            people=sum(1 for row in rows if row.delivered),
            seconds=made.seconds,
            charged=made.charged,
            starred=starred,
            money_left=None if money is None else Micros(money),
            clips_left=_least_left(limits, used, "clips_per_tenant_per_month"),
        )


def _least_left(limits: LimitsTable, used: Mapping[str, int], *names: str) -> int | None:
    """What is left of the limits of these names, of the one with least; None: none is set."""
    allowed = {name: getattr(limits, name) for name in names}
    set_here = {name: each for name, each in allowed.items() if each is not None}
    left = (
        (micros(each) if BY_KEY[name].is_money else each) - used.get(name, 0)
        for name, each in set_here.items()
    )
    return min((max(0, each) for each in left), default=None)
