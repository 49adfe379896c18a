"""One job, two services that sell the same model: it goes on only from a certain no, paid once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.config import Config, to_config
from bot.errors import QuotaExceeded
from bot.job import Job, JobState
from bot.notices import Delivered, Generating, Waiting
from bot.refs import JobId
from bot.request import GenerationRequest, StoryWork, VideoWork
from bot.simulator import Faults, Simulator
from bot.simulator.account import SimulatorSettings
from bot.simulator.faces.fal import FACE as FAL
from bot.simulator.faces.luma import FACE as LUMA
from bot.store import attempts, settings, stories
from tests.conftest import KEY, MANUAL, RunningBot, running
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

#: 5 s at 540p cost this at fal, by the clip; at Luma it depends on the pixels.
FALS_PRICE = 200_000


@dataclass
class TwoServices:
    """A bot, and the two services in the order in which it asks them."""

    bot: RunningBot
    luma: Simulator
    fal: Simulator

    def accepted(self) -> tuple[int, int]:
        """How many generations each service ever took."""
        return len(self.luma.generations), len(self.fal.generations)

    async def finish(self) -> None:
        for server in (self.luma, self.fal):
            for each in list(server.generations.values()):
                if not each.is_over:
                    await server.finish(each.id)

    async def delivered(self, job_id: JobId) -> Job:
        """Wait for the clip, whoever makes it; there is one, paid once, and the books agree."""
        await self.bot.until(job_id, JobState.GENERATING, JobState.FETCHING)
        await self.finish()
        job = await self.bot.delivered(job_id)
        assert sum(self.accepted()) == 1
        assert len(self.bot.chat.clips(job_id)) == 1
        await self.bot.check_books()
        return job

    async def let_pass(self, job_id: JobId, state: JobState, **time: float) -> None:
        """Let time pass, so much at a time, until a job stands in this state."""
        async with asyncio.timeout(30):
            while (await self.bot.job(job_id)).state is not state:
                await self.bot.clock.let_pass(**time, moment=0.05)


Open = Callable[..., Awaitable[TwoServices]]


def to_community_config(folder: Path, luma: Simulator, fal: Simulator, **limits: Any) -> Config:
    service = {"api_key": KEY, "first_look_seconds": 0, "look_seconds": 0.05}
    service |= {"gets_per_second": 100, "submit_timeout_seconds": 2, "creates_per_minute": 1000}
    return to_config(
        {
            "bot": {
                "data_dir": str(folder / "data"),
                "public_port": 0,
                "private_port": 0,
                "min_free_bytes": 0,
                "shutdown_grace_seconds": 2,
            },
            "defaults": {"providers": ["luma", "fal"], "aspect_ratio": "16:9"},
            "limits": {"usd_per_person_per_day": 100, **limits},
            "providers": {
                "luma": {**service, "base_url": luma.base_url, "min_balance_usd": 0},
                # Its answers are held for as long as something else happens.
                "fal": {**service, "base_url": fal.base_url, "submit_timeout_seconds": 20},
            },
        }
    )


@pytest.fixture
async def open_services(
    tmp_path: Path, chat: RecordingAdapter, clock: MovableClock
) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_(fals: SimulatorSettings = MANUAL, **limits: Any) -> TwoServices:
            luma, fal = [
                await stack.enter_async_context(Simulator(how, Faults(), face=face))
                for how, face in ((MANUAL, LUMA), (fals, FAL))
            ]
            config = to_community_config(tmp_path, luma, fal, **limits)
            bot = await stack.enter_async_context(running(config, luma, chat, clock))
            return TwoServices(bot, luma, fal)

        yield open_


@pytest.fixture
async def services(open_services: Open) -> TwoServices:
    return await open_services()


# ---- a certain no ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (401, "Invalid API key is provided"),
        (402, "Insufficient credits"),
        (404, "Not Found"),
        (410, "Gone"),
    ],
)
async def test_what_only_the_operator_can_mend_sends_the_job_on_at_once(
    services: TwoServices, status: int, detail: str
) -> None:
    services.luma.faults.refuse("create", status, detail, times=50)
    job = await services.delivered(await services.bot.ask())
    assert services.accepted() == (0, 1)
    assert job.plan is not None
    assert job.plan.provider == "fal"
    assert job.cost == FALS_PRICE
    [told] = await services.bot.notes()
    assert "Luma" in told.sentence


async def test_nobody_at_the_door_sends_the_job_on(services: TwoServices) -> None:
    await services.luma.close_port()
    job = await services.delivered(await services.bot.ask())
    assert (job.plan and job.plan.provider) == "fal"


async def test_its_person_reads_who_makes_it_and_for_what_price(services: TwoServices) -> None:
    services.luma.faults.refuse("create", 402, "Insufficient credits", times=50)
    job_id = await services.bot.ask()
    await services.fal.wait_for_creates(1)

    def is_made() -> bool:
        said = services.bot.chat.status(job_id)
        return isinstance(said, Generating) and bool(said.about.remarks)

    await services.bot.chat.until(is_made)
    said = services.bot.chat.status(job_id)
    assert isinstance(said, Generating)
    assert said.about.remarks[0] == (
        "luma takes nothing right now, so fal makes it, for $0.20 instead of $0.14."
    )
    await services.delivered(job_id)
    [clip] = services.bot.chat.clips(job_id)
    assert isinstance(clip, Delivered)
    assert clip.charged == FALS_PRICE


async def test_the_next_request_goes_there_right_away_until_it_is_time_to_try_again(
    services: TwoServices,
) -> None:
    services.luma.faults.refuse("create", 401, "Invalid API key is provided")
    first = await services.bot.ask()
    await services.fal.wait_for_creates(1)
    second = await services.bot.ask()
    await services.fal.wait_for_creates(2)
    assert services.luma.requests["POST /generations/video"] == 1
    services.bot.clock.move(minutes=6)
    third = await services.bot.ask()
    await services.luma.wait_for_creates(1)
    await services.finish()
    by = [(await services.bot.delivered(each)).plan for each in (first, second, third)]
    assert [plan and plan.provider for plan in by] == ["fal", "fal", "luma"]
    await services.bot.check_books()


async def test_those_who_wait_in_line_are_sent_on_too(services: TwoServices) -> None:
    services.luma.faults.refuse("create", 402, "Insufficient credits", times=50)
    ids = [await services.bot.ask() for _ in range(5)]
    await services.fal.wait_for_creates(5)
    await services.finish()
    for each in ids:
        await services.bot.delivered(each)
    assert services.accepted() == (0, 5)
    await services.bot.check_books()


async def test_no_service_learns_who_somebody_is(services: TwoServices) -> None:
    job_id = await services.bot.ask()
    await services.bot.until(job_id, JobState.GENERATING)
    sent = await services.bot.app.database.read(lambda conn: attempts.get(conn, job_id, 1))
    assert sent is not None
    person = to_requester().person
    assert len(sent.submission.requester_hash) == 64
    assert sent.submission.requester_hash != hashlib.sha256(person.encode()).hexdigest()
    await services.delivered(job_id)


async def lost_at_luma(
    services: TwoServices, asked: GenerationRequest | None = None
) -> tuple[JobId, str]:
    """A job whose answer was lost and which was then twice not found there; it goes on to fal."""
    services.luma.faults.drop("create", accepted=True)
    services.luma.faults.hide_new(50)
    services.luma.faults.break_callback("lost")
    job_id = (await services.bot.studio.submit(asked or to_request(key="lost"))).job_id
    await services.luma.wait_for_creates(1)
    services.luma.faults.refuse("create", 402, "Insufficient credits", times=50)
    [generation] = services.luma.generations.values()
    return job_id, generation.id


async def sent_to_fal(services: TwoServices, job_id: JobId, *, after: int = 0) -> None:
    """Wait until fal hears of it; a step that outlasts what is let pass believes that it froze."""

    def sent() -> int:
        counted = services.fal.requests.items()
        return sum(times for what, times in counted if what.startswith("POST"))

    async with asyncio.timeout(30):
        while sent() <= after:
            if (await services.bot.job(job_id)).attempt < 2:
                services.bot.clock.move(seconds=2)
            await asyncio.sleep(0.05)


async def made_late_at_luma(services: TwoServices, generation_id: str) -> None:
    """Let it end there while its job is elsewhere, and wait until the operator hears of it."""
    await services.luma.finish(generation_id)
    async with asyncio.timeout(30):
        while not any(generation_id in each.sentence for each in await services.bot.notes()):
            await asyncio.sleep(0.02)


async def test_a_clip_that_the_first_made_after_all_is_the_firsts(services: TwoServices) -> None:
    services.fal.faults.too_many("create", retry_after=3600)
    job_id, generation_id = await lost_at_luma(services)
    await sent_to_fal(services, job_id)
    # Found absent twice, refused here and then told to wait there: so it is in line at fal.
    job = await services.bot.until(job_id, JobState.ACCEPTED)
    assert (job.plan and job.plan.provider) == "fal"
    await services.luma.finish(generation_id)
    job = await services.bot.delivered(job_id)
    assert job.plan
    assert job.plan.provider == "luma"
    assert job.plan.detour.startswith("luma had taken it after all, so it makes it, for $")
    assert services.accepted() == (1, 0)
    assert job.cost < FALS_PRICE
    await services.bot.check_books()


@pytest.mark.parametrize("is_told", [False, True])
async def test_what_the_first_made_while_the_second_is_asked_is_had_where_that_refuses(
    services: TwoServices,
    is_told: bool,
) -> None:
    released = services.fal.faults.hold_refusal("create", 429, "Rate limit exceeded")
    job_id, generation_id = await lost_at_luma(services)
    await sent_to_fal(services, job_id)
    await made_late_at_luma(services, generation_id)
    database, key = services.bot.app.database, f"orphan:{generation_id}"
    if is_told:
        now = services.bot.clock.now()
        await database.write(lambda tx: settings.tell(tx, key, now))
    released.set()
    job = await services.bot.delivered(job_id)
    assert (job.plan and job.plan.provider) == "luma"
    assert services.accepted() == (1, 0)
    about = [each for each in await services.bot.notes() if generation_id in each.sentence]
    # Who heard that it is lost hears that it is not.
    assert not about or f"is {job_id}'s." in about[-1].sentence
    assert about or not is_told
    await services.bot.check_books()


@pytest.mark.parametrize("why", ["Job failed", "Content moderation failed"])
async def test_what_the_first_made_while_the_second_runs_is_had_where_that_fails(
    services: TwoServices, why: str
) -> None:
    job_id, generation_id = await lost_at_luma(services)
    await sent_to_fal(services, job_id)
    await services.bot.until(job_id, JobState.GENERATING)
    await made_late_at_luma(services, generation_id)
    [at_fal] = services.fal.generations
    await services.fal.fail(at_fal, why)
    job = await services.bot.delivered(job_id)
    assert (job.plan and job.plan.provider) == "luma"
    assert services.accepted() == (1, 1)
    assert len(services.bot.chat.clips(job_id)) == 1
    await services.bot.check_books()


@pytest.mark.parametrize(
    "work", [VideoWork(prompt="a fox"), StoryWork(shots=("a fox", "it runs"))]
)
async def test_a_cancel_that_stops_the_second_does_not_lose_what_the_first_made_meanwhile(
    open_services: Open, work: VideoWork | StoryWork
) -> None:
    services = await open_services(replace(MANUAL, running_limit=1))
    bot = services.bot
    asked, generation_id = await lost_at_luma(
        services, to_request().model_copy(update={"work": work})
    )
    shots = await bot.app.database.read(lambda conn: stories.shots(conn, asked))
    job_id = shots[0].id if shots else asked
    await bot.ask()
    await services.fal.wait_for_creates(1)  # Where that runs, the other one waits.
    await sent_to_fal(services, job_id, after=1)
    at_fal = (await bot.until(job_id, JobState.GENERATING)).generation_id
    await made_late_at_luma(services, generation_id)
    services.luma.faults.down()
    released = services.fal.faults.hold("delete")
    cancel = asyncio.create_task(bot.studio.cancel(asked, to_requester()))
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).generation_id in (None, at_fal):
            await asyncio.sleep(0.02)
    released.set()
    await cancel
    services.luma.faults.up()
    job = await bot.until(job_id, JobState.CANCELLED)
    # It was paid, so its person has it, and pays for it.
    assert job.clip is not None
    assert job.cost > 0
    await bot.check_books()


# ---- what is no certain no ---------------------------------------------------------------------


async def test_a_lost_answer_goes_nowhere_else(services: TwoServices) -> None:
    services.luma.faults.drop("create", accepted=True)
    job_id = await services.bot.ask()
    await services.luma.wait_for_creates(1)
    await services.let_pass(job_id, JobState.GENERATING, seconds=10)
    job = await services.delivered(job_id)
    assert services.accepted() == (1, 0)
    assert (job.plan and job.plan.provider) == "luma"


async def test_too_many_is_a_pause_and_no_reason_to_leave(services: TwoServices) -> None:
    services.luma.faults.too_many("create", retry_after=1)
    job_id = await services.bot.ask()
    await services.luma.until(lambda: services.luma.requests["POST /generations/video"] >= 1)
    services.bot.clock.move(seconds=2)
    job = await services.delivered(job_id)
    assert services.accepted() == (1, 0)
    assert 0 < job.cost < FALS_PRICE


async def test_a_refused_prompt_is_refused(services: TwoServices) -> None:
    services.luma.faults.refuse("create", 400, "Advanced prompt moderation failed")
    job_id = await services.bot.ask()
    job = await services.bot.until(job_id, JobState.FAILED)
    assert job.cost == 0
    assert services.accepted() == (0, 0)


async def test_when_nobody_takes_it_it_waits_and_the_first_who_is_back_makes_it(
    services: TwoServices,
) -> None:
    services.luma.faults.refuse("create", 402, "Insufficient credits")
    services.fal.faults.refuse("create", 401, "bad key")
    job_id = await services.bot.ask()
    await services.bot.chat.until(lambda: isinstance(services.bot.chat.status(job_id), Waiting))
    assert services.accepted() == (0, 0)
    await services.let_pass(job_id, JobState.GENERATING, minutes=6)
    await services.delivered(job_id)


# ---- money -------------------------------------------------------------------------------------


async def test_enough_is_held_for_the_dearest_way_and_no_more_than_a_limit_has_room_for(
    open_services: Open,
) -> None:
    services = await open_services(usd_per_person_per_day=0.16)
    job_id = await services.bot.ask()
    job = await services.bot.until(job_id, JobState.GENERATING)
    assert job.plan is not None
    assert job.plan.others == (), "there is no room for fal's price"
    assert job.cost < 160_000
    with pytest.raises(QuotaExceeded):
        await services.bot.ask()
    await services.delivered(job_id)


async def test_a_dearer_way_is_offered_and_taken_only_when_its_person_agrees(
    open_services: Open,
) -> None:
    services = await open_services(confirm_above_usd=0.15)
    services.luma.faults.refuse("create", 402, "Insufficient credits", times=50)
    job_id = await services.bot.ask()
    chat = services.bot.chat

    def has_offer() -> bool:
        said = chat.status(job_id)
        return isinstance(said, Waiting) and said.offer is not None

    await chat.until(has_offer)
    assert services.accepted() == (0, 0)
    said = chat.status(job_id)
    assert isinstance(said, Waiting)
    assert said.offer is not None
    assert (said.offer.provider, said.offer.price.micros) == ("fal", FALS_PRICE)
    # Its own service is asked again now and then; a yes that comes just then changes nothing, and
    # what was offered still stands.
    async with asyncio.timeout(30):
        while (plan := (await services.bot.job(job_id)).plan) and plan.provider == "luma":
            await services.bot.studio.confirm(job_id, to_requester())
    job = await services.delivered(job_id)
    assert (services.accepted(), job.cost) == ((0, 1), FALS_PRICE)
