"""What a watcher takes up at its start, and how long it took lately."""

from __future__ import annotations

from datetime import timedelta

from bot.job import Failure, UnderWay
from bot.job import JobState as S
from bot.refs import GenerationId
from bot.store import under_way
from tests.bot.store.conftest import NOW, Books

SECOND = timedelta(seconds=1)


async def test_what_runs_is_watched_until_it_failed(books: Books) -> None:
    runs = await books.reach(S.GENERATING)
    failed = await books.reach(S.GENERATING)
    await books.change(failed, provider_failure=Failure(code="service", sentence="No."))
    await books.reach(S.FETCHING)
    later = await books.reach(S.GENERATING)
    ids = {runs.generation_id, later.generation_id}

    async def read(known: set[GenerationId]) -> tuple[set[GenerationId], list[UnderWay]]:
        return await books.database.read(lambda conn: under_way.generating(conn, "luma", known))

    found, every = await read(set())
    assert (found, {job.id for job in every}) == (ids, {runs.id, later.id})
    assert runs.generation_id is not None
    [new] = (await read({runs.generation_id}))[1]
    assert (new.work, new.submitted_at) == (later.work, later.submitted_at)
    assert new.generation_id == later.generation_id
    assert await read(found) == (ids, [])


async def test_the_last_durations_are_told_oldest_first(books: Books) -> None:
    for number in range(4):
        job = await books.reach(S.GENERATING, at=NOW + number * SECOND)
        done = job.submitted_at and job.submitted_at + (10 + number) * SECOND
        await books.move(job, S.FETCHING, completed_at=done)
    found = await books.database.read(lambda conn: under_way.finished(conn, "luma", 3))
    assert [seconds for _, seconds in found] == [11, 12, 13]
