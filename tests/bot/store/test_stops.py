"""Who may start nothing now, on every database."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from bot.job import Job
from bot.job import JobState as S
from bot.refs import JobId
from bot.store import jobs, places, settings, stops
from tests.bot.store.conftest import NOW, Books


async def next_of(books: Books) -> list[JobId]:
    found = await books.database.read(
        lambda conn: jobs.waiting(
            conn, "luma", NOW + timedelta(hours=1), slots=9, busy=0, unless=stops.is_paused()
        )
    )
    return [each.job_id for each in found]


async def pause(books: Books, tenant: str, *, is_over: bool = False) -> None:
    at = None if is_over else NOW
    await books.database.write(
        lambda tx: places.pause(tx, tenant, at=at, by="ada", message="" if is_over else "Noon.")
    )


async def why(books: Books, job: Job) -> str | None:
    return await books.database.read(lambda conn: stops.why_paused(conn, job))


@pytest.mark.parametrize("is_everywhere", [False, True])
async def test_what_is_paused_is_not_next_and_says_why(books: Books, is_everywhere: bool) -> None:
    job = await books.reach(S.ACCEPTED)
    here = places.EVERYWHERE if is_everywhere else job.request.requester.tenant
    assert (await next_of(books), await why(books, job)) == ([job.id], None)
    await pause(books, here)
    assert (await next_of(books), await why(books, job)) == ([], "Noon.")
    assert await books.database.read(stops.paused) == {here}
    for tenants, provider, told in (
        ({here}, "luma", [job.id]),
        ({here}, "fal", []),
        ({"other:place"}, "luma", []),
    ):
        found = await books.database.read(
            partial(stops.in_line, tenants=tenants, provider=provider)
        )
        assert found == told
    await pause(books, here, is_over=True)
    assert (await next_of(books), await why(books, job)) == ([job.id], None)


async def test_a_block_holds_until_its_end_and_takes_what_was_not_begun(books: Books) -> None:
    waiting, running = await books.reach(S.ACCEPTED), await books.reach(S.GENERATING)
    person, until = waiting.request.requester.person, NOW + timedelta(days=1)
    await books.database.write(
        lambda tx: settings.block(tx, person, until=until, reason="", now=NOW)
    )
    for at, is_held in ((NOW, True), (until + timedelta(seconds=1), False)):
        held = await books.database.read(partial(stops.is_blocked, job=running, now=at))
        assert held is is_held
    found = await books.database.read(lambda conn: stops.unstarted(conn, person))
    assert [each.id for each in found] == [waiting.id]
