"""A story end to end: shots one after another, one film, one post, each shot paid once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageChops, ImageStat
from rich.console import Console

from adapters.login import whoami
from adapters.terminal.listener import Terminal
from adapters.terminal.render import PlainScreen
from adapters.terminal.sources import Listed
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
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

LINES = ("a fox wakes up", "the fox runs", "the fox sleeps")
FIRST, LAST = False, True
ANA = to_requester("ana")


def to_story(*lines: str, key: str = "story", user: str = "ana") -> GenerationRequest:
    work = StoryWork(shots=lines)
    return to_request(key=key, user=user).model_copy(update={"work": work})


async def begin(house: House, key: str = "story") -> JobId:
    receipt = await house.studio.submit(to_story(*LINES, key=key))
    assert isinstance(receipt.notice, Accepted)
    return receipt.job_id


async def shots_of(house: House, film: JobId) -> list[Job]:
    return await house.app.database.read(lambda conn: stories.shots(conn, film))


async def at_service(house: House, film: JobId, number: int) -> Job:
    """A shot, once the service has it."""
    shot = (await shots_of(house, film))[number - 1]
    return await house.until(shot.id, JobState.GENERATING)


async def make(house: House, film: JobId, number: int) -> Job:
    """Let the service finish a shot."""
    shot = await at_service(house, film, number)
    assert shot.generation_id is not None
    await house.simulator.finish(shot.generation_id)
    return await house.until(shot.id, JobState.DELIVERED)


async def fail(house: House, film: JobId, number: int) -> Job:
    """Let the service refuse what a shot shows, and wait until its person was told."""
    shot = await at_service(house, film, number)
    assert shot.generation_id is not None
    await house.simulator.fail(shot.generation_id, "Prompt not allowed by moderation")
    await house.chat.until(lambda: isinstance(house.chat.status(film), ShotFailed))
    return await house.until(shot.id, JobState.FAILED)


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
        running(to_test_config(tmp_path, simulator), simulator, chat, clock) as house,
    ):
        film = (await house.studio.submit(to_story(*LINES[:2]))).job_id
        first, second = [await make(house, film, number) for number in (1, 2)]
        done = await house.delivered(film)
        files = [
            await house.studio._clips.local(each.clip)
            for each in (first, second, done)
            if each.clip
        ]
    one, two, whole = files
    moved = unlike(one, one, at=(LAST, FIRST))
    assert unlike(one, two, at=(LAST, FIRST)) < moved / 3
    assert unlike(one, whole, at=(FIRST, FIRST)) < 1
    assert unlike(two, whole, at=(LAST, LAST)) < 1


async def test_a_story_is_posted_once_as_one_film(house: House) -> None:
    film = await begin(house)
    said: list[Notice | None] = []
    for number in (1, 2, 3):
        await at_service(house, film, number)
        await house.chat.until(lambda: isinstance(house.chat.status(film), Filming))
        said.append(house.chat.status(film))
        await make(house, film, number)
    done, shots = await house.delivered(film), await shots_of(house, film)
    assert [describe(each).title for each in said if each] == [
        f"Shot {number} of 3" for number in (1, 2, 3)
    ]
    assert done.clip is not None
    assert done.clip.frames == sum(each.clip.frames for each in shots if each.clip)
    assert done.clip.seconds == pytest.approx(
        sum(each.clip.seconds for each in shots if each.clip), abs=0.05
    )
    [posted] = house.chat.clips()
    assert posted.about.job_id == film
    assert [each.prompt for each in posted.about.shots] == list(LINES)
    await house.chat.until(lambda: isinstance(house.chat.status(film), Done))
    assert {post.key for post in house.chat.posts} == {f"{film}:status", f"{film}:clip"}
    await _check_paid(house, film, shots, posted)
    await _check_pages(house, film, shots)


async def _check_paid(house: House, film: JobId, shots: list[Job], posted: Delivered) -> None:
    """Each shot was paid once, and the film is no clip more."""
    assert len(house.simulator.generations) == 3
    assert posted.charged == sum(each.cost for each in shots)
    assert len({each.cost for each in shots}) == 1
    assert posted.charged > 0
    used = await house.studio.usage(ANA)
    assert (used.today.asked, used.today.delivered) == (3, 3)
    assert used.today.charged == posted.charged
    assert used.today.seconds == pytest.approx(posted.seconds, abs=0.05)
    await house.check_books()


async def _check_pages(house: House, film: JobId, shots: list[Job]) -> None:
    assert [line.job_id for line in await house.studio.jobs(ANA)] == [film]
    shown = (await house.studio.show(film, ANA)).notice
    assert isinstance(shown, Delivered)
    assert f"0:05 the fox runs · {shots[1].id}" in describe(shown).lines
    of_shot = (await house.studio.show(shots[1].id, ANA)).notice
    assert f"Shot of the film {film}" in describe(of_shot).lines
    with pytest.raises(InvalidRequest, match="is a film"):
        await house.ask("on and on", key="on", start_frame=ClipFrame(job_id=film))
    for act in (house.studio.cancel, house.studio.delete):
        with pytest.raises(InvalidRequest, match="a shot of the film"):
            await act(shots[0].id, ANA)
    await house.studio.delete(film, ANA)
    assert house.chat.clips() == []
    kept = house.config.bot.data_dir / "media" / "clips"
    assert not kept.exists() or list(kept.iterdir()) == []
    later = house.clock.now() + timedelta(days=1)
    await house.app.database.write(lambda tx: jobs.forget_prompts(tx, later))
    for job in [await house.job(film), *await shots_of(house, film)]:
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
    house: House, lines: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        await house.studio.submit(to_story(*lines))
    assert await house.app.database.read(jobs.open_ids) == []
    assert await house.studio.jobs(ANA) == ()


async def test_the_whole_is_held_against_the_budget(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(
        limits={"usd_per_person_per_day": 0.4, "running_per_person": 1, "confirm_above_usd": None}
    )
    with pytest.raises(QuotaExceeded, match=r"costs about \$0\.4[0-9]"):
        await house.studio.submit(to_story(*LINES))
    assert await house.app.database.read(jobs.open_ids) == []
    assert house.simulator.generations == {}
    used = await house.studio.usage(ANA)
    assert (used.today.refused, used.today.charged) == (1, 0)
    # Two shots are within it, although only one clip may run at once: they do one by one.
    film = (await house.studio.submit(to_story(*LINES[:2], key="short"))).job_id
    with pytest.raises(QuotaExceeded, match="clips running at once"):
        await house.submit("another", key="more")
    await make(house, film, 1)
    await make(house, film, 2)
    await house.delivered(film)
    await house.check_books()


async def test_one_word_starts_a_dear_story(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(limits={"confirm_above_usd": 0.3})
    receipt = await house.studio.submit(to_story(*LINES))
    assert isinstance(receipt.notice, ConfirmNeeded)
    assert await shots_of(house, receipt.job_id) == []
    confirmed = await house.studio.confirm(receipt.job_id, ANA)
    assert isinstance(confirmed.notice, Accepted)
    shots = await shots_of(house, receipt.job_id)
    assert receipt.notice.about.price is not None
    assert receipt.notice.about.price.micros == sum(price(each) for each in shots)
    await house.check_books()


async def test_a_film_whose_price_is_confirmed_twice_at_once_is_made_once(
    open_house: Callable[..., Any],
) -> None:
    house: House = await open_house(limits={"confirm_above_usd": 0.3})
    receipt = await house.studio.submit(to_story(*LINES))
    told = await asyncio.gather(*(house.studio.confirm(receipt.job_id, ANA) for _ in range(3)))
    assert {each.job_id for each in told} == {receipt.job_id}
    assert [shot.shot for shot in await shots_of(house, receipt.job_id)] == [1, 2, 3]
    await house.check_books()


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

    def create(studio: Studio) -> Terminal:
        return Terminal(
            studio, folder=tmp_path, screen=screen, source=keys, clock=clock, assume_yes=False
        )

    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock, terminal=create) as house:
        await keys.typed.put("story")
        await keys.typed.put('story "a fox wakes" | "it runs" | "it sleeps" --ar 16:9')
        await simulator.wait_for_creates(1)
        [film] = [line.job_id for line in await house.studio.open_jobs(whoami("terminal"))]
        await make(house, film, 1)
        second = await at_service(house, film, 2)
        await simulator.fail(second.generation_id or "", "Prompt not allowed by moderation")
        await house.until(second.id, JobState.FAILED)
        await keys.typed.put(f"redo {film} 2 it walks")
        await simulator.wait_for_creates(3)
        await make(house, film, 2)
        third = await at_service(house, film, 3)
        await simulator.fail(third.generation_id or "", "Frame moderation failed")
        await house.until(third.id, JobState.FAILED)
        await keys.typed.put(f"finish {film}")
        await house.delivered(film)
        await house.check_books()
    said = shown.getvalue()
    for words in (
        *("The story is empty", "Shot 1 of 3", "Shot 2 of 3 failed", "(or other words after it)"),
        *("Shot 3 of 3 failed", "Your film is ready", "0:00 a fox wakes", "0:05 it walks"),
    ):
        assert words in said
    assert len(list(tmp_path.glob("*.mp4"))) == 1


# ---- when a shot fails -----------------------------------------------------------------------


async def test_a_failed_shot_is_made_again_without_the_others(house: House) -> None:
    film = await begin(house)
    first = await make(house, film, 1)
    failed = await fail(house, film, 2)
    waiting = house.chat.status(film)
    assert isinstance(waiting, ShotFailed)
    assert (waiting.number, waiting.can_finish) == (2, True)
    with pytest.raises(InvalidRequest, match="It is shot 2"):
        await house.studio.stories.redo(film, 1, ANA, dedupe_key="first")
    with pytest.raises(Refusal, match="somebody else's"):
        await house.studio.stories.redo(film, 2, to_requester("ben"), dedupe_key="bens")
    with pytest.raises(InvalidRequest, match=f"redo {film} 2"):
        await house.studio.retry(failed.id, ANA, dedupe_key="again", thread=first.request.thread)
    here = ANA.tenant
    await house.studio.admin.set_words(here, actor=ANA, words=["limps"])
    with pytest.raises(Moderated):
        await house.studio.stories.redo(film, 2, ANA, dedupe_key="limps", prompt="the fox limps")
    receipt = await house.studio.stories.redo(
        film, 2, ANA, dedupe_key="walks", prompt="the fox walks"
    )
    assert isinstance(receipt.notice, Filming)
    await make(house, film, 2)
    await make(house, film, 3)
    await house.delivered(film)
    [posted] = house.chat.clips()
    assert [each.prompt for each in posted.about.shots] == [LINES[0], "the fox walks", LINES[2]]
    assert len(house.simulator.generations) == 4
    assert posted.charged == 3 * first.cost
    await house.check_books()


async def test_a_film_ends_without_the_rest_or_by_itself(house: House) -> None:
    films = [await begin(house, key) for key in ("a", "b", "c")]
    for film in films[:2]:
        await make(house, film, 1)
        await fail(house, film, 2)
    await fail(house, films[2], 1)
    with pytest.raises(InvalidRequest, match="No shot"):
        await house.studio.stories.finish(films[2], ANA)
    await house.studio.stories.finish(films[0], ANA)
    done = await house.delivered(films[0])
    assert done.clip is not None
    assert done.clip.seconds < 6
    # Nobody says a word about the others for a day.
    house.clock.move(days=1)
    await house.delivered(films[1])
    ended = await house.until(films[2], JobState.FAILED)
    assert ended.failure is not None
    await house.chat.until(lambda: isinstance(house.chat.status(films[2]), Failed))
    assert await house.app.database.read(jobs.open_ids) == []
    shots = await shots_of(house, films[1])
    assert [each.cost > 0 for each in shots] == [True, False, False]
    await house.check_books()


async def test_a_cancelled_film_charges_what_ran(house: House) -> None:
    film = await begin(house)
    await make(house, film, 1)
    running_shot = await at_service(house, film, 2)
    notice = await house.studio.cancel(film, ANA)
    assert isinstance(notice, Cancelled)
    await house.simulator.finish(running_shot.generation_id or "")
    await house.until(running_shot.id, JobState.CANCELLED)
    shots = await shots_of(house, film)
    assert [each.state for each in shots] == ["delivered", "cancelled", "cancelled"]
    assert [each.cost > 0 for each in shots] == [True, True, False]
    assert house.chat.clips() == []
    total = sum(each.cost for each in shots)
    await house.chat.until(
        lambda: (
            house.chat.status(film) is not None
            and getattr(house.chat.status(film), "charged", 0) == total
        )
    )
    await house.check_books()


async def test_a_clip_of_an_open_film_is_kept_however_old_it_is(
    open_house: Callable[..., Any],
) -> None:
    house = await open_house(bot={"clip_retention_days": 1})
    film = await begin(house)
    for number in (1, 2):
        await make(house, film, number)
    await fail(house, film, 3)
    house.clock.move(hours=20)
    await house.studio.stories.redo(film, 3, ANA, dedupe_key="naps", prompt="the fox naps")
    await fail(house, film, 3)
    house.clock.move(hours=5)
    await house.app._housekeeping().clean()
    await house.studio.stories.finish(film, ANA)
    done = await house.until(film, JobState.DELIVERED, JobState.FAILED)
    assert done.state is JobState.DELIVERED, done.failure


async def test_a_film_is_not_finished_while_a_shot_is_made_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await begin(house)
    await make(house, film, 1)
    await fail(house, film, 2)
    service = house.studio.stories
    decide = service._decide

    async def decide_late(*given: Any) -> Notice:
        await service.redo(film, 2, ANA, dedupe_key="walks", prompt="it walks")
        await at_service(house, film, 2)
        return await decide(*given)

    monkeypatch.setattr(service, "_decide", decide_late)
    with pytest.raises(Stale, match="is being made again") as late:
        await service.finish(film, ANA)
    assert "charged" not in str(describe_error(late.value))
    for number in (2, 3):
        await make(house, film, number)
    done = await house.delivered(film)
    assert done.clip is not None
    assert done.clip.seconds == pytest.approx(15, abs=0.2)
    assert len(house.simulator.generations) == 4
