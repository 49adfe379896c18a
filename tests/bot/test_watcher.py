"""A provider's watcher, with the true program around it: when it looks, and what that costs."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.durations import ENOUGH
from bot.job import Job, JobState
from bot.notices import Generating
from bot.ports import Generation
from bot.refs import GenerationId, JobId
from bot.request import Resolution
from bot.simulator import Simulator
from bot.steps.submission import Submitter
from bot.store.database import SQLITE, open_database
from bot.store.transaction import Tx
from bot.watcher import RARER_WITH_CALLBACKS, ProviderWatcher
from bot.watching.callbacks import TRIES, Callbacks, Hint
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, until
from tests.ports import free_port
from tests.postgres import postgres_database
from tests.secrecy import lines_about, read_logs

LIST, ONE = "GET /generations", "GET /generations/{id}"


@pytest.fixture
async def called(start_bot: Callable[..., Any]) -> RunningBot:
    """A bot that would look again only in an hour, were it not called."""
    port = free_port()
    bot: RunningBot = await start_bot(
        luma={"look_seconds": 3600, "first_look_seconds": 3600},
        bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
    )
    return bot


async def run(bot: RunningBot, count: int) -> list[JobId]:
    """So many jobs under watch, each begun after the one before it."""
    begun, watched = [], bot.app._watchers["luma"]._running
    for number in range(count):
        begun.append(await bot.ask(user=f"person{number}"))
        job = await bot.until(begun[-1], JobState.GENERATING)
        await until(lambda: job.generation_id in watched)  # noqa: B023 - awaited right here
    return begun


def lose_first_calls(bot: RunningBot, count: int) -> None:
    """Let the calls that so many jobs have begun get lost.

    One that comes long before the answer to its submission is written down costs a look of its
    own, which a busy machine would add to those that are counted.
    """
    bot.simulator.faults.break_callback("lost", times=count)


async def finish(bot: RunningBot, job_id: JobId) -> None:
    generation = (await bot.job(job_id)).generation_id
    assert generation is not None
    await bot.simulator.finish(generation)


async def finish_while_looked_at(bot: RunningBot, first: JobId, *others: JobId) -> None:
    """The others end and call while a first one's call is being looked into."""
    looked = bot.simulator.faults.hold("get")
    await finish(bot, first)
    await until(lambda: bot.simulator.requests[ONE])
    await asyncio.gather(*(finish(bot, each) for each in others))
    await bot.simulator.wait_for_callbacks(1 + len(others))
    looked.set()


async def call(bot: RunningBot, job_id: JobId, *states: str) -> None:
    """Say in these calls, one after the other, how a job's generation is."""
    generation = bot.simulator.generations[(await bot.job(job_id)).generation_id or ""]
    async with aiohttp.ClientSession() as session:
        for state in states:
            body = {**generation.to_json(), "state": state}
            url = generation.order.callback_url or ""
            async with session.post(url, json=body) as response:
                assert response.status == 200


# ---- polling ----------------------------------------------------------------------------------


async def test_one_that_is_done_before_its_first_look_is_seen_with_the_others(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 100, "look_seconds": 1})
    bot.simulator.faults.break_callback("lost", times=100)
    await run(bot, 3)
    bot.clock.move(seconds=80)
    [young] = await run(bot, 1)
    await finish(bot, young)
    bot.clock.move(seconds=21)
    await bot.delivered(young)
    assert bot.simulator.requests[ONE] == 0


async def test_a_wall_clock_set_back_does_not_delay_a_look(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 20, "look_seconds": 1})
    bot.simulator.faults.break_callback("lost", times=100)
    [job_id] = await run(bot, 1)
    await finish(bot, job_id)
    bot.clock.set_wall(hours=-1)
    bot.clock.move(seconds=21)
    await bot.delivered(job_id)
    await bot.check_books()


async def test_a_wall_clock_set_back_before_a_start_does_not_delay_a_look(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    simulator.faults.break_callback("lost", times=100)
    slow = {"first_look_seconds": 20, "look_seconds": 1}
    config = to_test_config(tmp_path, simulator, luma=slow)
    async with running(config, simulator, chat, clock) as bot:
        [job_id] = await run(bot, 1)
        await finish(bot, job_id)
    clock.set_wall(hours=-1)
    async with running(config, simulator, chat, clock) as bot:
        await until(lambda: bot.app._watchers["luma"].running)
        clock.move(seconds=21)
        job = await bot.delivered(job_id)
        await bot.check_books()
        # Nor is it learned from, since nobody knows how long it took.
        assert await expected(bot, job) is None


async def test_a_clip_that_is_seen_does_not_wait_for_looks_at_others(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 20, "look_seconds": 1})
    faults = bot.simulator.faults
    faults.break_callback("lost", times=100)
    begun = [await bot.job(each) for each in await run(bot, 2)]
    first, second = sorted(begun, key=lambda job: job.generation_id or "")
    for job in begun:
        await finish(bot, job.id)
    faults.refuse("list", 404, "Not Found")
    faults.delay("get", 0)
    released = faults.hold("get")
    bot.clock.move(seconds=21)
    await bot.delivered(first.id)
    assert (await bot.job(second.id)).state is JobState.GENERATING
    released.set()
    await bot.delivered(second.id)


async def test_clips_that_are_done_before_their_first_look_are_looked_at_sooner(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 100, "look_seconds": 1})
    bot.simulator.faults.break_callback("lost", times=100)
    for seconds in [101] * ENOUGH + [93]:
        [job_id] = await run(bot, 1)
        await finish(bot, job_id)
        bot.clock.move(seconds=seconds)
        await bot.delivered(job_id)


# ---- callbacks --------------------------------------------------------------------------------


async def test_calls_that_follow_one_another_share_a_look(called: RunningBot) -> None:
    """The first is looked into at once; those that come meanwhile, or soon after, together."""
    lose_first_calls(called, 4)
    first, second, third, _ = await run(called, 4)
    await finish_while_looked_at(called, first, second, third)
    for job_id in (first, second, third):
        await called.delivered(job_id)
    assert (called.simulator.requests[LIST], called.simulator.requests[ONE]) == (1, 1)


@pytest.mark.parametrize("place", [0, 3], ids=["the oldest", "the youngest"])
async def test_a_list_tells_of_those_whose_call_was_lost(called: RunningBot, place: int) -> None:
    lose_first_calls(called, 4)
    begun = await run(called, 4)
    uncalled = begun.pop(place)
    called.simulator.faults.break_callback("lost")
    await finish(called, uncalled)
    await finish_while_looked_at(called, *begun)
    await called.delivered(uncalled)
    assert (called.simulator.requests[LIST], called.simulator.requests[ONE]) == (1, 1)


async def test_a_clip_that_is_called_for_took_as_long_as_it_seems(called: RunningBot) -> None:
    lose_first_calls(called, 1)
    [job_id] = await run(called, 1)
    called.clock.move(seconds=50)
    await finish(called, job_id)
    outlook = await called.app._watchers["luma"].outlook(await called.delivered(job_id))
    assert outlook.expected is not None
    assert outlook.expected >= timedelta(seconds=50)


async def test_a_call_before_a_submission_is_known_to_be_written_down_is_looked_into(
    called: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_first_calls(called, 1)
    keep, heard = Submitter._keep, asyncio.Event()

    async def hear_late(self: Submitter, job: Job, write: Callable[[Tx, Job], Job]) -> Job:
        kept = await keep(self, job, write)
        await heard.wait()
        return kept

    monkeypatch.setattr(Submitter, "_keep", hear_late)
    job_id = await called.ask()
    await called.until(job_id, JobState.GENERATING)
    await finish(called, job_id)
    await called.until(job_id, JobState.FETCHING)
    heard.set()
    await called.delivered(job_id)
    await called.check_books()


async def test_a_call_for_what_is_known_to_have_ended_costs_no_look(called: RunningBot) -> None:
    lose_first_calls(called, 2)
    first, second = await run(called, 2)
    await finish(called, first)
    await called.delivered(first)
    await call(called, first, "completed", "completed")
    await finish(called, second)
    await called.delivered(second)
    assert called.simulator.requests[ONE] == 2
    assert called.simulator.requests[LIST] == 0


async def test_an_end_counts_although_an_earlier_call_comes_after_it(called: RunningBot) -> None:
    lose_first_calls(called, 1)
    called.simulator.faults.break_callback("lost")
    [job_id] = await run(called, 1)
    await finish(called, job_id)
    await call(called, job_id, "completed", "dreaming")
    await called.delivered(job_id)


async def test_that_callbacks_arrive_is_known_before_the_first_end(
    start_bot: Callable[..., Any],
) -> None:
    """So the looks are rare from the beginning, and not only once a first clip is done."""
    port = free_port()
    bot: RunningBot = await start_bot(
        luma={"look_seconds": 1, "first_look_seconds": 3600},
        bot={"public_port": port, "public_url": f"http://127.0.0.1:{port}"},
    )
    lose_first_calls(bot, 1)
    [job_id] = await run(bot, 1)
    watcher = bot.app._watchers["luma"]
    async with asyncio.timeout(30):
        while not watcher.running:
            await asyncio.sleep(0.01)
    await call(bot, job_id, "dreaming")
    async with asyncio.timeout(30):
        while watcher._gap() < RARER_WITH_CALLBACKS:
            await asyncio.sleep(0.01)
    assert bot.simulator.requests[ONE] == 0, "of what is under way it is no news"


async def test_of_a_call_that_is_surely_for_here_nobody_else_is_told(
    called: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stranger's all are: who is no more on duty may not know it yet."""
    told: list[str] = []
    monkeypatch.setattr(called.app._replicas, "tell", lambda subject, **_: told.append(subject))
    [job_id] = await run(called, 1)
    watcher = called.app._watchers["luma"]
    async with asyncio.timeout(30):
        while not watcher.running:
            await asyncio.sleep(0.01)
    told.clear()
    await call(called, job_id, "dreaming")
    assert "callback" not in told
    watcher._running.clear()
    await call(called, job_id, "dreaming")
    assert "callback" in told


async def test_of_a_call_about_what_was_seen_to_end_here_nobody_else_is_told(
    called: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    [job_id] = await run(called, 1)
    await finish(called, job_id)
    await called.delivered(job_id)
    monkeypatch.setattr(called.app._replicas, "tell", lambda subject, **_: told.append(subject))
    await call(called, job_id, "completed")
    assert "callback" not in told


def waits(calls: Callbacks) -> bool:
    """Whether one waits to be looked into, now that those whose time has come do."""
    calls.take_up()
    return calls.since is not None


def test_a_call_that_cannot_be_looked_into_is_tried_ever_later_and_given_up_in_the_end(
    clock: MovableClock, tmp_path: Path
) -> None:
    """Meanwhile it holds up no other."""
    database = open_database(f"{SQLITE[0]}{tmp_path / 'raybot.db'}")
    calls = Callbacks(database=database, clock=clock, announce=lambda _: None)
    seen = Generation(id=GenerationId("g"), state="completed")
    pauses: list[float] = []
    while len(pauses) < TRIES:
        calls.put_off(Hint(token_hash="secret", generation=seen))
        assert not waits(calls)
        pauses.append(calls.next_at - clock.boottime())
        clock.move(seconds=pauses[-1] + 1)
        assert waits(calls)
        calls._hints.clear()
    assert [round(each) for each in pauses[:4]] == [2, 4, 8, 16]
    assert timedelta(days=2) < timedelta(seconds=sum(pauses)) < timedelta(days=4)
    with read_logs("json") as said:
        calls.put_off(Hint(token_hash="secret", generation=seen, job_id=JobId("r-0abcd12345")))
    assert calls.next_at == math.inf
    [line] = lines_about("callback.given_up", said.getvalue())
    assert (line["job"], line["generation"]) == ("r-0abcd12345", "g")


# ---- several processes ------------------------------------------------------------------------


async def made(bot: RunningBot, resolution: Resolution) -> Job:
    job_id = await bot.ask(resolution=resolution)
    await bot.until(job_id, JobState.GENERATING)
    await finish(bot, job_id)
    return await bot.delivered(job_id)


async def expected(bot: RunningBot, job: Job) -> timedelta | None:
    [watcher] = bot.app._watchers.values()
    return (await watcher.outlook(job)).expected


async def test_who_stands_by_and_takes_over_knows_how_long_it_took_elsewhere(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    later = MovableClock()
    with postgres_database() as url:
        table = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=table)
        async with AsyncExitStack() as ended:
            first = await ended.enter_async_context(running(config, simulator, chat, clock))
            one = await made(first, "540p")
            async with running(config, simulator, chat, later) as second:
                other = await made(first, "720p")
                assert await expected(second, one) is not None
                assert await expected(second, other) is None, "it stands by, and just began"
                later.move(minutes=2)
                assert await expected(second, other) is not None
                later.move(minutes=-2)  # They share what is due, so their clocks have to agree.
                third = await made(first, "1080p")
                await ended.aclose()
                async with asyncio.timeout(30):
                    while await expected(second, third) is None:
                        await asyncio.sleep(0.05)


async def test_who_no_longer_watches_calls_no_slot_used(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock) as bot:
        await run(bot, 1)
        [watcher] = bot.app._watchers.values()
        async with asyncio.timeout(30):
            while watcher.running != 1:
                await asyncio.sleep(0.01)
    assert watcher.running == 0


async def test_only_the_loop_reads_what_the_loop_changes(
    tmp_path: Path,
    simulator: Simulator,
    chat: RecordingAdapter,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database's threads would meet what runs while it changes."""
    readers = set[threading.Thread]()
    stale_after = ProviderWatcher._stale_after

    def note(watcher: ProviderWatcher) -> timedelta:
        readers.add(threading.current_thread())
        return stale_after(watcher)

    monkeypatch.setattr(ProviderWatcher, "_stale_after", note)
    with postgres_database() as url:
        table = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=table)
        async with running(config, simulator, chat, clock) as bot:
            await made(bot, "540p")
    assert readers == {threading.current_thread()}


async def test_an_answer_that_trips_the_reader_ends_nothing_and_is_told(
    start_bot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 20, "look_seconds": 1})
    bot.simulator.faults.break_callback("lost", times=100)
    tripped = asyncio.Event()

    def trip(_said: object) -> Generation:
        tripped.set()
        raise RecursionError

    [job_id] = await run(bot, 1)
    with monkeypatch.context() as patch:
        patch.setattr("bot.providers.luma.read_generation", trip)
        await finish(bot, job_id)
        while not tripped.is_set():
            await bot.clock.let_pass(seconds=21, moment=0.01)
        async with asyncio.timeout(30):
            while not (told := await bot.notes()):
                await asyncio.sleep(0.01)
    assert "cannot read what luma says" in told[0].sentence
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=31, moment=0.01)
    await bot.check_books()


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [(401, "Invalid API key is provided", "refuses this key"), (405, "No", "has closed this")],
)
async def test_what_only_the_operator_mends_is_told_once_where_nothing_is_submitted(
    start_bot: Callable[..., Any], status: int, detail: str, words: str
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 20, "look_seconds": 1})
    bot.simulator.faults.break_callback("lost", times=100)
    [job_id] = await run(bot, 1)
    bot.simulator.faults.refuse("get", status, detail, times=3)
    while bot.simulator.requests[ONE] < 4:
        await bot.clock.let_pass(seconds=31, moment=0.01)
    [told] = await bot.notes()
    assert words in told.sentence
    await finish(bot, job_id)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=31, moment=0.01)


@pytest.mark.parametrize("is_away", [False, True])
async def test_whoever_waits_unusually_long_is_told_also_while_the_service_is_away(
    start_bot: Callable[..., Any], *, is_away: bool
) -> None:
    bot: RunningBot = await start_bot(luma={"first_look_seconds": 20, "look_seconds": 1})
    [job_id] = await run(bot, 1)
    if is_away:
        bot.simulator.faults.down()

    def is_told() -> bool:
        said = bot.chat.status(job_id)
        return isinstance(said, Generating) and said.is_slow

    async with asyncio.timeout(15):
        while not is_told():
            await bot.clock.let_pass(seconds=31, moment=0.01)
    bot.simulator.faults.up()
    await finish(bot, job_id)
    async with asyncio.timeout(15):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=31, moment=0.01)
