"""Ten thousand submissions race each other and the endings of others; none passes a limit."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, select

from bot.errors import QuotaExceeded, Stale
from bot.job import Failure, Job, JobState, Plan
from bot.limits import BY_KEY
from bot.refs import Micros, Price, ThreadRef
from bot.request import GenerationRequest, Requester, VideoWork
from bot.store import integrity, jobs, ledger, schema
from bot.store.database import Database, open_database
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.bot.store.conftest import WAY, step

AT_ONCE = 50
#: Submissions in all, the same number in each world.
SUBMISSIONS = 10_000
HOLDS = (0, 1_000, *[40_000, 153_000, 251_000, 999_999] * 5)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Atlantic/Azores")
WHOSE = ("person", "channel", "tenant")
PERIODS = ("day", "month")
RUNNING = tuple(f"running_per_{whose}" for whose in WHOSE)
CLIPS = tuple(f"clips_per_{whose}_per_{per}" for whose in WHOSE for per in PERIODS)
MONEY = (
    *(f"usd_per_{whose}_per_{per}" for whose in WHOSE for per in PERIODS),
    "usd_total_per_month",
)
#: What holds for guests besides.
OF_GUESTS = {
    "clips_per_person_per_day": "clips_per_guest_per_day",
    "usd_per_person_per_day": "usd_per_guest_per_day",
}
LIMIT_OF = {theirs: own for own, theirs in OF_GUESTS.items()}
#: One of the people is a guest everywhere.
GUEST = "3"
#: The limits in force together; each is one at least once, and refuses somebody.
WORLDS = (
    ("running_per_person", "clips_per_person_per_day"),
    ("running_per_channel", "usd_per_person_per_month"),
    ("running_per_tenant", "clips_per_person_per_month"),
    ("clips_per_channel_per_day", "usd_per_tenant_per_month"),
    ("clips_per_channel_per_month", "usd_per_person_per_day"),
    ("clips_per_tenant_per_day", "usd_per_channel_per_month"),
    ("clips_per_tenant_per_month", "usd_per_channel_per_day"),
    ("usd_per_tenant_per_day", "usd_total_per_month"),
    *OF_GUESTS.items(),
)
#: A limit, whose, and which day or month: ("clips_per_tenant_per_day", "a", "2026-10-24").
Key = tuple[str, str, str]


@dataclass
class Ticket:
    """What the model knows of one job."""

    job: Job
    hold: int
    accepted_at: datetime | None = None
    cost: int = 0
    is_open: bool = False

    @property
    def person(self) -> str:
        return self.job.request.requester.person

    @property
    def tenant(self) -> str:
        return self.job.request.requester.tenant

    @property
    def channel(self) -> str:
        return f"{self.tenant}:{self.job.request.thread.channel}"


@cache
def dates(at: datetime, zone: str) -> tuple[str, str]:
    """The day and the month of a moment, as people there say them."""
    there = at.astimezone(ZoneInfo(zone))
    return f"{there:%Y-%m-%d}", f"{there:%Y-%m}"


@dataclass
class Model:
    """The limits in plain Python: sums by calendar day and month, and nothing else."""

    limits: LimitsTable
    used: Counter[Key] = field(default_factory=Counter)

    def key(self, name: str, ticket: Ticket, at: datetime) -> Key:
        """What of a limit a job counts to."""
        who = {"person": ticket.person, "channel": ticket.channel, "tenant": ticket.tenant}
        whose = next((who[each] for each in WHOSE if f"_per_{each}" in name), "")
        day, month = dates(at, self.limits.timezone)
        return name, whose, "" if name in RUNNING else day if name.endswith("day") else month

    def limit(self, name: str, whose: str) -> float | None:
        """What holds for somebody or somewhere: the lower one, where guests have their own."""
        found = [getattr(self.limits, name)]
        if whose.endswith(f":{GUEST}") and name in OF_GUESTS:
            found.append(getattr(self.limits, OF_GUESTS[name]))
        least = min((each for each in found if each is not None), default=None)
        return least if least is None or name not in MONEY else least * 1_000_000

    def fits(self, ticket: Ticket, now: datetime) -> bool:
        for name in (*RUNNING, *CLIPS, *MONEY):
            if (limit := self.limit(name, ticket.person)) is None:
                continue
            more = ticket.hold if name in MONEY else 1
            if self.used[self.key(name, ticket, now)] + more > limit:
                return False
        return True

    def accept(self, ticket: Ticket, now: datetime) -> None:
        ticket.accepted_at, ticket.is_open = now, True
        self._count((*RUNNING, *CLIPS), ticket, 1)
        self._charge(ticket, ticket.hold)

    def end(self, ticket: Ticket, cost: int, *, is_delivered: bool) -> None:
        if not ticket.is_open:
            return
        ticket.is_open = False
        self._count(RUNNING, ticket, -1)
        self._charge(ticket, cost)
        if not is_delivered and cost == 0:
            self._count(CLIPS, ticket, -1)

    def _charge(self, ticket: Ticket, cost: int) -> None:
        self._count(MONEY, ticket, cost - ticket.cost)
        ticket.cost = cost

    def _count(self, names: Iterable[str], ticket: Ticket, more: int) -> None:
        assert ticket.accepted_at is not None
        for name in names:
            self.used[self.key(name, ticket, ticket.accepted_at)] += more

    def check(self) -> None:
        """No sum ever stands above its limit."""
        for (name, whose, _), used in self.used.items():
            limit = self.limit(name, whose)
            assert limit is None or used <= limit, name


def draw_limits(rng: random.Random, names: tuple[str, ...], zone: str) -> LimitsTable:
    """These limits, each worth a few clips."""
    values: dict[str, Any] = dict.fromkeys((*RUNNING, *CLIPS, *MONEY))
    for name in names:
        is_count = not name.startswith("usd")
        values[name] = rng.randint(1, 4) if is_count else rng.choice((0.153, 0.5, 1.3))
    return LimitsTable.model_validate({"timezone": zone, **values})


class Race:
    """One database, one set of limits, and random rounds of what happens at once."""

    def __init__(self, database: Database, names: tuple[str, ...], zone: str) -> None:
        self.rng = random.Random(" ".join(names))
        self.database = database
        self.limits = draw_limits(self.rng, names, zone)
        self.model = Model(self.limits)
        self.now = datetime(2026, 10, 24, 12, tzinfo=UTC)
        self.received: list[Ticket] = []
        self.open: list[Ticket] = []
        self.told: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def ask(self, count: int) -> None:
        """Some more requests of three people in two channels of two places."""
        requests = [self._request(len(self.received) + number) for number in range(count)]
        made = await asyncio.gather(
            *(
                self.database.write(lambda tx, request=request: jobs.insert(tx, request, self.now))  # type: ignore[misc]
                for request in requests
            )
        )
        self.received += [Ticket(job, self.rng.choice(HOLDS)) for job, _ in made]

    def _request(self, number: int) -> GenerationRequest:
        workspace, channel = self.rng.choice("ab"), self.rng.choice("xy")
        user = self.rng.choice("123")
        return GenerationRequest(
            dedupe_key=f"{self.now.isoformat()} {number} {self.rng.random()}",
            requester=Requester(
                adapter="recording", workspace=workspace, user=user, is_guest=user == GUEST
            ),
            thread=ThreadRef(adapter="recording", workspace=workspace, channel=channel),
            work=VideoWork(prompt="a red fox in snow"),
        )

    async def round(self, submissions: int) -> None:
        """Submissions and endings at once, in random order; each is told what the model says."""
        # Times only grow, also over midnights and months.
        self.now += timedelta(seconds=self.rng.choice((1, 60, 3600, 40_000)))
        if len(self.received) < AT_ONCE:
            await self.ask(AT_ONCE)
        endings = self.rng.sample(self.open, min(len(self.open), self.rng.randint(0, 4)))
        events: list[tuple[Ticket, Happening]] = [
            *((ticket, Submission()) for ticket in self.rng.choices(self.received, k=submissions)),
            *((ticket, draw_ending(self.rng)) for ticket in endings * self.rng.randint(1, 2)),
        ]
        self.rng.shuffle(events)
        answers = await asyncio.gather(
            *(self.database.write(what.work(self, ticket)) for ticket, what in events),
            return_exceptions=True,
        )
        before = {id(ticket): ticket.job.version for ticket, _ in events}
        for (ticket, what), answer in zip(events, answers, strict=True):
            is_stale = ticket.job.version != before[id(ticket)]
            expected = what.expect(self, ticket, is_stale=is_stale)
            assert type(answer) is expected, answer
            self.told[expected.__name__] += 1
            if isinstance(answer, Job):
                ticket.job = answer
                what.happen(self, ticket)
            elif isinstance(answer, QuotaExceeded):
                assert answer.resets_at is None or answer.resets_at > self.now
                self.refused[answer.limit] += 1
        self.received = [ticket for ticket in self.received if ticket.accepted_at is None]
        self.model.check()

    async def check_sums(self) -> None:
        """The rows themselves hold what the model says, and no more than the limits allow."""
        sums = await self.database.read(self._sums)
        used = +self.model.used
        assert sums == {key: used[key] for key in used if key[0] in MONEY}
        assert await self.database.read(integrity.broken_invariants) == {}

    def _sums(self, conn: Connection) -> Counter[Key]:
        table = schema.jobs.c
        rows = conn.execute(
            select(table.id, table.cost, table.person, table.channel, table.tenant)
            .add_columns(table.accepted_at)
            .where(table.cost > 0)
        )
        sums = Counter[Key]()
        for row in rows:
            days = dict(zip(PERIODS, dates(row.accepted_at, self.limits.timezone), strict=True))
            for whose in WHOSE:
                for per, when in days.items():
                    sums[f"usd_per_{whose}_per_{per}", getattr(row, whose), when] += row.cost
            sums["usd_total_per_month", "", days["month"]] += row.cost
        held = conn.execute(select(func.count()).where(schema.ledger_entries.c.kind == "hold"))
        assert held.scalar_one() == self.told["Job"] - self.told["ended"]
        return sums


class Happening:
    """One transaction of the race, and what the model makes of it."""

    def work(self, race: Race, ticket: Ticket) -> Callable[[Tx], Job]:
        raise AssertionError

    def expect(self, race: Race, ticket: Ticket, *, is_stale: bool) -> type[object]:
        raise AssertionError

    def happen(self, race: Race, ticket: Ticket) -> None:
        raise AssertionError


class Submission(Happening):
    """Somebody's job is accepted, unless a limit stands against it."""

    def work(self, race: Race, ticket: Ticket) -> Callable[[Tx], Job]:
        job, now = ticket.job, race.now
        hold = Micros(ticket.hold)
        plan = Plan(provider="luma", work=job.work, price=Price(micros=hold), hold=hold)
        return lambda tx: ledger.accept(tx, job, plan, race.limits, now)

    def expect(self, race: Race, ticket: Ticket, *, is_stale: bool) -> type[object]:
        if not race.model.fits(ticket, race.now):
            return QuotaExceeded
        return Stale if is_stale else Job

    def happen(self, race: Race, ticket: Ticket) -> None:
        race.model.accept(ticket, race.now)
        race.open.append(ticket)


@dataclass(frozen=True)
class Ending(Happening):
    """A job is cancelled, fails free of charge, is charged without a clip, or is delivered."""

    to: JobState
    share: float | None

    def work(self, race: Race, ticket: Ticket) -> Callable[[Tx], Job]:
        job, now = ticket.job, race.now
        charged = None if self.share is None else Micros(int(ticket.hold * self.share))

        def work(tx: Tx) -> Job:
            if self.to is not JobState.DELIVERED:
                failure = Failure(code="test", sentence="It ended.")
                return ledger.end(tx, job, self.to, now, charged=charged, failure=failure)
            walked = job
            for state in WAY[1:]:
                walked = step(tx, walked, state, now)
            return walked

        return work

    def expect(self, race: Race, ticket: Ticket, *, is_stale: bool) -> type[object]:
        return Stale if is_stale else Job

    def happen(self, race: Race, ticket: Ticket) -> None:
        is_delivered = self.to is JobState.DELIVERED
        share = 1.0 if is_delivered else min(self.share or 0.0, 1.0)
        race.model.end(ticket, int(ticket.hold * share), is_delivered=is_delivered)
        race.open.remove(ticket)
        race.told["ended"] += 1


def draw_ending(rng: random.Random) -> Ending:
    return rng.choice(
        [
            Ending(JobState.CANCELLED, None),
            Ending(JobState.FAILED, None),
            Ending(JobState.FAILED, rng.choice((0.0, 0.5, 1.0, 1.5))),
            Ending(JobState.DELIVERED, 1.0),
        ]
    )


def test_every_limit_is_in_force_in_some_world() -> None:
    assert set(BY_KEY) == set(itertools.chain(*WORLDS)) == {*RUNNING, *CLIPS, *MONEY, *LIMIT_OF}


@pytest.mark.parametrize(("names", "zone"), [*zip(WORLDS, itertools.cycle(ZONES))])
async def test_no_interleaving_passes_a_limit(
    names: tuple[str, ...], zone: str, tmp_path: Path
) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
    await database.start()
    try:
        race = Race(database, names, zone)
        left = SUBMISSIONS // len(WORLDS)
        while left > 0:
            count = min(left, race.rng.randint(2, 2 * AT_ONCE))
            await race.round(count)
            left -= count
        await race.check_sums()
        assert race.told["QuotaExceeded"] > race.told["Job"]
        assert set(race.refused) == {LIMIT_OF.get(name, name) for name in names}
        assert race.told["Stale"] > 0
        assert race.told["ended"] > 0
    finally:
        await database.stop()
