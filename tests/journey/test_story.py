"""A story end to end: shots one after another, one film, one post, each shot paid once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageChops, ImageStat
from rich.console import Console

from adapters.login import whoami
from adapters.terminal.listener import Terminal
from adapters.terminal.render import PlainScreen
from adapters.terminal.sources import Listed
from bot.acts import Act
from bot.errors import InvalidRequest, Moderated, QuotaExceeded, Refusal, Stale
from bot.job import Job, JobState
from bot.notices import (
    Accepted,
    Cancelled,
    ConfirmNeeded,
    Delivered,
    Done,
    Failed,
    Filming,
    Notice,
    ShotFailed,
)
from bot.refs import JobId
from bot.request import ClipFrame, GenerationRequest, StoryWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.render import read_frame, read_image
from bot.store import jobs, stories
from bot.studio import Studio
from bot.text import describe, describe_error
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester, until

LINES = ("a fox wakes up", "the fox runs", "the fox sleeps")
FIRST, LAST = False, True
ANA = to_requester("ana")


def to_story(*lines: str, key: str = "story", user: str = "ana") -> GenerationRequest:
    work = StoryWork(shots=lines)
    return to_request(key=key, user=user).model_copy(update={"work": work})


async def begin(bot: RunningBot, key: str = "story") -> JobId:
    receipt = await bot.studio.submit(to_story(*LINES, key=key))
    assert isinstance(receipt.notice, Accepted)
    return receipt.job_id


async def shots_of(bot: RunningBot, film: JobId) -> list[Job]:
    return await bot.app.database.read(lambda conn: stories.shots(conn, film))


async def at_service(bot: RunningBot, film: JobId, number: int) -> Job:
    """A shot, once the service has it."""
    shot = (await shots_of(bot, film))[number - 1]
    return await bot.until(shot.id, JobState.GENERATING)


async def make(bot: RunningBot, film: JobId, number: int) -> Job:
    """Let the service finish a shot."""
    shot = await at_service(bot, film, number)
    assert shot.generation_id is not None
    await bot.simulator.finish(shot.generation_id)
    return await bot.until(shot.id, JobState.DELIVERED)


async def fail(bot: RunningBot, film: JobId, number: int) -> Job:
    """Let the service refuse what a shot shows, and wait until its person was told."""
    shot = await at_service(bot, film, number)
    assert shot.generation_id is not None
    await bot.simulator.fail(shot.generation_id, "Prompt not allowed by moderation")
    await bot.chat.until(lambda: isinstance(bot.chat.status(film), ShotFailed))
    return await bot.until(shot.id, JobState.FAILED)


async def again(bot: RunningBot, job: Job, act: Act) -> Job:
    """What is made of a shot, once it is there."""
    thread = job.request.thread
    [receipt] = await bot.studio.works.follow(
        job.id, act, ANA, dedupe_key=f"{act} {job.id}", thread=thread
    )
    made = await bot.until(receipt.job_id, JobState.GENERATING)
    assert made.generation_id is not None
    await bot.simulator.finish(made.generation_id)
    return await bot.delivered(made.id)


def price(job: Job) -> int:
    assert job.plan is not None
    return job.plan.price.charged


def unlike(one: Path, other: Path, *, at: tuple[bool, bool]) -> float:
    """How far two frames differ in their middles, each a clip's last or first: 0 is not at all."""
    frames = (
        read_image(read_frame(path, last=last))
        for path, last in zip((one, other), at, strict=True)
    )
    middles = [frame.crop((45, 30, 135, 130)) for frame in frames]
    return sum(ImageStat.Stat(ImageChops.difference(*middles)).mean)


# ---- one film --------------------------------------------------------------------------------


async def test_each_shot_starts_where_the_one_before_ends(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> None:
    settings = SimulatorSettings(manual=True, full_size=False, creates_per_minute=None)
    async with (
        Simulator(settings, Faults()) as simulator,
        running(to_test_config(tmp_path, simulator), simulator, chat, clock) as bot,
    ):
        film = (await bot.studio.submit(to_story(*LINES[:2]))).job_id
        first, second = [await make(bot, film, number) for number in (1, 2)]
        done = await bot.delivered(film)
        varied = await again(bot, second, "variation")
        looped = await again(bot, varied, "loop")
        files = [
            await bot.studio._clips.local(each.clip)
            for each in (first, second, varied, looped, done)
            if each.clip
        ]
    one, two, *others, whole = files
    moved = unlike(one, one, at=(LAST, FIRST))
    for each in (two, *others):
        assert unlike(one, each, at=(LAST, FIRST)) < moved / 3
    assert unlike(one, whole, at=(FIRST, FIRST)) < 1
    assert unlike(two, whole, at=(LAST, LAST)) < 1


async def test_a_story_is_posted_once_as_one_film(bot: RunningBot) -> None:
    film = await begin(bot)

    def says(words: str) -> bool:
        status = bot.chat.status(film)
        return status is not None and describe(status).title == words

    for number in (1, 2, 3):
        await at_service(bot, film, number)
        await bot.chat.until(partial(says, f"Shot {number} of 3"))
        await make(bot, film, number)
    done, shots = await bot.delivered(film), await shots_of(bot, film)
    assert done.clip is not None
    assert done.clip.frames == sum(each.clip.frames for each in shots if each.clip)
    assert done.clip.seconds == pytest.approx(
        sum(each.clip.seconds for each in shots if each.clip), abs=0.05
    )
    [posted] = bot.chat.clips()
    assert posted.about.job_id == film
    assert [each.prompt for each in posted.about.shots] == list(LINES)
    await bot.chat.until(lambda: isinstance(bot.chat.status(film), Done))
    assert {post.key for post in bot.chat.posts} == {f"{film}:status", f"{film}:clip"}
    await _check_paid(bot, film, shots, posted)
    await _check_pages(bot, film, shots)


async def _check_paid(bot: RunningBot, film: JobId, shots: list[Job], posted: Delivered) -> None:
    """Each shot was paid once, and the film is no clip more."""
    assert len(bot.simulator.generations) == 3
    assert posted.charged == sum(each.cost for each in shots)
    assert len({each.cost for each in shots}) == 1
    assert posted.charged > 0
    used = await bot.studio.usage(ANA)
    assert (used.today.asked, used.today.delivered) == (3, 3)
    assert used.today.charged == posted.charged
    assert used.today.seconds == pytest.approx(posted.seconds, abs=0.05)
    await bot.check_books()


async def _check_pages(bot: RunningBot, film: JobId, shots: list[Job]) -> None:
    assert [line.job_id for line in await bot.studio.jobs(ANA)] == [film]
    shown = (await bot.studio.show(film, ANA)).notice
    assert isinstance(shown, Delivered)
    assert f"0:05 the fox runs · {shots[1].id}" in describe(shown).lines
    of_shot = (await bot.studio.show(shots[1].id, ANA)).notice
    assert f"Shot of the film {film}" in describe(of_shot).lines
    with pytest.raises(InvalidRequest, match="is a film"):
        await bot.ask("on and on", key="on", start_frame=ClipFrame(job_id=film))
    for act in (bot.studio.cancel, bot.studio.delete):
        with pytest.raises(InvalidRequest, match="a shot of the film"):
            await act(shots[0].id, ANA)
    await bot.studio.delete(film, ANA)
    assert bot.chat.clips() == []
    kept = bot.config.bot.data_dir / "media" / "clips"
    assert not kept.exists() or list(kept.iterdir()) == []
    later = bot.clock.now() + timedelta(days=1)
    await bot.app.database.write(lambda tx: jobs.forget_prompts(tx, later))
    for job in [await bot.job(film), *await shots_of(bot, film)]:
        assert not any(line in job.request.model_dump_json() for line in LINES)
        assert job.plan is None or not any(line in job.plan.model_dump_json() for line in LINES)


# ---- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "The story is empty"),
        ((" ", ""), "The story is empty"),
        (("a fox wakes up",), "ask for a clip"),
        (("a fox",) * 13, "at most 12 shots"),
        (("a fox wakes up", "x"), "Shot 2: "),
    ],
)
async def test_what_is_no_story_changes_nothing(
    bot: RunningBot, lines: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        await bot.studio.submit(to_story(*lines))
    assert await bot.app.database.read(jobs.open_ids) == []
    assert await bot.studio.jobs(ANA) == ()


async def test_the_whole_is_held_against_the_budget(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot(
        limits={"usd_per_person_per_day": 0.4, "running_per_person": 1, "confirm_above_usd": None}
    )
    with pytest.raises(QuotaExceeded, match=r"costs about \$0\.4[0-9]"):
        await bot.studio.submit(to_story(*LINES))
    assert await bot.app.database.read(jobs.open_ids) == []
    assert bot.simulator.generations == {}
    used = await bot.studio.usage(ANA)
    assert (used.today.refused, used.today.charged) == (1, 0)
    # Two shots are within it, although only one clip may run at once: they do one by one.
    film = (await bot.studio.submit(to_story(*LINES[:2], key="short"))).job_id
    with pytest.raises(QuotaExceeded, match="clips running at once"):
        await bot.submit("another", key="more")
    await make(bot, film, 1)
    await make(bot, film, 2)
    await bot.delivered(film)
    await bot.check_books()


async def test_one_word_starts_a_dear_story(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot(limits={"confirm_above_usd": 0.3})
    receipt = await bot.studio.submit(to_story(*LINES))
    assert isinstance(receipt.notice, ConfirmNeeded)
    assert await shots_of(bot, receipt.job_id) == []
    confirmed = await bot.studio.confirm(receipt.job_id, ANA)
    assert isinstance(confirmed.notice, Accepted)
    shots = await shots_of(bot, receipt.job_id)
    assert receipt.notice.about.price is not None
    assert receipt.notice.about.price.micros == sum(price(each) for each in shots)
    await bot.check_books()


async def test_a_film_whose_price_is_confirmed_twice_at_once_is_made_once(
    start_bot: Callable[..., Any],
) -> None:
    bot: RunningBot = await start_bot(limits={"confirm_above_usd": 0.3})
    receipt = await bot.studio.submit(to_story(*LINES))
    told = await asyncio.gather(*(bot.studio.confirm(receipt.job_id, ANA) for _ in range(3)))
    assert {each.job_id for each in told} == {receipt.job_id}
    assert [shot.shot for shot in await shots_of(bot, receipt.job_id)] == [1, 2, 3]
    await bot.check_books()


# ---- at the terminal -------------------------------------------------------------------------


class Keys(Listed):
    """Lines that are typed while the test goes on."""

    has_person = True

    def __init__(self) -> None:
        super().__init__(())
        self.typed: asyncio.Queue[str] = asyncio.Queue()

    async def read(self, number: Callable[[], str]) -> str | None:
        return await self.typed.get()


async def test_a_story_is_told_at_the_terminal(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    keys, shown = Keys(), io.StringIO()
    screen = PlainScreen(Console(file=shown, width=100), clock=clock)

    async def reads(words: str) -> None:
        await until(lambda: words in shown.getvalue())

    def create(studio: Studio) -> Terminal:
        return Terminal(
            studio, folder=tmp_path, screen=screen, source=keys, clock=clock, assume_yes=False
        )

    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock, terminal=create) as bot:
        await keys.typed.put("story")
        await reads("The story is empty")
        await keys.typed.put('story "a fox wakes" | "it runs" | "it sleeps" --ar 16:9')
        await simulator.wait_for_creates(1)
        await reads("Shot 1 of 3")
        [film] = [line.job_id for line in await bot.studio.open_jobs(whoami("terminal"))]
        await make(bot, film, 1)
        second = await at_service(bot, film, 2)
        await simulator.fail(second.generation_id or "", "Prompt not allowed by moderation")
        await reads("Shot 2 of 3 failed")
        await keys.typed.put(f"redo {film} 2 it walks")
        await simulator.wait_for_creates(3)
        await make(bot, film, 2)
        third = await at_service(bot, film, 3)
        await simulator.fail(third.generation_id or "", "Frame moderation failed")
        await reads("Shot 3 of 3 failed")
        await keys.typed.put(f"finish {film}")
        await bot.delivered(film)
        await bot.check_books()
    said = shown.getvalue()
    assert "(or other words after it)" in said
    assert "Your film is ready" in said
    assert "0:00 a fox wakes" in said
    assert "0:05 it walks" in said
    assert len(list(tmp_path.glob("*.mp4"))) == 1


# ---- when a shot fails -----------------------------------------------------------------------


async def test_a_failed_shot_is_made_again_without_the_others(bot: RunningBot) -> None:
    film = await begin(bot)
    first = await make(bot, film, 1)
    failed = await fail(bot, film, 2)
    waiting = bot.chat.status(film)
    assert isinstance(waiting, ShotFailed)
    assert (waiting.number, waiting.can_finish) == (2, True)
    with pytest.raises(InvalidRequest, match="It is shot 2"):
        await bot.studio.stories.redo(film, 1, ANA, dedupe_key="first")
    with pytest.raises(Refusal, match="somebody else's"):
        await bot.studio.stories.redo(film, 2, to_requester("ben"), dedupe_key="bens")
    with pytest.raises(InvalidRequest, match=f"redo {film} 2"):
        await bot.studio.retry(failed.id, ANA, dedupe_key="again", thread=first.request.thread)
    here = ANA.tenant
    await bot.studio.admin.set_words(here, actor=ANA, words=["limps"])
    with pytest.raises(Moderated):
        await bot.studio.stories.redo(film, 2, ANA, dedupe_key="limps", prompt="the fox limps")
    receipt = await bot.studio.stories.redo(
        film, 2, ANA, dedupe_key="walks", prompt="the fox walks"
    )
    assert isinstance(receipt.notice, Filming)
    await make(bot, film, 2)
    await make(bot, film, 3)
    await bot.delivered(film)
    [posted] = bot.chat.clips()
    assert [each.prompt for each in posted.about.shots] == [LINES[0], "the fox walks", LINES[2]]
    assert len(bot.simulator.generations) == 4
    assert posted.charged == 3 * first.cost
    # Also what is not in the film any more begins where the shot before it ends.
    await again(bot, failed, "retry")
    await bot.check_books()


async def test_a_film_ends_without_the_rest_or_by_itself(bot: RunningBot) -> None:
    films = [await begin(bot, key) for key in ("a", "b", "c")]
    for film in films[:2]:
        await make(bot, film, 1)
        await fail(bot, film, 2)
    await fail(bot, films[2], 1)
    with pytest.raises(InvalidRequest, match="No shot"):
        await bot.studio.stories.finish(films[2], ANA)
    await bot.studio.stories.finish(films[0], ANA)
    done = await bot.delivered(films[0])
    assert done.clip is not None
    assert done.clip.seconds < 6
    # Nobody says a word about the others for a day.
    bot.clock.move(days=1)
    await bot.delivered(films[1])
    ended = await bot.until(films[2], JobState.FAILED)
    assert ended.failure is not None
    await bot.chat.until(lambda: isinstance(bot.chat.status(films[2]), Failed))
    assert await bot.app.database.read(jobs.open_ids) == []
    shots = await shots_of(bot, films[1])
    assert [each.cost > 0 for each in shots] == [True, False, False]
    await bot.check_books()


async def test_a_cancelled_film_charges_what_ran(bot: RunningBot) -> None:
    film = await begin(bot)
    await make(bot, film, 1)
    running_shot = await at_service(bot, film, 2)
    notice = await bot.studio.cancel(film, ANA)
    assert isinstance(notice, Cancelled)
    await bot.simulator.finish(running_shot.generation_id or "")
    await bot.until(running_shot.id, JobState.CANCELLED)
    shots = await shots_of(bot, film)
    assert [each.state for each in shots] == ["delivered", "cancelled", "cancelled"]
    assert [each.cost > 0 for each in shots] == [True, True, False]
    assert bot.chat.clips() == []
    total = sum(each.cost for each in shots)
    await bot.chat.until(
        lambda: (
            bot.chat.status(film) is not None
            and getattr(bot.chat.status(film), "charged", 0) == total
        )
    )
    await bot.check_books()


async def test_a_clip_of_an_open_film_is_kept_however_old_it_is(
    start_bot: Callable[..., Any],
) -> None:
    bot = await start_bot(bot={"clip_retention_days": 1})
    film = await begin(bot)
    for number in (1, 2):
        await make(bot, film, number)
    await fail(bot, film, 3)
    bot.clock.move(hours=20)
    await bot.studio.stories.redo(film, 3, ANA, dedupe_key="naps", prompt="the fox naps")
    await fail(bot, film, 3)
    bot.clock.move(hours=5)
    await bot.app._housekeeping().clean()
    await bot.studio.stories.finish(film, ANA)
    done = await bot.until(film, JobState.DELIVERED, JobState.FAILED)
    assert done.state is JobState.DELIVERED, done.failure


async def test_a_film_is_not_finished_while_a_shot_is_made_again(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await begin(bot)
    await make(bot, film, 1)
    await fail(bot, film, 2)
    service = bot.studio.stories
    decide = service._decide

    async def decide_late(*given: Any) -> Notice:
        await service.redo(film, 2, ANA, dedupe_key="walks", prompt="it walks")
        await at_service(bot, film, 2)
        return await decide(*given)

    monkeypatch.setattr(service, "_decide", decide_late)
    with pytest.raises(Stale, match="is being made again") as late:
        await service.finish(film, ANA)
    assert "charged" not in str(describe_error(late.value))
    for number in (2, 3):
        await make(bot, film, number)
    done = await bot.delivered(film)
    assert done.clip is not None
    assert done.clip.seconds == pytest.approx(15, abs=0.2)
    assert len(bot.simulator.generations) == 4
