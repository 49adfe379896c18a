"""Usage by person, tenant, model and day adds up to the same, and names only what ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.job import JobState
from bot.overview import UsageRow
from bot.refs import GenerationId
from bot.store import ledger, reports, settings
from bot.store.reports import Grouping
from tests.bot.store.conftest import NOW, Books

S = JobState
DAY = timedelta(days=1)


async def read(
    books: Books,
    by: Grouping = "person",
    *,
    start: datetime = NOW - 30 * DAY,
    end: datetime = NOW + DAY,
    timezone: str = "UTC",
) -> list[UsageRow]:
    return await books.database.read(
        lambda conn: reports.usage(conn, start, end, by=by, timezone=timezone)
    )


async def fill(books: Books) -> None:
    """Two people, two models, three days, and every way to end or not to."""
    await books.reach(S.DELIVERED, micros=100)
    await books.reach(S.DELIVERED, micros=30, at=NOW - DAY, model="ray-2")
    await books.reach(S.GENERATING, micros=500)
    await books.end(await books.reach(S.SUBMITTING), charged=70, at=NOW)
    await books.end(await books.received(user="bo", at=NOW - 2 * DAY), code=ledger.REFUSED)
    await books.end(await books.reach(S.ACCEPTED, user="bo"), S.CANCELLED)


async def test_each_group_is_counted_as_a_persons_own_usage_is(books: Books) -> None:
    await fill(books)
    rows = await read(books)
    start, end = NOW - 30 * DAY, NOW + DAY
    assert rows == await books.database.read(lambda conn: ledger.usage(conn, start, end))
    [ana, bo] = rows
    assert (ana.asked, ana.delivered, ana.refused, ana.failed) == (4, 2, 0, 1)
    assert (ana.seconds, ana.charged) == (10.0, 200)
    assert (bo.asked, bo.delivered, bo.refused, bo.failed) == (2, 0, 1, 0)
    assert (bo.seconds, bo.charged) == (0.0, 0)


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("person", ["recording:local:ana", "recording:local:bo"]),
        ("tenant", ["recording:local"]),
        ("model", ["ray-2", "ray-flash-2"]),
        ("day", ["2026-11-20", "2026-11-21", "2026-11-22"]),
    ],
)
async def test_every_grouping_adds_up_to_the_same(
    books: Books, by: Grouping, labels: list[str]
) -> None:
    await fill(books)
    rows = await read(books, by)
    assert [row.label for row in rows] == labels
    everything = reports.total(rows)
    assert (everything.asked, everything.delivered) == (6, 2)
    assert (everything.refused, everything.failed) == (1, 1)
    assert (everything.seconds, everything.charged) == (10.0, 200)


async def test_a_day_is_one_of_the_time_zone(books: Books) -> None:
    """The clocks of Berlin went back on 25 October, a day of 25 hours."""
    for hour in (21, 22, 23):
        await books.received(at=datetime(2026, 10, 24, hour, 30, tzinfo=UTC))
    await books.received(at=datetime(2026, 10, 25, 22, 30, tzinfo=UTC))
    await books.received(at=datetime(2026, 10, 25, 23, 30, tzinfo=UTC))
    by_day = {row.label: row.asked for row in await read(books, "day", timezone="Europe/Berlin")}
    assert by_day == {"2026-10-24": 1, "2026-10-25": 3, "2026-10-26": 1}
    by_day = {row.label: row.asked for row in await read(books, "day")}
    assert by_day == {"2026-10-24": 3, "2026-10-25": 2}


async def test_a_period_has_its_first_moment_and_not_its_last(books: Books) -> None:
    for at in (NOW - timedelta(seconds=1), NOW, NOW + DAY):
        await books.received(at=at)
    [row] = await read(books, start=NOW, end=NOW + DAY)
    assert row.asked == 1
    assert await read(books, start=NOW + 2 * DAY, end=NOW + 3 * DAY) == []


async def test_many_rows_add_up(books: Books) -> None:
    job = await books.reach(S.DELIVERED)
    columns = (
        "state, version, adapter, tenant, channel, person, prompt, request, model, attempt, tries,"
        " broken, faults, created_at, cost, is_test, list_price, provider_cost, seconds, crashes,"
        " cancel_requested, accepted_at, ended_at"
    )
    await books.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
        f"INSERT INTO jobs (id, dedupe_key, {columns}) "
        f"SELECT 'r-' || i, 'k' || i, {columns} FROM jobs, n WHERE id = :id",
        id=job.id,
    )
    [row] = await read(books)
    assert (row.asked, row.delivered, row.charged) == (2501, 2501, 250_100)


async def test_only_what_still_generates_and_was_told_of_is_lost(books: Books) -> None:
    jobs = [await books.reach(S.GENERATING) for _ in range(3)]
    fetched = await books.reach(S.FETCHING)
    for job in (jobs[0], jobs[1], fetched):
        key = f"{reports.MISSING}{job.generation_id}"
        await books.database.write(
            lambda tx, key=key: settings.note_operator(tx, key, "Gone.", NOW)  # type: ignore[misc]
        )
    await books.end(jobs[1])
    assert await books.database.read(reports.lost) == [
        (jobs[0].id, GenerationId(f"g-{jobs[0].id}"))
    ]
