"""A job moves once, in order, and its row tells who is next, what is due and what is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from bot.errors import JobNotFound, Stale
from bot.job import MOVES, Failure, Job, JobState
from bot.refs import GenerationId, JobId, MessageRef, ThreadRef
from bot.store import attempts, jobs, timeline
from bot.store.transaction import Tx
from tests.bot.store.conftest import NOW, Books, step, to_submission
from tests.fakes import to_request

S = JobState
SECOND = timedelta(seconds=1)


# ---- a row for each request -------------------------------------------------------------------


async def test_a_request_makes_one_row_and_is_found_again(books: Books) -> None:
    request = to_request(key="same")
    first, is_new = await books.database.write(lambda tx: jobs.insert(tx, request, NOW))
    again, is_new_again = await books.database.write(
        lambda tx: jobs.insert(tx, to_request("another text", key="same"), NOW + SECOND)
    )
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert (first.state, first.version, first.request) == (S.RECEIVED, 1, request)
    assert await books.database.read(lambda conn: jobs.by_dedupe_key(conn, "same")) == first
    assert await books.database.read(lambda conn: jobs.by_dedupe_key(conn, "other")) is None


async def test_the_same_request_many_times_at_once_makes_one_row(books: Books) -> None:
    made = await asyncio.gather(*(books.received(key="same") for _ in range(20)))
    assert len({job.id for job in made}) == 1
    assert await books.rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_job_that_is_not_there_is_named(books: Books) -> None:
    with pytest.raises(JobNotFound, match="There is no job r-nothing"):
        await books.get(JobId("r-nothing"))


@pytest.mark.parametrize(
    "prompt", ["a fox 🦊", "雪の中の狐", 'back\\slash "quotes" \'n %s ; --', "tab\tand\nline", ""]
)
async def test_a_prompt_comes_back_as_it_was(books: Books, prompt: str) -> None:
    job = await books.received(prompt=prompt)
    assert (await books.get(job.id)).request.work.prompt == prompt


async def test_all_that_is_known_of_a_job_comes_back_equal(books: Books) -> None:
    job = await books.reach(S.DELIVERING)
    message = MessageRef(
        thread=ThreadRef(adapter="recording", workspace="local", channel="c", thread="t"),
        message="7",
    )
    failure = Failure(code="kept", sentence="Kept.")
    changed = await books.change(
        job,
        message=message,
        failure=failure,
        provider_failure=failure,
        next_at=NOW,
        parked_at=NOW,
        tries=3,
        cancel_requested=True,
        crashes=2,
    )
    assert await books.get(job.id) == changed
    assert (changed.message, changed.failure, changed.clip) == (message, failure, job.clip)
    assert changed.next_at == changed.parked_at == NOW
    assert changed.version == job.version + 1


# ---- moves ------------------------------------------------------------------------------------


async def test_a_step_that_runs_twice_writes_once(books: Books) -> None:
    job = await books.reach(S.ACCEPTED)
    moved = await books.database.write(lambda tx: step(tx, job, S.SUBMITTING))
    with pytest.raises(Stale):
        await books.database.write(lambda tx: step(tx, job, S.SUBMITTING))
    with pytest.raises(Stale):
        await books.move(job, S.FAILED)
    assert await books.get(job.id) == moved


async def test_of_many_at_once_one_wins(books: Books) -> None:
    job = await books.reach(S.ACCEPTED)
    told = await asyncio.gather(
        *(books.move(job, to) for to in (S.FAILED, S.CANCELLED, S.SUBMITTING) * 5),
        return_exceptions=True,
    )
    won = [each for each in told if isinstance(each, Job)]
    assert len(won) == 1
    assert all(isinstance(each, Stale) for each in told if each is not won[0])
    assert (await books.get(job.id)).state is won[0].state


async def test_a_change_needs_the_version_it_was_decided_on(books: Books) -> None:
    job = await books.received()
    await books.change(job, tries=1)
    with pytest.raises(Stale):
        await books.change(job, tries=2)
    assert (await books.get(job.id)).tries == 1


@pytest.mark.parametrize("state", [S.RECEIVED, S.ACCEPTED, S.GENERATING, S.DELIVERED])
async def test_only_legal_moves_are_made(books: Books, state: JobState) -> None:
    job = await books.reach(state)
    for to in set(JobState) - MOVES[state]:
        with pytest.raises(Stale, match=f"cannot go from {state} to {to}"):
            await books.move(job, to)
    assert await books.get(job.id) == job


async def test_a_move_starts_its_counts_again(books: Books) -> None:
    job = await books.reach(S.FETCHING)
    job = await books.change(job, tries=4, crashes=2)
    moved = await books.database.write(lambda tx: step(tx, job, S.DELIVERING))
    assert (moved.tries, moved.crashes) == (0, 0)


async def test_a_generation_belongs_to_one_job(books: Books) -> None:
    first = await books.reach(S.GENERATING)
    second = await books.reach(S.SUBMITTING)
    assert first.generation_id is not None
    with pytest.raises(Stale, match="belongs to another job"):
        await books.move(second, S.GENERATING, generation_id=first.generation_id)


async def test_the_timeline_tells_every_move_once(books: Books) -> None:
    job = await books.received()
    job = await books.accept(job, at=NOW + SECOND)
    job = await books.change(job, tries=1)
    job = await books.move(job, S.CANCELLED, NOW + 2 * SECOND)
    assert await books.database.read(lambda conn: timeline.of(conn, job.id)) == (
        (NOW, "received"),
        (NOW + SECOND, "accepted"),
        (NOW + 2 * SECOND, "cancelled"),
    )


# ---- what is due ------------------------------------------------------------------------------


async def test_open_jobs_with_a_time_are_due(books: Books) -> None:
    due = await books.change(await books.reach(S.FETCHING), next_at=NOW)
    await books.reach(S.GENERATING)
    await books.change(await books.reach(S.DELIVERED), next_at=NOW)
    await books.change(await books.reach(S.FETCHING), next_at=NOW, parked_at=NOW)
    assert await books.database.read(jobs.due_times) == [(due.id, NOW)]


async def test_open_jobs_are_listed_oldest_first(books: Books) -> None:
    late = await books.reach(S.ACCEPTED, at=NOW + SECOND)
    early = await books.received(at=NOW)
    await books.reach(S.DELIVERED)
    assert await books.database.read(jobs.open_ids) == [early.id, late.id]
    assert await books.database.read(lambda conn: jobs.open_ids(conn, S.ACCEPTED)) == [late.id]


# ---- who is next ------------------------------------------------------------------------------


async def line_of(books: Books, per_person: int) -> list[tuple[str, str]]:
    rows = await books.database.read(
        lambda conn: jobs.waiting(
            conn, "luma", NOW + timedelta(minutes=1), slots=per_person, busy=50
        )
    )
    assert [row.seq for row in rows] == sorted(row.seq for row in rows)
    return [(row.person.rpartition(":")[2], row.job_id) for row in rows]


async def test_of_each_person_only_the_oldest_few_stand_in_line(books: Books) -> None:
    flood = [await books.reach(S.ACCEPTED, at=NOW + number * SECOND) for number in range(10)]
    ben = await books.reach(S.ACCEPTED, user="ben", at=NOW + 20 * SECOND)
    assert await line_of(books, 2) == [
        ("ana", flood[0].id),
        ("ana", flood[1].id),
        ("ben", ben.id),
    ]
    everyone = await books.database.read(lambda conn: jobs.line(conn, "luma"))
    assert [row.job_id for row in everyone] == [*(job.id for job in flood), ben.id]


async def test_who_may_not_go_now_does_not_stand_in_line(books: Books) -> None:
    ready = await books.change(await books.reach(S.ACCEPTED), next_at=NOW)
    later = await books.change(await books.reach(S.ACCEPTED), next_at=NOW + timedelta(hours=1))
    await books.change(await books.reach(S.ACCEPTED), admitted_at=NOW)
    await books.change(await books.reach(S.ACCEPTED), parked_at=NOW)
    await books.change(await books.reach(S.ACCEPTED), provider="other")
    await books.reach(S.SUBMITTING)
    await books.received()
    assert await line_of(books, 9) == [("ana", ready.id)]
    whole = await books.database.read(lambda conn: jobs.line(conn, "luma"))
    assert {row.job_id for row in whole} == {ready.id, later.id}


async def test_slots_are_counted_by_person(books: Books) -> None:
    old = NOW - timedelta(hours=1)
    await books.change(await books.reach(S.ACCEPTED), admitted_at=NOW)
    await books.reach(S.SUBMITTING)
    await books.reach(S.GENERATING, user="ben")
    await books.reach(S.GENERATING, user="ben", at=old)
    await books.move(await books.reach(S.SUBMITTING, user="cy"), S.UNCERTAIN)
    await books.reach(S.ACCEPTED, user="dee")
    await books.reach(S.FETCHING, user="eve")
    counted = await books.database.read(
        lambda conn: jobs.running(conn, "luma", NOW - timedelta(minutes=20))
    )
    assert counted == {
        "recording:local:ana": 2,
        "recording:local:ben": 1,
        "recording:local:cy": 1,
    }
    assert await books.database.read(lambda conn: jobs.running(conn, "other", old)) == {}


async def test_generations_of_others_are_known_even_after_a_second_attempt(books: Books) -> None:
    other = await books.reach(S.GENERATING)

    def try_again(tx: Tx) -> Job:
        waiting = jobs.move(tx, other, S.ACCEPTED, NOW, generation_id=None)
        return step(tx, waiting, S.SUBMITTING)

    await books.database.write(try_again)
    earlier = NOW - timedelta(hours=1)
    owned = await books.database.read(lambda conn: attempts.owned(conn, "luma", earlier))
    assert GenerationId(f"g-{other.id}") in owned
    later = NOW + timedelta(hours=1)
    assert not await books.database.read(lambda conn: attempts.owned(conn, "luma", later))


# ---- crashes ----------------------------------------------------------------------------------


async def test_a_job_that_was_in_hand_at_three_crashes_is_put_aside(books: Books) -> None:
    fetching = await books.reach(S.FETCHING)
    delivering = await books.reach(S.DELIVERING)
    waiting = await books.reach(S.ACCEPTED)
    for crash in (1, 2):
        parked = await books.database.write(lambda tx: jobs.count_crashes(tx, NOW, 3, only=None))
        assert parked == []
        assert (await books.get(fetching.id)).crashes == crash
    await books.database.write(
        lambda tx: step(tx, jobs.get(tx.conn, delivering.id), S.DELIVERED).id
    )
    assert await books.database.write(lambda tx: jobs.count_crashes(tx, NOW, 3, only=None)) == [
        fetching.id
    ]
    assert await books.database.write(lambda tx: jobs.count_crashes(tx, NOW, 3, only=None)) == []
    assert [job.id for job in await books.database.read(jobs.parked)] == [fetching.id]
    assert (await books.get(waiting.id)).crashes == 0
    with pytest.raises(Stale):
        await books.move(fetching, S.DELIVERING)


# ---- lists ------------------------------------------------------------------------------------


async def test_a_person_pages_through_their_own(books: Books) -> None:
    mine = [
        await books.received(prompt=f"clip {number}", at=NOW + number * SECOND)
        for number in range(jobs.PAGE + 3)
    ]
    await books.received(user="ben")
    person = mine[0].request.requester.person

    async def page(number: int) -> list[str]:
        found = await books.database.read(
            lambda conn: jobs.of_person(conn, person, search="", page=number)
        )
        return [job.id for job in found]

    newest_first = [job.id for job in reversed(mine)]
    assert await page(1) == newest_first[: jobs.PAGE]
    assert await page(2) == newest_first[jobs.PAGE :]
    assert await page(3) == []
    assert await page(0) == await page(-5) == await page(1)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("FOX", ["a red fox", "100% fox_like"]),
        ("%", ["100% fox_like"]),
        ("_", ["100% fox_like"]),
        ("'; DROP TABLE jobs --", []),
        ("/", ["and/or"]),
        ("", ["a red fox", "100% fox_like", "and/or"]),
    ],
)
async def test_a_search_is_taken_literally(books: Books, search: str, found: list[str]) -> None:
    for prompt in ("and/or", "100% fox_like", "a red fox"):
        await books.received(prompt=prompt, key=prompt)
    jobs_found = await books.database.read(
        lambda conn: jobs.of_person(conn, "recording:local:ana", search=search, page=1)
    )
    assert {job.request.work.prompt for job in jobs_found} == set(found)


# ---- forgetting -------------------------------------------------------------------------------


async def test_prompts_of_long_ended_jobs_are_forgotten_everywhere(books: Books) -> None:
    old, secret = NOW - timedelta(days=400), "my very secret wish"
    ended = await books.reach(S.DELIVERED, at=old, prompt=secret)
    refused = await books.end(await books.received(at=old, prompt=secret), at=old)
    running = await books.reach(S.GENERATING, at=old, prompt="still needed")
    recent = await books.reach(S.DELIVERED, prompt="still remembered")

    async def forget() -> int:
        before = NOW - timedelta(days=365)
        return await books.database.write(lambda tx: jobs.forget_prompts(tx, before))

    assert await forget() == 2
    assert await forget() == 0
    for table in ("jobs", "attempts"):
        rows = await books.rows(f"SELECT * FROM {table}")
        assert secret not in repr(rows)
    assert (await books.get(ended.id)).work.prompt == ""
    assert (await books.get(refused.id)).work.prompt == ""
    assert await books.get(running.id) == running
    assert await books.get(recent.id) == recent
    assert await books.broken() == {}
    assert (await books.get(ended.id)).cost == ended.cost


# ---- attempts ---------------------------------------------------------------------------------


async def test_an_attempt_keeps_what_was_sent_but_not_its_secret(books: Books) -> None:
    job = await books.reach(S.ACCEPTED)
    sent = to_submission(job, 1).model_copy(
        update={"callback_url": "https://example.org/callbacks/luma/secret", "has_callback": True}
    )
    await books.database.write(lambda tx: attempts.begin(tx, "luma", sent))
    kept = await books.database.read(lambda conn: attempts.get(conn, job.id, 1))
    assert kept is not None
    assert kept.submission == sent.model_copy(update={"callback_url": None})
    assert "secret" not in repr(await books.rows("SELECT * FROM attempts"))
    by_hash = await books.database.read(lambda conn: attempts.by_token_hash(conn, sent.token_hash))
    assert by_hash == kept
    assert await books.database.read(lambda conn: attempts.get(conn, job.id, 2)) is None
    assert await books.database.read(lambda conn: attempts.by_token_hash(conn, "no")) is None


async def test_absences_are_counted_while_an_attempt_is_open(books: Books) -> None:
    job = await books.reach(S.SUBMITTING)
    for count in (1, 2):
        assert (
            await books.database.write(lambda tx: attempts.count_absence(tx, job.id, 1)) == count
        )
    await books.database.write(lambda tx: attempts.finish(tx, job.id, 1, "absent"))
    with pytest.raises(Stale):
        await books.database.write(lambda tx: attempts.count_absence(tx, job.id, 1))
    assert await books.database.read(lambda conn: attempts.doubtful(conn, job.id)) == 1
    assert await books.database.read(lambda conn: attempts.generations(conn, job.id)) == 0


async def test_an_attempt_that_had_a_generation_keeps_it(books: Books) -> None:
    job = await books.reach(S.GENERATING)
    await books.database.write(lambda tx: attempts.finish(tx, job.id, 1, "refused"))
    kept = await books.database.read(lambda conn: attempts.get(conn, job.id, 1))
    assert kept is not None
    assert (kept.outcome, kept.generation_id) == ("refused", job.generation_id)
    assert await books.database.read(lambda conn: attempts.generations(conn, job.id)) == 1


async def test_two_jobs_cannot_adopt_one_generation(books: Books) -> None:
    first, second = await books.reach(S.GENERATING), await books.reach(S.SUBMITTING)
    assert first.generation_id is not None
    stolen = first.generation_id
    with pytest.raises(Stale):
        await books.database.write(lambda tx: attempts.adopt(tx, second, stolen, "adopted", NOW))
    assert await books.get(second.id) == second
    assert await books.broken() == {}
    assert replace(first) == await books.get(first.id)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_what_is_looked_for_among_all_jobs_is_found_by_an_index(books: Books) -> None:
    ran: list[tuple[str, Any]] = []

    def look(tx: Tx) -> list[str]:
        event.listen(tx.conn, "before_cursor_execute", lambda *given: ran.append(given[2:4]))
        attempts.owned(tx.conn, "luma", NOW)
        jobs.forget_prompts(tx, NOW)
        plans = [
            tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values) for sql, values in [*ran]
        ]
        return [str(row[3]) for plan in plans for row in plan]

    owned, words = await books.database.write(look)
    assert "USING COVERING INDEX ix_attempts_provider_sent_at" in owned
    assert "USING INDEX ix_jobs_words" in words
