"""Services: how video services and chat platforms do, and how it went day by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from adapters.web.desk.charts import CHOICES, Chart, Series, days_of
from adapters.web.desk.tables import Column, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from bot.clock import Clock
from bot.desk_views import Balance, ChatStatus, Pace, Percentiles, ServiceStatus
from bot.ports import WebCall, WebReply
from bot.refs import money
from bot.text import clean, span

if TYPE_CHECKING:
    from bot.studio import Studio

HERE = "/desk/services"
BY_DAY = "By day, of what was asked then"
#: Why something failed, in the order of the columns: class, and what it means.
CLASSES = (
    ("refused", "refused by a limit or a rule"),
    ("filtered", "refused by a filter or a moderator"),
    ("input", "its prompt or image could not be used"),
    ("service", "its service failed"),
    ("delivery", "its clip was damaged or could not be posted"),
    ("other", "ended otherwise"),
)
#: How long it took, in the order of the columns, and what that means.
TIMES = (
    ("to post", "from a clip's completion at its service to its delivery"),
    ("in all", "from a request's acceptance to its delivery"),
    ("half", "half of them took at most so long"),
    ("19 of 20", "all but one in twenty took at most so long"),
)
SENTENCE_CHARS = 240
#: Looks come every second or so; this long without one is worth a word.
LATE_SECONDS = 60.0


class Services:
    """The page of services and chats."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._desk = studio.desk
        self._clock = clock

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The page, and its tables as files."""
        return {
            ("GET", HERE): self._page,
            ("GET", f"{HERE}.csv"): self._services_file,
            ("GET", f"{HERE}/chats.csv"): self._chats_file,
            ("GET", f"{HERE}/days.csv"): self._days_file,
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        days = days_of(call.query.get("days", ""))
        seen = await self._desk.services.read(visit.sitting)
        pace = await self._desk.pace.read(visit.sitting, days=days)
        now = self._clock.now()
        return visit.page(
            "services.html",
            here=HERE,
            services=[to_card(each, now) for each in seen.services],
            file=f"{HERE}.csv",
            chats=chats_table(seen.chats),
            is_alone=seen.is_alone,
            is_whole=not visit.sitting.tenant,
            charts=to_charts(pace),
            by_day=days_table(list(reversed(pace)), file=f"{HERE}/days.csv?days={days}"),
            meanings=(*TIMES, *CLASSES),
            days=days,
            choices=CHOICES,
        )

    async def _services_file(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        seen = await self._desk.services.read(visit.sitting)
        return await as_file(partial(services_table, seen.services), "services")

    async def _chats_file(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        seen = await self._desk.services.read(visit.sitting)
        return await as_file(partial(chats_table, seen.chats), "chats")

    async def _days_file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        days = days_of(call.query.get("days", ""))
        pace = await self._desk.pace.read(visit.sitting, days=days)
        return await as_file(partial(days_table, list(reversed(pace))), "pace")


# ---- services --------------------------------------------------------------------------------


def to_card(service: ServiceStatus, now: datetime) -> Mapping[str, Any]:
    """A service as its card shows it."""
    tone, state = _state(service)
    health = service.health
    return {
        "service": service,
        "tone": tone,
        "state": state,
        "lines": [clean(each, limit=SENTENCE_CHARS) for each in _said(service)],
        "balance": _balance(service.balance),
        "look": _look(service, now),
        "reason": clean(service.failure.sentence, limit=SENTENCE_CHARS) if service.failure else "",
        "prices": ", ".join(f"{name} from {money(price)}" for name, price in _prices(service)),
        "is_well": not health.trouble and not health.unseen,
    }


def _state(service: ServiceStatus) -> tuple[str, str]:
    health = service.health
    if health.is_draining:
        return "wait", "Draining: nothing new goes there"
    if health.trouble and health.may_try:
        return "wait", "One job is let through to see whether it is over"
    if health.trouble:
        return "bad", "Takes nothing right now"
    if health.unseen:
        return "wait", "Takes jobs, and cannot be looked at"
    return "good", "Takes jobs"


def _said(service: ServiceStatus) -> list[str]:
    said = [each for each in (service.health.trouble, service.health.unseen) if each]
    if service.detour:
        said.append(f"What may go elsewhere goes to {service.detour}.")
    return said


def _balance(balance: Balance | None) -> str:
    if balance is None:
        return ""
    if balance.asked_at is None:
        return "is being asked"
    if balance.micros is not None:
        return money(balance.micros)
    return f"unknown. {balance.trouble}" if balance.trouble else "unknown; it tells none"


def _look(service: ServiceStatus, now: datetime) -> str:
    """When what runs there was last looked at, where this process does that."""
    at = service.health.looked_at
    if not service.running:
        return "nothing runs"
    if at is None:
        return "another process looks"
    ago = (now - at).total_seconds()
    said = f"{span(timedelta(seconds=ago))} ago"
    return f"{said}, which is long" if ago > LATE_SECONDS else said


def _prices(service: ServiceStatus) -> list[tuple[str, int]]:
    return [(name, int(price)) for name, price in service.prices.items()]


def services_table(services: Sequence[ServiceStatus]) -> Table:
    """All services in rows, for a file."""
    return Table(
        title="Services",
        columns=(
            *(Column(name=each) for each in ("service", "state", "why")),
            *(Column(name=each) for each in ("running", "slots", "waiting")),
            Column(name="oldest waiting", kind="time"),
            Column(name="last clip", kind="time"),
            Column(name="last failure", kind="time"),
            Column(name="balance", kind="money"),
        ),
        rows=[
            (
                each.name,
                _state(each)[1],
                " ".join(_said(each)),
                each.running,
                each.slots,
                each.waiting,
                each.oldest,
                each.success.at if each.success else None,
                each.failure.at if each.failure else None,
                each.balance.micros if each.balance else None,
            )
            for each in services
        ],
    )


def chats_table(chats: Sequence[ChatStatus]) -> Table:
    """Every chat platform, and why nobody is heard there."""
    return Table(
        title="Chat platforms",
        columns=(
            Column(name="platform"),
            Column(name="connected"),
            Column(name="why not", kind="text"),
        ),
        rows=[
            (each.name, "no" if each.trouble else "yes", each.trouble or None) for each in chats
        ],
        file=f"{HERE}/chats.csv",
        empty="No chat platform is configured.",
    )


# ---- days ------------------------------------------------------------------------------------


def to_charts(pace: Sequence[Pace]) -> list[Chart]:
    """How long it took on each day, and what failed."""
    names = [each.day for each in pace]

    def line(name: str, found: Sequence[Percentiles | None], part: str) -> Series:
        values = [getattr(each, part) if each is not None else None for each in found]
        return Series(name=name, values=values)

    post, whole = [each.post for each in pace], [each.whole for each in pace]
    lag = (line("half", post, "median"), line("19 of 20", post, "p95"))
    waits = (line("half", whole, "median"), line("19 of 20", whole, "p95"))
    failures = [
        Series(name=name, values=[each.failures.get(name, 0) for each in pace])
        for name, _ in CLASSES
    ]

    def lines(title: str, series: Sequence[Series]) -> Chart:
        return Chart(
            title=title, table=BY_DAY, unit="seconds", days=names, series=series, shape="lines"
        )

    return [
        lines("From a clip's completion to its delivery", lag),
        lines("From acceptance to delivery", waits),
        Chart(title="Failures", table=BY_DAY, unit="count", days=names, series=failures),
    ]


def days_table(pace: Sequence[Pace], *, file: str = "") -> Table:
    """The same numbers in rows."""
    return Table(
        title=BY_DAY,
        columns=(
            Column(name="day"),
            Column(name="delivered", kind="number"),
            Column(name="to post: half", kind="seconds"),
            Column(name="to post: 19 of 20", kind="seconds"),
            Column(name="in all: half", kind="seconds"),
            Column(name="in all: 19 of 20", kind="seconds"),
            *(Column(name=name, kind="number") for name, _ in CLASSES),
        ),
        rows=[
            (
                each.day,
                each.post.count if each.post else 0,
                *_cells(each.post),
                *_cells(each.whole),
                *(each.failures.get(name, 0) for name, _ in CLASSES),
            )
            for each in pace
        ],
        file=file,
    )


def _cells(found: Percentiles | None) -> tuple[float | None, float | None]:
    return (found.median, found.p95) if found is not None else (None, None)
