"""A grant is for once: whatever happens, nobody spends more than limits and grants together."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from bot import quota
from bot.errors import QuotaExceeded, Stale
from bot.job import Failure, Job, JobState
from bot.limits import BY_KEY, LIMITS
from bot.overview import Grant
from bot.refs import Micros
from bot.store import allowances, ledger, schema
from bot.store.database import open_database
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.bot.store.conftest import NOW, WAY, Books, step, to_url

DAY = timedelta(days=1)
CENT = 10_000


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def to_grant(cents: int, since: str, until: str) -> Grant:
    return Grant(micros=Micros(cents * CENT), at=at(since), until=at(until))


def day_limit(grants: list[Grant], spent: list[tuple[str, int]], now: str) -> float | None:
    limits = LimitsTable.model_validate({"usd_per_person_per_day": 1})
    rows = [(at(when), Micros(cents * CENT)) for when, cents in spent]
    return quota.raised(limits, grants, rows, at(now)).usd_per_person_per_day


def test_what_was_spent_beyond_a_limit_is_not_there_on_the_next_day() -> None:
    five = to_grant(500, "2026-11-02T10:00", "2026-12-01T00:00")
    assert day_limit([five], [], "2026-11-02T11:00") == 6
    assert day_limit([five], [("2026-11-02T12:00", 350)], "2026-11-02T13:00") == 6
    assert day_limit([five], [("2026-11-02T12:00", 350)], "2026-11-03T13:00") == 3.5
    assert day_limit([five], [("2026-11-02T12:00", 90)], "2026-11-03T13:00") == 6
    assert day_limit([five], [], "2026-12-01T00:00") == 1


def test_the_grant_that_ends_first_is_spent_first() -> None:
    early = to_grant(100, "2026-11-02T10:00", "2026-11-03T12:00")
    late = to_grant(200, "2026-11-02T10:00", "2026-11-09T00:00")
    spent = [("2026-11-02T12:00", 250)]
    assert day_limit([late, early], spent, "2026-11-03T11:00") == 2.5
    assert day_limit([late, early], [("2026-11-03T11:00", 150)], "2026-11-03T13:00") == 3.5


def test_a_limit_that_is_not_set_needs_no_grant() -> None:
    limits = LimitsTable.model_validate({"usd_per_person_per_day": None})
    given = [to_grant(100, "2026-11-02T10:00", "2026-11-03T12:00")]
    raised = quota.raised(limits, given, [], at("2026-11-02T11:00"))
    assert raised.usd_per_person_per_day is None


@given(
    grants=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(1, 300))),
    asked=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 300)), max_size=40),
)
@settings(max_examples=150)
def test_all_that_is_spent_beyond_a_days_limit_was_granted(
    grants: list[tuple[int, int, int]], asked: list[tuple[int, int]]
) -> None:
    """Whoever spends as soon as there is room never gets more than limits and grants."""
    first, limits = at("2026-11-02T00:00"), LimitsTable.model_validate({})
    given = [
        Grant(
            micros=Micros(cents * CENT),
            at=first + day * DAY + timedelta(hours=5),
            until=first + (day + length) * DAY + timedelta(hours=12),
        )
        for day, length, cents in grants
    ]
    spent: list[tuple[datetime, Micros]] = []
    for day, cents in sorted(asked, key=lambda each: each[0]):
        now = first + day * DAY + timedelta(hours=6 + len(spent) % 12)
        known = [each for each in given if each.at <= now]
        dollars = quota.raised(limits, known, spent, now).usd_per_person_per_day
        assert dollars is not None
        used = sum(cost for when, cost in spent if when.date() == now.date())
        if used + cents * CENT <= round(dollars * 1_000_000):
            spent.append((now, Micros(cents * CENT)))
    by_day = Counter[object]()
    for when, cost in spent:
        by_day[when.date()] += cost
    over = sum(max(0, used - 1_000_000) for used in by_day.values())
    assert over <= sum(each.micros for each in given)


# ---- on true rows ------------------------------------------------------------------------------


async def test_a_grant_raises_ones_own_money_and_nobody_elses(books: Books) -> None:
    limits = LimitsTable.model_validate(
        {"usd_per_person_per_day": 1, "usd_per_person_per_month": 1, "usd_total_per_month": 3}
    )
    given = Grant(micros=Micros(1_500_000), at=NOW, until=NOW + 2 * DAY)
    person = (await books.received()).request.requester.person
    await books.database.write(lambda tx: allowances.grant(tx, person, given, by="guard"))
    await books.accept(await books.received(), 1_000_000, limits=limits)
    await books.accept(await books.received(), 1_500_000, limits=limits)
    with pytest.raises(QuotaExceeded, match=r"\$0\.00 of your \$2\.50 for today is left"):
        await books.accept(await books.received(), 1, limits=limits)
    with pytest.raises(QuotaExceeded, match="of the whole "):
        await books.accept(await books.received(user="ben"), 600_000, limits=limits)
    with pytest.raises(QuotaExceeded, match=r"of your \$1\.00 for today is left"):
        await books.accept(await books.received(user="ben"), 1_000_001, limits=limits)
    later = NOW + 3 * DAY
    with pytest.raises(QuotaExceeded, match=r"of your \$2\.50 for this month is left"):
        await books.accept(await books.received(at=later), 1, limits=limits, at=later)
    assert await books.broken() == {}


#: Two of each would pass most of these.
TIGHT = LimitsTable.model_validate(
    {
        "timezone": "Asia/Kathmandu",
        **{limit.key: 3 if limit.what == "running" else 6 for limit in LIMITS if limit.is_own},
        **{limit.key: 5 if limit.what == "running" else 9 for limit in LIMITS if not limit.is_own},
        "usd_per_person_per_day": 1,
        "usd_per_person_per_month": 2,
        "usd_per_channel_per_day": 3,
        "usd_total_per_month": 8,
    }
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "cancel", "fail", "deliver", "grant"]),
        st.integers(0, 50),
        st.sampled_from([0, 50, 60, 100]),
    ),
    min_size=30,
    max_size=60,
)


@given(events=EVENTS, at_once=st.integers(2, 15))
@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_interleaving_of_anything_passes_a_limit(
    events: list[tuple[str, int, int]],
    at_once: int,
    empty_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = Path(shutil.copy(empty_file, tmp_path_factory.mktemp("race") / "raybot.db"))
    asyncio.run(_play(file, events, at_once))


async def _play(file: Path, events: list[tuple[str, int, int]], at_once: int) -> None:
    """All that happens, so much at once; after each round the rows are held to every limit."""
    opened = open_database(to_url(file))
    await opened.start()
    try:
        race = Race(Books(opened))
        for first in range(0, len(events), at_once):
            await race.round(events[first : first + at_once])
    finally:
        await opened.stop()


class Race:
    """Four people in two channels who ask, end and are granted, as time goes by."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.now = NOW
        self.accepted: list[Job] = []
        self.granted: Counter[str] = Counter()

    async def round(self, events: list[tuple[str, int, int]]) -> None:
        self.now += timedelta(hours=7)
        asked = [
            await self.books.received(user=f"u{number % 4}", channel=f"c{number % 2}", at=self.now)
            for _, number, _ in events
        ]
        answers = await asyncio.gather(
            *(self._one(job, *event) for job, event in zip(asked, events, strict=True)),
            return_exceptions=True,
        )
        told = [each for each in answers if isinstance(each, BaseException)]
        assert all(isinstance(each, QuotaExceeded | Stale) for each in told), told
        self.accepted += [each for each in answers if isinstance(each, Job)]
        await self.books.database.read(self._hold_to_limits)
        assert await self.books.broken() == {}

    async def _one(self, asked: Job, what: str, number: int, cents: int) -> Job | None:
        person, now = asked.request.requester.person, self.now
        if what == "submit":
            return await self.books.accept(asked, cents * CENT, limits=TIGHT, at=now)
        if what == "grant":
            given = Grant(micros=Micros(cents * CENT + 1), at=now, until=now + DAY)
            await self.books.database.write(
                lambda tx: allowances.grant(tx, person, given, by="guard")
            )
            self.granted[person] += given.micros
        elif self.accepted:
            job = self.accepted[number % len(self.accepted)]
            await self.books.database.write(lambda tx: _end(tx, job, what, now))
        return None

    def _hold_to_limits(self, conn: Connection) -> None:
        rows = conn.execute(select(schema.jobs).where(schema.jobs.c.accepted_at.is_not(None)))
        sums, over = Counter[tuple[str, str, str]](), Counter[tuple[str, str]]()
        for row in rows:
            day = f"{row.accepted_at.astimezone(ZoneInfo(TIGHT.timezone)):%Y-%m-%d}"
            for limit in LIMITS:
                who = "" if limit.whose == "total" else str(getattr(row, limit.whose))
                when = {"": "", "day": day, "month": day[:7]}[limit.per]
                is_clip = row.cost > 0 or row.state not in ("failed", "cancelled")
                more = {"running": row.ended_at is None, "clips": is_clip, "usd": row.cost}
                sums[limit.key, who, when] += more[limit.what]
        for (key, who, _), used in sums.items():
            allowed = getattr(TIGHT, key) * (1_000_000 if BY_KEY[key].is_money else 1)
            if BY_KEY[key].is_money and BY_KEY[key].is_own:
                over[key, who] += max(0, used - allowed)
            else:
                assert used <= allowed, key
        assert all(beyond <= self.granted[who] for (_, who), beyond in over.items())
        self._add_up(conn, sum(used for (key, *_), used in sums.items() if "usd_total" in key))

    def _add_up(self, conn: Connection, counted: int) -> None:
        """What the limits count is what the entries say: settled, or held and not given back."""
        entries: Counter[str] = Counter()
        for row in conn.execute(select(schema.ledger_entries).order_by("id")):
            if row.kind == "release":
                entries[row.job_id] = 0
            else:
                entries[row.job_id] = row.micros
        assert counted == entries.total()


def _end(tx: Tx, job: Job, what: str, now: datetime) -> Job:
    if what == "deliver":
        for state in WAY[1:]:
            job = step(tx, job, state, now)
        return job
    if what == "cancel":
        return ledger.end(tx, job, JobState.CANCELLED, now, charged=None)
    return ledger.fail(tx, job, now, Failure(code="test", sentence="It ended."))
