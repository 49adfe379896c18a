"""What the desk reads of the rows: sums, pace and moderation, of all places or of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Connection

from bot.desk_views import AuditSearch, Pace
from bot.errors import ProviderAuthError, ProviderRetired
from bot.job import Job, JobState
from bot.overview import UsageRow
from bot.store import (
    complaints,
    desk_budgets,
    desk_moderation,
    desk_money,
    desk_pace,
    desk_services,
    erasing,
    figures,
    reports,
    settings,
)
from bot.store.desk_days import Days
from bot.store.reports import Day
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.bot.store.conftest import NOW, Books, step
from tests.fakes import MovableClock

S = JobState
DAY = timedelta(days=1)
HERE, THERE = "recording:local", "recording:other"
GROUPS: tuple[reports.Grouping, ...] = ("model", "person", "tenant")
DEAREST = {None: [100, 30, 7], HERE: [100, 30], THERE: [7]}


async def elsewhere(books: Books, job: Job, user: str = "bo") -> Job:
    """The same job in another place."""
    values = {"id": job.id, "tenant": THERE, "person": f"{THERE}:{user}"}
    await books.sql("UPDATE jobs SET tenant = :tenant, person = :person WHERE id = :id", **values)
    return job


async def pace(books: Books, tenant: str | None = None, days: int = 1) -> list[Pace]:
    asked = reports.days_between(NOW - DAY * (days - 1), NOW + timedelta(seconds=1), "UTC")
    found = await books.database.read(lambda conn: desk_pace.read(conn, asked, tenant))
    return list(found.values())


# ---- money -------------------------------------------------------------------------------------


async def test_sums_are_those_of_the_usage_and_parts_add_up(books: Books) -> None:
    await books.reach(S.DELIVERED, micros=100)
    await books.reach(S.DELIVERED, micros=30, at=NOW - DAY, model="ray-2", user="bo")
    await elsewhere(books, await books.reach(S.DELIVERED, micros=7))
    await books.reach(S.GENERATING, micros=500)
    start, end, middle = NOW - 2 * DAY, NOW + DAY, NOW - DAY / 2

    def read(
        conn: Connection, tenant: str | None
    ) -> tuple[list[desk_money.Sums], list[list[UsageRow]]]:
        spans = ((start, end), (start, middle), (middle, end))
        return [desk_money.sums(conn, *span, tenant) for span in spans], [
            reports.usage(conn, start, end, by=by, timezone="UTC", tenant=tenant) for by in GROUPS
        ]

    for tenant in (None, HERE, THERE):
        [whole, first, rest], usage = await books.database.read(partial(read, tenant=tenant))
        parts = desk_money.Sums(first, rest)
        found = (whole.models, whole.people, whole.places)
        assert [sorted(each, key=lambda row: row.label) for each in found] == usage
        assert found == (parts.models, parts.people, parts.places)
        assert [row.charged for row in whole.people] == DEAREST[tenant]


async def test_what_is_held_is_what_no_entry_closes(books: Books) -> None:
    await books.reach(S.DELIVERED, micros=100)
    await books.reach(S.GENERATING, micros=500)
    await elsewhere(books, await books.reach(S.ACCEPTED, micros=70))
    await books.end(await books.reach(S.SUBMITTING, micros=900))
    whole, here, there, every = await books.database.read(
        lambda conn: (
            desk_money.held(conn, None),
            desk_money.held(conn, HERE),
            desk_money.held(conn, THERE),
            figures.read(conn).held,
        )
    )
    assert (whole, here, there) == (every, 500, 70) == (570, 500, 70)


async def test_a_place_sees_its_own_budgets_and_the_operator_all(books: Books) -> None:
    given = {"usd_total_per_month": 5.0, "usd_per_tenant_per_month": 2.0}
    bot = LimitsTable.model_validate(given)
    await books.reach(S.DELIVERED, micros=100)
    await elsewhere(books, await books.reach(S.DELIVERED, micros=7))
    mine, every = await books.database.read(
        lambda conn: (
            desk_budgets.in_reach(conn, HERE, [THERE], bot, NOW),
            desk_budgets.in_reach(conn, "", [HERE, THERE], bot, NOW),
        )
    )
    assert [(each.tenant, each.allowance.used) for each in mine] == [(HERE, 100)]
    used = [(each.tenant, each.allowance.used) for each in every]
    assert used == [("", 107), (HERE, 100), (THERE, 7)]


async def test_people_and_places_are_named_as_they_are_known(books: Books) -> None:
    await books.received()
    person = f"{HERE}:ana"
    found = await books.database.read(lambda conn: desk_money.names(conn, [person, "x"], [HERE]))
    assert found == {person: "ana"}


# ---- pace --------------------------------------------------------------------------------------


async def delivered(books: Books, post: float, *, at: datetime = NOW) -> Job:
    """A clip that was complete a minute after it was asked, and posted so many seconds later."""
    job = await books.reach(S.DELIVERING, at=at)
    ready = at + timedelta(minutes=1)
    job = await books.change(job, completed_at=ready)
    ended = ready + timedelta(seconds=post)
    return await books.database.write(lambda tx: step(tx, job, S.DELIVERED, ended))


async def test_a_day_says_how_long_half_took_and_how_long_nearly_all(books: Books) -> None:
    for post in range(1, 22):
        await delivered(books, post / 2)
    await delivered(books, 4.0, at=NOW - DAY)
    await elsewhere(books, await delivered(books, 400.0))
    before, today = await pace(books, HERE, days=2)
    assert before.post is not None
    assert today.post is not None
    assert today.whole is not None
    assert (before.post.count, round(before.post.median, 2)) == (1, 4.0)
    assert today.post.count == 21
    assert (round(today.post.median, 2), round(today.post.p95, 2)) == (5.5, 10.0)
    assert (round(today.whole.median, 2), round(today.whole.p95, 2)) == (65.5, 70.0)
    [_, every] = await pace(books, days=2)
    assert every.post is not None
    assert every.post.count == 22


async def test_time_that_a_moderator_took_is_not_ours(books: Books) -> None:
    await delivered(books, 2.0)
    looked_at = await delivered(books, 7200.0)
    await books.database.write(
        lambda tx: settings.write_audit(
            tx, NOW, actor="mod", act="review post", target=looked_at.id, detail=""
        )
    )
    [today] = await pace(books)
    assert today.post is not None
    assert (today.post.count, round(today.post.p95, 2)) == (1, 2.0)


async def test_failures_are_counted_by_class(books: Books) -> None:
    for code in ("refused", "moderation", "service", "clip_broken", "story"):
        await books.end(await books.received(), code=code)
    await books.end(await books.received(), S.CANCELLED)
    await elsewhere(books, await books.end(await books.received(), code="service"))
    [today] = await pace(books, HERE)
    assert today.failures == {
        "refused": 1,
        "filtered": 1,
        "service": 1,
        "delivery": 1,
        "other": 1,
    }
    assert today.post is None
    [every] = await pace(books)
    assert every.failures["service"] == 2


async def test_days_that_change_no_more_are_read_once(books: Books) -> None:
    """Long ago, for any clock."""
    first = datetime(2025, 3, 1, tzinfo=UTC)
    days = reports.days_between(first, first + 3 * DAY, "UTC")
    read: list[str] = []

    def count(conn: Connection, lacking: Sequence[Day], tenant: str | None) -> dict[str, int]:
        read.extend(day.name for day in lacking)
        rows = reports.of_days(conn, lacking, tenant)
        return {name: row.asked for name, row in rows.items()}

    kept = Days(count, database=books.database, clock=MovableClock())
    await books.end(await books.received(at=first))
    goes_on = await books.received(at=first + DAY)
    assert await kept.read(days, None) == [1, 1, 0]
    assert [day.name for day in await kept.settled(days)] == ["2025-03-01"]
    assert await kept.read(days, None) == [1, 1, 0]
    assert read[3:] == ["2025-03-02"]
    await books.end(goes_on)
    await kept.read(days, None)
    assert await kept.read(days, None) == [1, 1, 0]
    assert read[4:] == ["2025-03-02"]
    assert await kept.read(days, THERE) == [0, 0, 0]


async def test_one_who_reads_while_what_was_kept_is_let_go_gets_their_days(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datetime(2025, 3, 1, tzinfo=UTC)
    days = reports.days_between(first, first + 2 * DAY, "UTC")
    kept = Days(
        lambda conn, lacking, _: {day.name: day.name for day in lacking},
        database=books.database,
        clock=MovableClock(),
    )
    names = await kept.read(days, None)
    monkeypatch.setattr("bot.store.desk_days.MOST_KEPT", 0)
    two = await asyncio.gather(kept.read(days, None), kept.read(days, None))
    assert list(two) == [names, names]


# ---- services ----------------------------------------------------------------------------------


async def test_a_service_is_counted_for_all_or_for_one_place(books: Books) -> None:
    waits = await books.reach(S.ACCEPTED)
    await books.reach(S.GENERATING)
    await elsewhere(books, await books.reach(S.ACCEPTED, at=NOW - DAY))
    ended = await books.reach(S.SUBMITTING)
    await books.change(ended, admitted_at=NOW)
    await elsewhere(books, await books.end(await books.get(ended.id), code="service"))
    here, every, nothing = await books.database.read(
        lambda conn: (
            desk_services.load(conn, "luma", HERE),
            desk_services.load(conn, "luma", None),
            desk_services.load(conn, "fal", None),
        )
    )
    assert (here.running, here.waiting, here.oldest) == (1, 1, waits.accepted_at)
    assert here.failure is None
    assert (every.running, every.waiting, every.oldest) == (1, 2, NOW - DAY)
    assert every.failure is not None
    assert (every.failure.job_id, every.failure.sentence) == (ended.id, "It ended.")
    assert (nothing.running, nothing.waiting, nothing.oldest) == (0, 0, None)


@pytest.mark.parametrize("hidden", ["private", "forgotten"])
async def test_a_failure_is_told_without_words_where_they_are_hidden(
    books: Books, hidden: str
) -> None:
    job = await books.change(await books.reach(S.SUBMITTING), admitted_at=NOW)
    if hidden == "private":
        asked = job.request.model_copy(update={"is_private": True})
        job = await books.change(job, request=asked)
    await books.end(job)
    if hidden == "forgotten":
        person = job.request.requester.person
        await books.database.write(lambda tx: erasing.begin(tx, person, NOW))
    found = await books.database.read(lambda conn: desk_services.load(conn, "luma", None))
    assert found.failure is not None
    assert (found.failure.job_id, found.failure.sentence) == (job.id, "")


# ---- moderation --------------------------------------------------------------------------------


async def test_a_place_moderates_what_is_its_own(books: Books) -> None:
    mine = await books.reach(S.DELIVERED)
    theirs = await elsewhere(books, await books.reach(S.DELIVERED))
    waits = await books.move(await books.reach(S.FETCHING), S.REVIEWING)

    def fill(tx: Tx) -> None:
        for at, job in enumerate((mine, theirs)):
            when = NOW + timedelta(minutes=at)
            complaints.note(tx, job.id, f"{HERE}:eve", "It is me.", when)
        complaints.decide(tx, mine.id, "kept", by="mod", now=NOW)
        for person in (f"{HERE}:bo", f"{THERE}:bo", "recording:local2:bo"):
            settings.block(tx, person, until=None, reason="rude", now=NOW)
            settings.write_audit(
                tx, NOW, actor="mod", act="block", target=person, detail="50% rude"
            )
        settings.write_audit(tx, NOW, actor="Mod", act="delete", target=theirs.id, detail="")
        settings.write_audit(tx, NOW, actor="eve", act="pause", target=HERE, detail="")

    await books.database.write(fill)

    def log(conn: Connection, tenant: str | None, **words: str) -> list[str]:
        lines = settings.audit(conn, tenant, AuditSearch(**words), limit=9)
        return [each.target for each in lines]

    def check(conn: Connection) -> None:
        reported = desk_moderation.reported
        assert [each.job_id for each in reported(conn, None, 9)] == [theirs.id, mine.id]
        [own] = reported(conn, HERE, 9)
        assert (own.job_id, own.outcome, own.decided_by) == (mine.id, "kept", "mod")
        assert [each.job_id for each in desk_moderation.held_back(conn, HERE, 9)] == [waits.id]
        assert desk_moderation.held_back(conn, THERE, 9) == []
        [blocked] = settings.blocked_in(conn, HERE, NOW, 9)
        assert blocked.person == f"{HERE}:bo"
        assert len(settings.blocked_in(conn, None, NOW, 9)) == 3
        assert log(conn, HERE) == [HERE, f"{HERE}:bo"]
        assert log(conn, THERE) == [theirs.id, f"{THERE}:bo"]
        assert len(log(conn, None)) == 5
        assert log(conn, None, actor="mod", act="del") == [theirs.id]
        assert log(conn, None, target="%") == log(conn, None, target="_") == []

    await books.database.read(check)


async def test_a_notice_of_one_model_is_over_only_once_that_model_is_taken(books: Books) -> None:
    """What is of the whole service is over with whatever it takes."""
    retired = ProviderRetired(provider="luma")
    keys = {
        "the model": settings.closed_key(retired, NOW, "ray-2"),
        "the address": settings.closed_key(retired, NOW),
        "the key": settings.closed_key(ProviderAuthError(provider="luma"), NOW),
        "another": settings.closed_key(ProviderRetired(provider="fal"), NOW, "ray-2"),
    }

    def fill(tx: Tx) -> None:
        for sentence, key in keys.items():
            settings.note_operator(tx, key, sentence, NOW)

    async def over() -> dict[str, datetime | None]:
        told = await books.database.read(lambda conn: desk_moderation.told(conn, 9))
        return {each.sentence: each.over_at for each in told}

    await books.database.write(fill)
    first, again = (NOW + timedelta(minutes=each) for each in (1, 2))
    await books.reach(S.GENERATING, at=first, model="ray-flash-2")
    one = {"the model": None, "the address": first, "the key": first, "another": None}
    assert await over() == one
    await books.reach(S.SUBMITTING, at=first, model="ray-2")
    assert await over() == one
    await books.reach(S.GENERATING, at=again, model="ray-2")
    assert await over() == {**one, "the model": again}
