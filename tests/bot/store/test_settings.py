"""What is remembered for people, places and jobs, and forgotten again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from bot.job import JobState
from bot.refs import JobId
from bot.store import erasing, settings
from bot.store.transaction import Tx
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
    one, other = [(await books.received()).id for _ in range(2)]

    async def claim(job_id: JobId, value: str, name: str = "thread") -> bool:
        return await books.database.write(lambda tx: settings.claim(tx, job_id, name, value))

    assert await claim(one, "71")
    assert await claim(one, "71")
    assert not await claim(other, "71")
    assert await claim(other, "7")
    assert await claim(one, "8_", "asked")
    assert not await claim(other, "8_")
    assert await claim(other, "81")


async def test_what_one_job_had_is_free_once_it_is_forgotten(books: Books) -> None:
    late = await books.end(await books.received(), at=NOW + timedelta(days=1))
    done, erased = [await books.end(await books.received(), at=NOW) for _ in range(2)]
    write = books.database.write
    for job, value in ((late, "1"), (done, "2"), (erased, "3")):
        assert await write(lambda tx: settings.claim(tx, job.id, "thread", value))  # noqa: B023 - awaited here
    # It answers in a thread that another one opened, which stays that one's.
    await write(lambda tx: settings.choose(tx, settings.job_scope(erased.id), {"asked": "1"}))
    await write(lambda tx: erasing.blank(tx, erased.id, NOW, is_gone=False))
    assert [scope for (scope,) in await books.rows(SCOPES) if "claim" in scope] == [
        *("claim:1", "claim:2")
    ]
    assert await write(lambda tx: settings.forget_ended(tx, NOW + timedelta(hours=1))) == 2
    kept = ["claim:1", settings.job_scope(late.id)]
    assert [scope for (scope,) in await books.rows(SCOPES)] == kept


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_whose_something_is_is_found_without_a_look_at_all_jobs(books: Books) -> None:
    first, second = [(await books.received()).id for _ in range(2)]
    ran: list[tuple[str, Any]] = []

    def look(tx: Tx) -> list[str]:
        event.listen(tx.conn, "before_cursor_execute", lambda *given: ran.append(given[2:4]))
        for job_id in (first, first, second):
            settings.claim(tx, job_id, "thread", "7")
        plans = [
            tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in [*ran]
        ]
        return [str(row[3]) for plan in plans for row in plan]

    by_key = "SEARCH settings USING INDEX sqlite_autoindex_settings_1 (scope=?)"
    assert set(await books.database.write(look)) == {by_key}
