"""A person asks, and the clip is in the thread, paid once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.announcer import LAST_WORDS_SECONDS
from bot.job import JobState
from bot.notices import Done, Fetching, Generating
from bot.outlook import PASSING_SECONDS
from bot.ports import AdapterLimits
from bot.refs import ThreadRef
from bot.simulator import Simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter


async def test_a_prompt_becomes_a_clip_paid_once(bot: RunningBot) -> None:
    job_id = await bot.ask("a red fox in snow", aspect_ratio="16:9")
    await bot.simulator.wait_for_creates(1)
    [generation] = bot.simulator.generations.values()
    await bot.simulator.finish(generation.id)
    job = await bot.delivered(job_id)

    [clip] = bot.chat.clips()
    assert clip.about.job_id == job_id
    assert job.cost > 0
    assert len(bot.simulator.generations) == 1
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Done))
    await bot.check_books()
    assert job.state is JobState.DELIVERED


async def test_what_is_over_in_a_moment_is_not_shown(bot: RunningBot) -> None:
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Generating))
    await bot.simulator.finish(*bot.simulator.generations)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Done))
    [said] = [post.notices for post in bot.chat.posts if post.key.endswith(":status")]
    assert not any(isinstance(each, Fetching) for each in said)


async def test_a_file_that_takes_a_while_is_spoken_of(bot: RunningBot) -> None:
    bot.simulator.faults.break_clip("stalled")
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.simulator.finish(*bot.simulator.generations)
    await bot.until(job_id, JobState.FETCHING)
    bot.clock.move(seconds=PASSING_SECONDS)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Fetching))


async def test_older_news_shown_late_does_not_speak_of_it_sooner(bot: RunningBot) -> None:
    bot.simulator.faults.break_clip("stalled")
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Generating))
    await bot.simulator.finish(*bot.simulator.generations)
    await bot.until(job_id, JobState.FETCHING)
    bot.app._announcer.touch(job_id)
    await bot.app._announcer.drain(LAST_WORDS_SECONDS)
    assert isinstance(bot.chat.status(job_id), Generating)
    bot.clock.move(seconds=PASSING_SECONDS)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Fetching))


class SlowlyEdited(RecordingAdapter):
    """A platform on which a message is edited once in a minute."""

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        return replace(super().limits(thread), edit_seconds=60.0)


async def test_a_bot_that_is_stopped_still_says_that_it_is_done(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> None:
    chat = SlowlyEdited()
    config = to_test_config(tmp_path, simulator, bot={"shutdown_grace_seconds": 20})
    async with running(config, simulator, chat, clock) as bot:
        job_id = await bot.ask()
        await bot.simulator.wait_for_creates(1)
        [generation] = simulator.generations.values()
        await simulator.finish(generation.id)
        await bot.delivered(job_id)
    assert isinstance(chat.status(job_id), Done)
