"""Whatever the provider does with a submission, one request is paid at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from bot.errors import InvalidRequest, NotAllowed, QuotaExceeded, StoreError
from bot.job import Job, JobState
from bot.notices import Cancelled, Failed, Uncertain, Waiting
from bot.refs import GenerationId, JobId
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store.schema import operator_notices
from bot.store.transaction import Tx
from tests.conftest import KEY, MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester
from tests.postgres import postgres_database
from tests.secrecy import lines_about, read_logs

CREATE = "POST /generations/video"


async def finish_all(bot: RunningBot) -> None:
    for generation in list(bot.simulator.generations.values()):
        if not generation.is_over:
            await bot.simulator.finish(generation.id)


async def test_the_same_request_twice_at_once_makes_one_job(bot: RunningBot) -> None:
    first, second = await asyncio.gather(bot.submit(key="same"), bot.submit(key="same"))
    assert first.job_id == second.job_id
    await bot.simulator.wait_for_creates(1)
    await finish_all(bot)
    await bot.delivered(first.job_id)
    assert len(bot.simulator.generations) == 1
    assert len(bot.chat.clips()) == 1
    await bot.check_books()


async def test_a_reply_lost_after_acceptance_is_found_again(bot: RunningBot) -> None:
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.until(job_id, JobState.SUBMITTING)
    await _let_pass(bot, job_id, JobState.GENERATING)
    await finish_all(bot)
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


async def test_a_wall_clock_set_back_does_not_delay_the_search(bot: RunningBot) -> None:
    bot.simulator.faults.break_callback("lost", times=100)
    bot.simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await _is_in_doubt(bot, job_id)
    bot.clock.set_wall(hours=-1)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.GENERATING:
            await bot.clock.let_pass(seconds=20, moment=0.05)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


@pytest.mark.parametrize("is_set_right", [True, False])
@pytest.mark.parametrize("days", [3, -3])
async def test_a_wall_clock_that_was_days_wrong_makes_nothing_absent(
    start_bot: Callable[..., Any], simulator: Simulator, days: int, is_set_right: bool
) -> None:
    """Without a public address a generation is known by the request and its time."""
    bot: RunningBot = await start_bot(
        defaults={"providers": ["luma", "fal"]},
        providers={"fal": {"api_key": "unused", "base_url": "https://fal.example"}},
    )
    assert not bot.app.public_url
    bot.clock.set_wall(days=days)
    simulator.faults.drop("create", accepted=True)
    job_id = await bot.ask()
    await simulator.wait_for_creates(1)
    await _is_in_doubt(bot, job_id)
    if is_set_right:
        bot.clock.set_wall(days=-days)
    await _let_pass(bot, job_id, JobState.UNCERTAIN, JobState.GENERATING)
    assert len(simulator.generations) == 1
    await bot.check_books()


async def test_a_wall_clock_that_was_ahead_ends_no_list_before_it_was_read(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> None:
    async with Simulator(replace(MANUAL, page_limit_max=2), Faults()) as simulator:
        simulator.faults.break_callback("lost", times=100)
        simulator.faults.drop("create", accepted=True)
        clock.set_wall(hours=2)
        async with running(to_test_config(tmp_path, simulator), simulator, chat, clock) as bot:
            job_id = await bot.ask()
            await simulator.wait_for_creates(1)
            await _is_in_doubt(bot, job_id)
            for _ in range(2):
                await _generate_elsewhere(bot)
            clock.set_wall(hours=-2)
            await _let_pass(bot, job_id, JobState.UNCERTAIN, JobState.GENERATING)
            assert len(simulator.generations) == 3
            await bot.check_books()


async def test_a_request_lost_on_the_way_is_sent_again_once(bot: RunningBot) -> None:
    bot.simulator.faults.drop("create", accepted=False)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    await _let_pass(bot, job_id, JobState.GENERATING)
    await finish_all(bot)
    await bot.delivered(job_id)
    assert bot.simulator.requests[CREATE] == 2
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


@pytest.mark.parametrize("how", ["adopt", "charge", "release"])
async def test_lost_twice_becomes_a_question_that_the_operator_ends(
    bot: RunningBot, how: Any
) -> None:
    bot.simulator.faults.drop("create", accepted=False, times=2)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    job = await _let_pass(bot, job_id, JobState.UNCERTAIN)
    assert job.cost > 0, "the hold stays"
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Uncertain))

    other = await bot.ask("somebody's own clip at the provider")
    await bot.simulator.wait_for_creates(1)
    [generation] = bot.simulator.generations.values()
    taken = await bot.until(other, JobState.GENERATING)
    with pytest.raises(StoreError):
        await bot.app.operations.resolve(
            job_id, "adopt", generation_id=taken.generation_id, actor="test"
        )
    with pytest.raises(InvalidRequest):
        await bot.app.operations.resolve(
            job_id, "adopt", generation_id=GenerationId("a-typing-mistake"), actor="test"
        )
    stray = await _generate_elsewhere(bot) if how == "adopt" else None
    resolved = await bot.app.operations.resolve(job_id, how, generation_id=stray, actor="test")
    charged = {"adopt": job.cost, "charge": job.cost, "release": 0}[how]
    assert resolved.cost == charged
    await bot.simulator.finish(generation.id)
    await bot.delivered(other)
    await bot.check_books()


async def _generate_elsewhere(bot: RunningBot) -> GenerationId:
    """What an operator would find in the account, for instance started by hand."""
    url, work = f"{bot.simulator.base_url}/generations/video", {"prompt": "a red fox"}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(url, json={"model": "ray-flash-2", **work}) as response,
    ):
        return GenerationId((await response.json())["id"])


async def test_too_many_requests_is_tried_again_later(bot: RunningBot) -> None:
    bot.simulator.faults.too_many("create", retry_after=1)
    job_id = await bot.ask()
    await bot.simulator.until(lambda: bot.simulator.faults.left == 0)
    bot.clock.move(seconds=5)
    await bot.simulator.wait_for_creates(1)
    await finish_all(bot)
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == 1


async def test_a_provider_that_is_down_is_waited_for(bot: RunningBot) -> None:
    bot.simulator.faults.down()
    await bot.simulator.close_port()
    job_id = await bot.ask()
    async with asyncio.timeout(30):
        while not isinstance(bot.chat.status(job_id), Waiting):
            await bot.clock.let_pass(seconds=20, moment=0.05)
    job = await bot.job(job_id)
    assert job.state in (JobState.ACCEPTED, JobState.SUBMITTING)
    bot.simulator.faults.up()
    await bot.simulator.open_port()
    async with asyncio.timeout(30):
        while not bot.simulator.generations:
            await bot.clock.let_pass(seconds=30, moment=0.05)
    await finish_all(bot)
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


@pytest.mark.parametrize(
    ("status", "detail"),
    [(401, "Invalid API key is provided"), (403, "Not authenticated"), (402, "no credits")],
)
async def test_a_bad_key_or_no_credits_waits_and_is_free_to_cancel(
    bot: RunningBot, status: int, detail: str
) -> None:
    bot.simulator.faults.refuse("create", status, detail, times=50)
    job_id = await bot.ask()
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Waiting))
    await bot.until(job_id, JobState.ACCEPTED)
    notice = await bot.studio.cancel(job_id, to_requester())
    assert isinstance(notice, Cancelled)
    assert notice.charged == 0
    await bot.check_books()


async def test_given_up_after_a_day_without_a_working_key(bot: RunningBot) -> None:
    bot.simulator.faults.refuse("create", 401, "Invalid API key is provided", times=500)
    job_id = await bot.ask()
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Waiting))
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.FAILED:
            await bot.clock.let_pass(hours=6, moment=0.05)
    assert (await bot.job(job_id)).cost == 0
    await bot.check_books()


async def test_a_day_of_waiting_for_something_else_is_no_reason_to_give_up(
    bot: RunningBot,
) -> None:
    """Only then the key breaks, and its operator has a day to mend it."""
    await bot.simulator.close_port()
    job_id = await bot.ask()
    for _ in range(10):
        await bot.clock.let_pass(hours=2.5, moment=0.05)
    bot.simulator.faults.refuse("create", 401, "Invalid API key is provided", times=500)
    await bot.simulator.open_port()
    await _let_refuse(bot, job_id)
    for _ in range(3):
        await bot.clock.let_pass(hours=5, moment=0.2)
    await bot.until(job_id, JobState.ACCEPTED)
    await _let_be_given_up(bot, job_id)
    await bot.check_books()


async def test_the_day_goes_on_through_a_restart(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator)
    simulator.faults.refuse("create", 401, "Invalid API key is provided", times=500)
    async with running(config, simulator, chat, clock) as bot:
        job_id = await bot.ask()
        await _let_refuse(bot, job_id)
    clock.move(hours=20)
    async with running(config, simulator, chat, clock) as bot:
        await _let_refuse(bot, job_id)
        assert (await bot.job(job_id)).state is JobState.ACCEPTED
        clock.move(hours=4)
        await _let_be_given_up(bot, job_id)
        await bot.check_books()


async def _let_be_given_up(bot: RunningBot, job_id: JobId) -> None:
    """Let hours pass until this job is given up, whichever of its steps they come between."""
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.FAILED:
            await bot.clock.let_pass(hours=1, moment=0.05)


async def _let_refuse(bot: RunningBot, job_id: JobId) -> None:
    """Let time pass until one more submission of this job was refused."""
    before = (await bot.job(job_id)).attempt
    async with asyncio.timeout(30):
        while (job := await bot.job(job_id)).attempt == before or not job.provider_failure:
            await bot.clock.let_pass(minutes=1, moment=0.05)


async def test_a_moderated_prompt_costs_nothing_and_says_why(bot: RunningBot) -> None:
    job_id = await bot.ask("something blacklisted")
    await bot.simulator.wait_for_creates(1)
    await finish_all(bot)
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost == 0
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Failed))
    notice = bot.chat.status(job_id)
    assert isinstance(notice, Failed)
    assert "blacklist" not in notice.sentence.lower() or "word" in notice.sentence.lower()
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


async def test_a_fault_of_the_service_earns_one_more_attempt(bot: RunningBot) -> None:
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    [first] = bot.simulator.generations
    await bot.simulator.fail(first, "Job failed")
    await bot.simulator.wait_for_creates(2)
    second = list(bot.simulator.generations)[1]
    await bot.simulator.fail(second, "Job failed")
    job = await bot.until(job_id, JobState.FAILED)
    assert job.cost == 0
    assert len(bot.simulator.generations) == 2
    await bot.check_books()


async def test_cancel_while_it_runs_charges_and_does_not_deliver(bot: RunningBot) -> None:
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.until(job_id, JobState.GENERATING)
    notice = await bot.studio.cancel(job_id, to_requester())
    assert isinstance(notice, Cancelled)
    running = await bot.job(job_id)
    assert running.plan is not None
    # What is held beyond the price is nobody's charge.
    assert notice.charged == running.plan.price.charged < running.cost
    await finish_all(bot)
    job = await bot.until(job_id, JobState.CANCELLED)
    assert job.cost > 0
    assert bot.chat.clips() == []
    shown = await bot.studio.show(job_id, to_requester())
    assert type(shown.notice).__name__ == "Delivered", "the kept clip can be had"
    await bot.check_books()


async def test_cancel_while_its_file_comes_is_heard_by_the_step_that_is_at_it(
    bot: RunningBot,
) -> None:
    released = bot.simulator.faults.hold("clip")
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.until(job_id, JobState.GENERATING)
    await finish_all(bot)
    async with asyncio.timeout(30):
        while not _fetches(bot):
            await asyncio.sleep(0.01)
    await bot.studio.cancel(job_id, to_requester())
    released.set()
    job = await bot.until(job_id, JobState.CANCELLED)
    assert job.cost > 0
    assert job.clip is not None
    assert (bot.chat.clips(), _fetches(bot)) == ([], 1)
    await bot.check_books()


def _fetches(bot: RunningBot) -> int:
    return sum(times for what, times in bot.simulator.requests.items() if "/cdn/" in what)


async def test_only_the_requester_cancels(bot: RunningBot) -> None:
    job_id = await bot.ask()
    with pytest.raises(NotAllowed):
        await bot.studio.cancel(job_id, to_requester("ben"))


async def test_a_limit_is_not_passed_by_asking_at_once(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(limits={"usd_per_person_per_day": 0.5})
    answers = await asyncio.gather(
        *(bot.submit(key=f"k{number}") for number in range(20)), return_exceptions=True
    )
    refused = [each for each in answers if isinstance(each, QuotaExceeded)]
    assert len(refused) == 17, "three holds of 0.153 USD fit into 0.50"
    assert all(each.resets_at is not None for each in refused)
    await bot.check_books()


async def test_an_unknown_place_is_not_served(bot: RunningBot) -> None:
    request = to_request()
    stranger = request.model_copy(update={"requester": to_requester(workspace="elsewhere")})
    with pytest.raises(NotAllowed):
        await bot.studio.submit(stranger)
    assert bot.simulator.generations == {}


async def _is_in_doubt(bot: RunningBot, job_id: JobId) -> None:
    """The doubt is in the row, and heard of: the search is due soon, not once it is overdue."""
    await bot.until(job_id, JobState.SUBMITTING)
    soon = bot.clock.now() + timedelta(seconds=30)
    async with asyncio.timeout(30):
        while (next_at := (await bot.job(job_id)).next_at) is None or next_at > soon:
            await asyncio.sleep(0.01)
    # No time passes, but the step comes to its end.
    await bot.clock.let_pass(seconds=0)


async def _let_pass(bot: RunningBot, job_id: JobId, *states: JobState) -> Job:
    """Let time pass until the job stands so."""
    async with asyncio.timeout(30):
        while (job := await bot.job(job_id)).state not in states:
            await bot.clock.let_pass(seconds=20, moment=0.05)
    return job


async def test_cancelled_while_in_doubt_and_never_taken_is_free(bot: RunningBot) -> None:
    bot.simulator.faults.drop("create", accepted=False)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    await bot.studio.cancel(job_id, to_requester())
    job = await _let_pass(bot, job_id, JobState.CANCELLED)
    assert job.cost == 0
    assert bot.simulator.generations == {}
    await bot.check_books()


async def test_a_wall_clock_that_was_ahead_keeps_nobody_waiting_after_a_restart(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator)
    simulator.faults.too_many("create", retry_after=30)
    clock.set_wall(days=3)
    async with running(config, simulator, chat, clock) as bot:
        job_id = await bot.ask()
        async with asyncio.timeout(30):
            while (await bot.job(job_id)).attempt == 0:
                await asyncio.sleep(0.01)
        await bot.until(job_id, JobState.ACCEPTED)
    clock.set_wall(days=-3)
    async with running(config, simulator, chat, clock) as bot:
        await _let_pass(bot, job_id, JobState.GENERATING)
        await bot.finish(job_id)
        await bot.check_books()


async def test_a_wall_clock_that_was_ahead_and_is_set_right_keeps_nobody_waiting(
    bot: RunningBot,
) -> None:
    bot.simulator.faults.too_many("create", retry_after=30)
    bot.clock.set_wall(days=3)
    job_id = await bot.ask()
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).attempt == 0:
            await asyncio.sleep(0.01)
    await bot.until(job_id, JobState.ACCEPTED)
    bot.clock.set_wall(days=-3)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is JobState.ACCEPTED:
            await bot.clock.let_pass(minutes=20, moment=0.05)
    await bot.finish(job_id)
    await bot.check_books()


async def test_a_wall_clock_that_was_ahead_keeps_nobody_waiting_on_postgresql(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    with postgres_database() as url:
        table = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=table)
        clock.set_wall(days=3)
        async with running(config, simulator, chat, clock) as bot:
            job_id = await bot.ask()
            async with asyncio.timeout(30):
                while (await bot.job(job_id)).next_at is None:
                    await asyncio.sleep(0.02)
        # Another process, behind by as much, goes by the clock of the database, too.
        clock.set_wall(days=-6)
        soon = clock.now() + timedelta(days=3, minutes=2)
        async with running(config, simulator, chat, clock) as bot, asyncio.timeout(30):
            while (next_at := (await bot.job(job_id)).next_at) is None or next_at > soon:
                await asyncio.sleep(0.02)
        assert next_at > soon - timedelta(minutes=1.5)


async def test_a_wall_clock_that_is_set_right_keeps_nobody_waiting_on_postgresql(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    with postgres_database() as url:
        table = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=table)
        clock.set_wall(days=3)
        async with running(config, simulator, chat, clock) as bot, asyncio.timeout(30):
            job_id = await bot.ask()
            while (await bot.job(job_id)).next_at is None:
                await asyncio.sleep(0.02)
            clock.set_wall(days=-3)
            soon = clock.now() + timedelta(minutes=3)
            while (next_at := (await bot.job(job_id)).next_at) is None or next_at > soon:
                await clock.let_pass(minutes=20, moment=0.05)


async def test_another_account_cannot_tell_what_was_taken(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    """Its operator put another key in, with a submission in doubt that had been taken."""
    simulator.faults.break_callback("lost", times=100)
    simulator.faults.drop("create", accepted=True)
    async with running(to_test_config(tmp_path, simulator), simulator, chat, clock) as bot:
        job_id = await bot.ask()
        await bot.until(job_id, JobState.SUBMITTING)
        await simulator.wait_for_creates(1)
    async with Simulator(SimulatorSettings(manual=True, same_clip=True), Faults()) as another:
        config = to_test_config(tmp_path, another)
        async with running(config, another, chat, clock) as bot:
            # What is made there meanwhile does not make it the account that was asked.
            await bot.until(await bot.ask("a wolf", key="later"), JobState.GENERATING)
            job = await _let_pass(bot, job_id, JobState.UNCERTAIN)
            assert job.cost > 0
            assert len(another.generations) == 1
            await bot.check_books()


async def test_the_same_account_behind_another_key_is_known_by_what_it_made(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock) as bot:
        first = await bot.ask("a wolf")
        await bot.until(first, JobState.GENERATING)
        await finish_all(bot)
        await bot.delivered(first)
        simulator.faults.drop("create", accepted=False)
        job_id = await bot.ask()
        await bot.until(job_id, JobState.SUBMITTING)
    moved = simulator.base_url.replace("127.0.0.1", "localhost")
    config = to_test_config(tmp_path, simulator, luma={"base_url": moved})
    async with running(config, simulator, chat, clock) as bot:
        await _let_pass(bot, job_id, JobState.GENERATING)
        assert (simulator.requests[CREATE], len(simulator.generations)) == (3, 2)
        await bot.check_books()


async def test_an_answer_waits_for_a_database_that_is_away(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refused = bot.app.database.write, 0
    bot.simulator.faults.break_callback("lost", times=100)

    async def away(work: Callable[[Tx], Any]) -> Any:
        nonlocal refused
        if bot.simulator.generations and refused < 3:
            refused += 1
            raise StoreError
        return await write(work)

    monkeypatch.setattr(bot.app.database, "write", away)
    with read_logs("json") as said:
        job_id = await bot.ask()
        async with asyncio.timeout(30):
            while (job := await bot.job(job_id)).state is not JobState.GENERATING:
                await bot.clock.let_pass(seconds=0.5, moment=0.01)
    assert (job.attempt, refused) == (1, 3)
    waited = lines_about("job.answer_waits", said.getvalue())
    assert waited
    # What was paid can be found although no row knows it yet.
    told = {(each["job"], each.get("generation")) for each in waited}
    assert told == {(job_id, *bot.simulator.generations)}
    await finish_all(bot)
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == 1
    await bot.check_books()


async def test_a_second_doubt_about_a_job_is_told_too(bot: RunningBot) -> None:
    faults = bot.simulator.faults
    faults.drop("create", accepted=False, times=2)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.SUBMITTING)
    await _let_pass(bot, job_id, JobState.UNCERTAIN)
    stray = await _generate_elsewhere(bot)
    await bot.app.operations.resolve(job_id, "adopt", generation_id=stray, actor="test")
    faults.drop("create", accepted=False)
    await bot.simulator.fail(stray, "Job failed")
    await bot.until(job_id, JobState.SUBMITTING)
    await _let_pass(bot, job_id, JobState.UNCERTAIN)
    told = select(operator_notices.c.key).where(operator_notices.c.job_id == job_id)
    keys = await bot.app.database.read(lambda conn: conn.execute(told).scalars().all())
    assert len([each for each in keys if each.startswith("uncertain:")]) == 2


async def test_everyone_in_line_hears_that_the_provider_is_down_and_back(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(luma={"running_limit": 1})
    first, second = await bot.ask("one fox"), await bot.ask("two foxes")
    await bot.simulator.wait_for_creates(1)
    bot.simulator.faults.refuse("create", 401, "Invalid API key is provided")
    await finish_all(bot)
    await bot.delivered(first)
    await bot.chat.until(lambda: isinstance(bot.chat.status(second), Waiting))
    bot.clock.move(minutes=6)
    await bot.simulator.wait_for_creates(2)
    await finish_all(bot)
    await bot.delivered(second)
    await bot.check_books()
