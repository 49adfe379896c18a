"""What is remembered for people, places and jobs, and forgotten again."""

from __future__ import annotations

from datetime import timedelta

from bot.job import JobState
from bot.store import settings
from tests.bot.store.conftest import NOW, Books

SCOPES = "SELECT scope FROM settings ORDER BY scope"


async def test_who_takes_everything_back_leaves_no_row(books: Books) -> None:
    write, read = books.database.write, books.database.read
    person = "recording:local:ana"
    await write(lambda tx: settings.choose(tx, person, {"loop": "true", "model": "ray-2"}))
    left = await write(lambda tx: settings.choose(tx, person, {"loop": ""}))
    assert left == {"model": "ray-2"}
    assert await write(lambda tx: settings.choose(tx, person, {"model": ""})) == {}
    assert await books.rows(SCOPES) == []
    assert await read(lambda conn: settings.chosen(conn, person)) == {}
    await write(lambda tx: settings.choose(tx, person, {"loop": ""}))
    assert await books.rows(SCOPES) == []


async def test_what_was_kept_for_a_job_goes_some_time_after_its_end(books: Books) -> None:
    done = await books.reach(JobState.DELIVERED, at=NOW)
    cancelled = await books.end(await books.received(), JobState.CANCELLED, at=NOW)
    late = await books.end(await books.received(), at=NOW + timedelta(days=1))
    waiting = await books.reach(JobState.ACCEPTED)
    for scope in (
        *(settings.job_scope(job.id) for job in (done, cancelled, late, waiting)),
        "adapter:discord",
        "recording:local:job:",
    ):
        await books.database.write(lambda tx: settings.choose(tx, scope, {"thread": "7"}))  # noqa: B023 - awaited here
    before, after = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    assert await books.database.write(lambda tx: settings.forget_ended(tx, before)) == 0
    assert await books.database.write(lambda tx: settings.forget_ended(tx, after)) == 2
    kept = {settings.job_scope(late.id), settings.job_scope(waiting.id)}
    assert {scope for (scope,) in await books.rows(SCOPES)} == {
        "adapter:discord",
        "recording:local:job:",
        *kept,
    }


async def test_what_one_job_may_have_is_had_by_no_other(books: Books) -> None:
    one, other = [settings.job_scope((await books.received()).id) for _ in range(2)]

    async def claim(scope: str, value: str) -> bool:
        return await books.database.write(lambda tx: settings.claim(tx, scope, "thread", value))

    assert await claim(one, "71")
    assert await claim(one, "71")
    assert not await claim(other, "71")
    assert await claim(other, "7")
    await books.database.write(lambda tx: settings.choose(tx, one, {"asked": "8_"}))
    assert not await claim(other, "8_")
    assert await claim(other, "81")
