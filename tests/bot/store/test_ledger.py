"""Money is held once, settled or released once, and every lie in the books is found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.errors import QuotaExceeded, Stale, StoreError
from bot.job import Job, JobState
from bot.limits import LIMITS
from bot.quota import Used
from bot.store import allowances, integrity, ledger, settings, timeline
from bot.store.transaction import Tx
from bot.tables import LimitsTable
from tests.bot.store.conftest import NO_MONEY, NOW, UNLIMITED, Books, to_plan
from tests.fakes import to_request, to_requester

S = JobState
DAY = timedelta(days=1)


def to_limits(**values: Any) -> LimitsTable:
    return LimitsTable.model_validate({**NO_MONEY, **values})


# ---- hold, settle, release --------------------------------------------------------------------


async def test_accepting_holds_once(books: Books) -> None:
    received = await books.received()
    job = await books.accept(received, 150)
    assert (job.state, job.cost, job.accepted_at) == (S.ACCEPTED, 150, NOW)
    assert await books.entries(job) == [("hold", 150)]
    with pytest.raises(Stale):
        await books.accept(received, 150)
    assert await books.entries(job) == [("hold", 150)]
    assert await books.broken() == {}


async def test_a_refused_job_leaves_nothing_in_the_books(books: Books) -> None:
    job = await books.received()
    with pytest.raises(QuotaExceeded):
        await books.accept(job, 150, limits=to_limits(usd_per_person_per_day=0))
    assert await books.get(job.id) == job
    assert await books.entries(job) == []
    assert await books.database.read(settings.untold) == []


@pytest.mark.parametrize(
    ("charged", "cost", "entry"),
    [
        (None, 0, ("release", 150)),
        (0, 0, ("settle", 0)),
        (100, 100, ("settle", 100)),
        (150, 150, ("settle", 150)),
        (999, 150, ("settle", 150)),
    ],
)
async def test_a_hold_ends_in_one_entry_never_above_it(
    books: Books, charged: int | None, cost: int, entry: tuple[str, int]
) -> None:
    job = await books.reach(S.GENERATING, micros=150)
    ended = await books.end(job, charged=charged)
    assert (ended.cost, ended.ended_at, ended.next_at) == (cost, NOW, None)
    assert await books.entries(job) == [("hold", 150), entry]
    assert await books.broken() == {}


async def test_what_was_never_accepted_ends_without_entries(books: Books) -> None:
    job = await books.end(await books.received(), S.CANCELLED)
    assert (job.state, job.cost) == (S.CANCELLED, 0)
    assert await books.entries(job) == []
    assert await books.broken() == {}


@pytest.mark.parametrize("state", [S.RECEIVED, S.GENERATING])
async def test_a_job_ends_once(books: Books, state: JobState) -> None:
    job = await books.reach(state)
    ended = await books.end(job, S.CANCELLED)
    for known in (job, ended):
        with pytest.raises(Stale):
            await books.end(known, S.FAILED, charged=100)
    assert await books.get(job.id) == ended
    assert await books.broken() == {}


async def test_a_test_clip_holds_and_costs_nothing(books: Books) -> None:
    job = await books.reach(S.DELIVERED, micros=150, is_test=True)
    assert job.cost == 0
    assert await books.entries(job) == [("hold", 0), ("settle", 0)]
    start = NOW - DAY
    person = job.request.requester.person
    worth = await books.database.read(lambda conn: ledger.test_use(conn, person, start))
    assert worth == (1, 150)
    assert await books.broken() == {}


async def test_an_ended_job_is_put_aside_no_more(books: Books) -> None:
    job = await books.change(await books.reach(S.GENERATING), parked_at=NOW)
    assert (await books.end(job)).parked_at is None


async def test_the_database_itself_refuses_a_second_ending(books: Books) -> None:
    job = await books.reach(S.DELIVERED)
    for kind in ("release", "settle", "hold"):
        with pytest.raises(Exception, match=r"(?i)unique"):
            await books.sql(
                "INSERT INTO ledger_entries (job_id, kind, micros, at, closes) "
                "VALUES (:id, :kind, 1, '2026-11-22', :id)",
                id=job.id,
                kind=kind,
            )


# ---- what was used ----------------------------------------------------------------------------


async def used(books: Books, limits: LimitsTable, job: Job) -> Used:
    requester, channel = job.request.requester, job.request.thread.channel
    return await books.database.read(
        lambda conn: allowances.used(conn, requester, channel, limits, NOW)
    )


EVERY = {limit.key: 99 for limit in LIMITS}


async def test_a_limit_that_only_a_channel_has_is_held_to(books: Books) -> None:
    """What counts is read with what was set in chat, before anybody knows what must be counted."""
    scope = settings.rules_scope("recording:local", "general")
    only_one = {"limit.clips_per_channel_per_day": "1"}
    await books.database.write(lambda tx: settings.choose(tx, scope, only_one))
    await books.accept(await books.received())
    with pytest.raises(QuotaExceeded, match="channel"):
        await books.accept(await books.received(user="ben"))
    await books.accept(await books.received(user="ben", channel="other"))


async def test_what_is_accepted_outright_has_the_same_books(books: Books) -> None:
    request = to_request(key="outright")
    plan = to_plan(request, 70)

    def start(tx: Tx) -> tuple[Job, bool]:
        return ledger.start(tx, request, plan, UNLIMITED, NOW, retry_of=None)

    job, is_new = await books.database.write(start)
    assert (is_new, job.state, job.version, job.cost) == (True, S.ACCEPTED, 2, 70)
    assert [state for _, state in await books.database.read(lambda c: timeline.of(c, job.id))] == [
        "received",
        "accepted",
    ]
    again, is_new = await books.database.write(start)
    assert (again, is_new) == (job, False)
    assert await books.entries(job) == [("hold", 70)]
    assert await books.broken() == {}


async def test_each_limit_counts_what_it_names(books: Books) -> None:
    mine = await books.reach(S.GENERATING, micros=1)
    await books.reach(S.DELIVERED, micros=10)
    await books.end(await books.reach(S.GENERATING, micros=100), charged=None)
    await books.end(await books.reach(S.GENERATING, micros=1000), charged=700)
    await books.received()
    await books.reach(S.GENERATING, user="ben", micros=20)
    await books.reach(S.DELIVERED, micros=3000, at=NOW - DAY)
    await books.reach(S.DELIVERED, micros=50_000, at=NOW - 40 * DAY)
    await books.accept(await books.received(channel="art"), 5)
    assert await used(books, to_limits(**EVERY), mine) == {
        "running_per_person": 2,
        "clips_per_person_per_day": 4,
        "clips_per_person_per_month": 5,
        "usd_per_person_per_day": 716,
        "usd_per_person_per_month": 3716,
        "running_per_channel": 2,
        "clips_per_channel_per_day": 4,
        "clips_per_channel_per_month": 5,
        "usd_per_channel_per_day": 731,
        "usd_per_channel_per_month": 3731,
        "running_per_tenant": 3,
        "clips_per_tenant_per_day": 5,
        "clips_per_tenant_per_month": 6,
        "usd_per_tenant_per_day": 736,
        "usd_per_tenant_per_month": 3736,
        "usd_total_per_month": 3736,
    }


@pytest.mark.parametrize("key", sorted(EVERY))
async def test_each_limit_alone_refuses_what_would_pass_it(books: Books, key: str) -> None:
    limits = to_limits(**{key: 1})
    hold = 600_000 if key.startswith("usd") else 0
    await books.accept(await books.received(), hold, limits=limits)
    with pytest.raises(QuotaExceeded) as refused:
        await books.accept(await books.received(), hold, limits=limits)
    assert refused.value.limit == key


async def test_a_limit_that_is_not_set_is_not_counted(books: Books) -> None:
    job = await books.reach(S.GENERATING)
    assert await used(books, UNLIMITED, job) == {}


async def test_yesterday_ends_at_midnight_of_the_place(books: Books) -> None:
    """Noon UTC is 17:45 in Kathmandu, whose day began at 18:15 UTC."""
    job = await books.reach(S.DELIVERED, micros=1, at=NOW - timedelta(hours=17, minutes=44))
    await books.reach(S.DELIVERED, micros=10, at=NOW - timedelta(hours=17, minutes=46))
    there = to_limits(timezone="Asia/Kathmandu", usd_per_person_per_day=9)
    assert (await used(books, there, job))["usd_per_person_per_day"] == 1
    here = to_limits(usd_per_person_per_day=9)
    assert (await used(books, here, job))["usd_per_person_per_day"] == 0


async def test_what_is_given_back_can_be_spent_again(books: Books) -> None:
    limits = to_limits(usd_per_person_per_day=0.0002, running_per_person=2)
    first = await books.accept(await books.received(), 120, limits=limits)
    with pytest.raises(QuotaExceeded, match=r"of your \$.* for today"):
        await books.accept(await books.received(), 120, limits=limits)
    await books.end(first, charged=60)
    await books.accept(await books.received(), 120, limits=limits)
    await books.accept(await books.received(), 20, limits=limits)
    with pytest.raises(QuotaExceeded, match="running at once"):
        await books.accept(await books.received(), 0, limits=limits)


# ---- usage ------------------------------------------------------------------------------------


async def some_history(books: Books) -> None:
    await books.reach(S.DELIVERED, micros=10)
    await books.reach(S.DELIVERED, micros=20)
    await books.end(await books.received(), code=ledger.REFUSED)
    await books.end(await books.reach(S.GENERATING), code="moderation")
    await books.end(await books.reach(S.GENERATING, micros=40), charged=40, code="kept")
    await books.end(await books.reach(S.ACCEPTED), S.CANCELLED)
    await books.reach(S.GENERATING, micros=80)
    await books.reach(S.DELIVERED, micros=1000, at=NOW - DAY)
    await books.reach(S.DELIVERED, micros=1, user="ben")


async def test_usage_is_a_row_for_each_person(books: Books) -> None:
    await some_history(books)
    start = NOW.replace(hour=0)
    ana, ben = await books.database.read(lambda conn: ledger.usage(conn, start, start + DAY))
    assert (ana.label, ben.label) == ("recording:local:ana", "recording:local:ben")
    assert (ana.asked, ana.delivered, ana.refused, ana.failed) == (7, 2, 1, 2)
    assert (ana.seconds, ana.charged) == (10.0, 70)
    assert (ben.asked, ben.delivered, ben.seconds, ben.charged) == (1, 1, 5.0, 1)


async def test_a_report_tells_today_this_month_and_what_is_left(books: Books) -> None:
    await some_history(books)
    limits = to_limits(usd_per_person_per_day=1, running_per_person=5)
    report = await books.database.read(
        lambda conn: ledger.report(conn, to_requester(), "general", limits, NOW)
    )
    assert (report.today.label, report.today.asked, report.today.charged) == ("today", 7, 70)
    assert (report.month.label, report.month.asked, report.month.charged) == (
        "this month",
        8,
        1070,
    )
    assert [(each.name, each.used, each.allowed) for each in report.allowances] == [
        ("clips running at once", 1, 5),
        ("your budget per day", 150, 1_000_000),
    ]


async def test_a_report_of_nothing_is_zeros(books: Books) -> None:
    report = await books.database.read(
        lambda conn: ledger.report(conn, to_requester(), "general", UNLIMITED, NOW)
    )
    assert (report.today.asked, report.month.asked, report.test_clips) == (0, 0, 0)
    assert report.allowances == ()


# ---- half, most, all of a budget --------------------------------------------------------------


async def test_each_share_of_a_budget_is_told_once_a_month(books: Books) -> None:
    limits = to_limits(usd_total_per_month=0.001)

    async def told() -> list[str]:
        notices = await books.database.read(settings.untold)
        return [each.sentence.split(" %")[0] for each in notices]

    async def hold(micros: int, days: int = 0) -> Job:
        at = NOW + days * DAY
        return await books.accept(await books.received(at=at), micros, limits=limits, at=at)

    await hold(400)
    assert await told() == []
    second = await hold(100)
    assert await told() == ["50"]
    await hold(300)
    assert await told() == ["50", "80"]
    await books.end(second)
    await hold(100)
    assert await told() == ["50", "80"], "80 % was told already"
    await hold(200)
    assert await told() == ["50", "80", "100"]
    await hold(900, days=20)
    assert await told() == ["50", "80", "100", "80"], "a new month, and only the highest"


async def test_a_place_has_its_own_budget_notice(books: Books) -> None:
    limits = to_limits(usd_per_tenant_per_month=0.001, usd_total_per_month=1)
    await books.accept(await books.received(), 1000, limits=limits)
    [notice] = await books.database.read(settings.untold)
    assert notice.sentence == (
        "100 % of the month's budget of $0.001 for recording:local is used or held ($0.001)."
    )


async def test_a_request_that_is_told_twice_counts_once_for_the_budget(books: Books) -> None:
    """What holds nothing, since its job is there already, tells the operator nothing."""
    limits, request = to_limits(usd_total_per_month=0.001), to_request(key="same")
    plan = to_plan(request, 300)
    for is_first in (True, False):
        _, is_new = await books.database.write(
            lambda tx: ledger.start(tx, request, plan, limits, NOW, retry_of=None)
        )
        assert is_new is is_first
    assert await books.database.read(settings.untold) == []


# ---- what must always be true -----------------------------------------------------------------

#: How each rule is broken, on a delivered job (:id) with a second one (:other) beside it.
PLANTED = {
    "a grant is of money and ends after it began": [
        'INSERT INTO grants (person, micros, at, until, "by") '
        "SELECT :id, 0, '2026-11-22 12:00:00', '2026-11-23 12:00:00', 'ana' WHERE 1 = 1"
    ],
    "every accepted job has a hold": ["DELETE FROM ledger_entries WHERE job_id = :id"],
    "a job with a hold is settled or released once: at its end, or before it was reviewed": [
        "DELETE FROM ledger_entries WHERE job_id = :id AND kind = 'settle'"
    ],
    "a job's cost is what its entries say": ["UPDATE jobs SET cost = cost + 1 WHERE id = :id"],
    "nothing is settled above its hold": [
        "UPDATE ledger_entries SET micros = 101 WHERE job_id = :id AND kind = 'settle'"
    ],
    "nothing is charged without a generation": [
        "UPDATE jobs SET generation_id = NULL WHERE id = :id"
    ],
    "a generation belongs to one job": [
        "UPDATE attempts SET generation_id = 'stolen' WHERE job_id IN (:id, :other)"
    ],
    "a delivered job names its message": ["UPDATE jobs SET message = NULL WHERE id = :id"],
    "the timeline ends in the job's state": ["UPDATE jobs SET state = 'failed' WHERE id = :id"],
    "every move was a legal one": [
        "UPDATE job_events SET from_state = 'received' WHERE job_id = :id AND version = 7"
    ],
    "versions only grow": [
        "UPDATE job_events SET version = 20 WHERE job_id = :id AND version = 3"
    ],
}


def test_every_rule_is_tried() -> None:
    assert set(PLANTED) == set(integrity.INVARIANTS)


@pytest.mark.parametrize("rule", PLANTED)
async def test_a_lie_in_the_books_is_found(books: Books, rule: str) -> None:
    job, other = await books.reach(S.DELIVERED), await books.reach(S.DELIVERED)
    assert await books.broken() == {}
    for statement in PLANTED[rule]:
        await books.sql(statement + " AND :other = :other", id=job.id, other=other.id)
    found = await books.broken()
    assert found.get(rule) in ([job.id], [min(job.id, other.id)])


async def test_an_open_job_that_was_charged_is_found(books: Books) -> None:
    job = await books.reach(S.GENERATING)
    await books.sql(
        "INSERT INTO ledger_entries (job_id, kind, micros, at, closes) "
        "VALUES (:id, 'settle', 100, '2026-11-22', :id)",
        id=job.id,
    )
    assert list(await books.broken()) == [
        "a job with a hold is settled or released once: at its end, or before it was reviewed"
    ]


async def test_a_move_out_of_an_end_is_found(books: Books) -> None:
    job = await books.reach(S.DELIVERED)
    await books.sql(
        "INSERT INTO job_events (job_id, at, from_state, to_state, version) "
        "VALUES (:id, '2026-11-22', 'delivered', 'delivering', 99)",
        id=job.id,
    )
    assert {"every move was a legal one", "the timeline ends in the job's state"} == set(
        await books.broken()
    )


async def test_honest_books_of_every_kind_of_end_are_whole(books: Books) -> None:
    await some_history(books)
    for state in (S.RECEIVED, S.ACCEPTED, S.SUBMITTING, S.FETCHING, S.DELIVERING):
        await books.reach(state)
    await books.move(await books.reach(S.SUBMITTING), S.UNCERTAIN)
    assert await books.broken() == {}


async def test_books_that_cannot_be_read_are_not_well(books: Books) -> None:
    """Nothing is spent by a bot that cannot write down what it does."""
    received = await books.received()
    await books.sql("DROP TABLE job_events")
    with pytest.raises(StoreError, match="job_events"):
        await books.broken()
    with pytest.raises(StoreError, match="job_events"):
        await books.accept(received)
    assert await books.get(received.id) == received
    assert await books.entries(received) == []
