"""What the operator does is written down, what they must know is told once, and time cleans up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.cli.checkup import inspect
from bot.clips import Clips
from bot.codec import Codec
from bot.dispatch.local import LocalDispatcher
from bot.dispatch.single import SingleProcess
from bot.errors import (
    DeliveryUnavailable,
    InvalidRequest,
    JobNotFound,
    ProviderUnavailable,
    QuotaExceeded,
    StoreError,
    ThreadGone,
)
from bot.frames import Frames, frame_key
from bot.housekeeping import CLEAN_EVERY, Housekeeping
from bot.job import Failure, Job, JobState, Route
from bot.media import LinkSigner, Media, open_media
from bot.metrics import Metrics
from bot.notices import Notice, Operator
from bot.operations import TELL_EVERY, Operations
from bot.ports import Provider
from bot.providers.luma import Luma, Settings
from bot.refs import GenerationId, JobId, MediaKey, Micros, Price, ThreadRef
from bot.replicas import Replicas
from bot.request import Requester
from bot.routing.failover import Failover
from bot.store import reports, settings
from bot.store.database import open_database
from bot.studio.inbox import Inbox
from bot.tables import BotTable, Contact
from tests.bot.store.conftest import NOW, Books
from tests.bucket import NAME, Bucket
from tests.conftest import RunningBot
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

S = JobState


@dataclass
class Office:
    """The operator's acts on a true database, and whom they told."""

    books: Books
    clock: MovableClock
    announced: list[JobId] = field(default_factory=list)
    watched: list[JobId] = field(default_factory=list)
    chat: RecordingAdapter = field(default_factory=RecordingAdapter)
    slack: RecordingAdapter = field(default_factory=RecordingAdapter)
    contacts: list[Contact] = field(default_factory=lambda: [Contact(adapter="discord", id="7")])
    replicas: Replicas = field(default_factory=SingleProcess)

    def __post_init__(self) -> None:
        self.dispatcher = LocalDispatcher(self.clock, self._nothing_due)
        self.operations = self._with({})

    async def start(self, *serving: str, draining: Sequence[str] = ()) -> None:
        """Begin anew, with these video services."""
        slots = dict.fromkeys(serving, 10) | dict.fromkeys(draining, 0)
        self.operations = self._with(
            {
                name: Luma(
                    Settings().model_copy(update={"running_limit": running}),
                    clock=self.clock,
                    name=name,
                )
                for name, running in slots.items()
            }
        )
        await self.operations.recover()

    def _with(self, providers: Mapping[str, Provider]) -> Operations:
        return Operations(
            database=self.books.database,
            dispatcher=self.dispatcher,
            clock=self.clock,
            announce=self.announced.append,
            watch=lambda job: self.watched.append(job.id),
            wake_courier=lambda: None,
            providers=providers,
            adapters={"discord": self.chat, "slack": self.slack},
            contacts=self.contacts,
            failover=Failover(
                is_open=lambda name: name == "fal",
                is_well=lambda name: name == "fal",
                confirm_above_usd=1.0,
                moved=lambda *_: None,
            ),
            replicas=self.replicas,
        )

    async def _nothing_due(self) -> list[Any]:
        return []

    async def uncertain(self) -> Job:
        return await self.books.move(await self.books.reach(S.SUBMITTING), S.UNCERTAIN)

    async def parked(self) -> Job:
        job = await self.books.reach(S.FETCHING)
        return await self.books.change(job, parked_at=NOW, next_at=None, crashes=3, tries=5)

    async def audit(self) -> list[tuple[Any, ...]]:
        return await self.books.rows("SELECT actor, act, target, detail FROM audit_log")

    async def note(self, key: str, sentence: str = "Look at this.") -> None:
        now = self.clock.now()
        await self.books.database.write(
            lambda tx: settings.note_operator(tx, key, sentence, now, None)
        )

    async def untold(self) -> list[str]:
        return [each.key for each in await self.books.database.read(settings.untold)]

    async def until_told(self, *keys: str) -> None:
        """Wait until the notices that were told are these."""
        async with asyncio.timeout(30):
            while await self._told() != set(keys):
                await asyncio.sleep(0.01)

    async def _told(self) -> set[str]:
        rows = await self.books.rows("SELECT key FROM operator_notices WHERE told_at IS NOT NULL")
        return {key for (key,) in rows}


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
    await database.start()
    yield Books(database)
    await database.stop()


@pytest.fixture
def office(books: Books, clock: MovableClock) -> Office:
    return Office(books, clock)


# ---- unpark -----------------------------------------------------------------------------------


async def test_a_job_that_was_put_aside_goes_on_at_once(office: Office) -> None:
    parked = await office.parked()
    job = await office.operations.unpark(parked.id, actor="ada")
    assert job.parked_at is None
    assert (job.state, job.crashes, job.tries) == (S.FETCHING, 0, 0)
    assert job.next_at is not None
    assert job.next_at <= office.clock.now()
    assert await office.audit() == [("ada", "unpark", job.id, "")]
    advanced = asyncio.get_running_loop().create_future()

    async def advance(job_id: JobId, _at: datetime) -> None:
        advanced.set_result(job_id)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(office.dispatcher.run(advance))
        assert await advanced == job.id
        task.cancel()


async def test_only_what_was_put_aside_is_taken_up(office: Office) -> None:
    job = await office.books.reach(S.FETCHING)
    with pytest.raises(InvalidRequest, match=f"{job.id} was not put aside"):
        await office.operations.unpark(job.id, actor="ada")
    with pytest.raises(JobNotFound):
        await office.operations.unpark(JobId("r-none"), actor="ada")
    assert await office.audit() == []


# ---- resolve ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "cost"), [("charge", 100), ("release", 0)])
async def test_an_open_question_is_ended_and_written_down(
    office: Office, how: Any, cost: int
) -> None:
    question = await office.uncertain()
    job = await office.operations.resolve(question.id, how, generation_id=None, actor="ada")
    assert (job.state, job.cost) == (S.FAILED, cost)
    assert await office.audit() == [("ada", f"resolve {how}", job.id, "")]
    assert office.announced == office.watched == [job.id]
    assert await office.books.broken() == {}


async def test_a_question_is_ended_once(office: Office) -> None:
    question = await office.uncertain()

    async def release() -> Job:
        return await office.operations.resolve(
            question.id, "release", generation_id=None, actor="ada"
        )

    told = await asyncio.gather(release(), release(), return_exceptions=True)
    assert sorted(type(each).__name__ for each in told) == ["InvalidRequest", "Job"]
    assert len(await office.audit()) == 1


async def test_what_cannot_be_resolved_leaves_no_trace(office: Office) -> None:
    question, other = await office.uncertain(), await office.books.reach(S.GENERATING)
    fetching = await office.books.reach(S.FETCHING)
    resolve = office.operations.resolve
    with pytest.raises(InvalidRequest, match="Say which generation"):
        await resolve(question.id, "adopt", generation_id=None, actor="ada")
    with pytest.raises(InvalidRequest, match="luma is not configured, so nobody can tell"):
        await resolve(other.id, "release", generation_id=None, actor="ada")
    with pytest.raises(InvalidRequest, match="is fetching, neither uncertain nor put aside"):
        await resolve(fetching.id, "charge", generation_id=None, actor="ada")
    with pytest.raises(InvalidRequest, match="knows no generation g-none"):
        await resolve(question.id, "adopt", generation_id=GenerationId("g-none"), actor="ada")
    assert await office.audit() == []
    assert office.announced == []
    assert await office.books.get(question.id) == question
    assert await office.books.broken() == {}


async def put_aside(office: Office, state: JobState) -> Job:
    """Put aside by faults: a hold of 112, a price of 100, and 62 at its clip's true size."""
    job = await office.books.reach(state, micros=112)
    assert job.plan is not None
    plan = job.plan.model_copy(update={"price": Price(micros=Micros(100)), "rate": 1})
    return await office.books.change(job, plan=plan, parked_at=NOW, next_at=None)


@pytest.mark.parametrize("state", [S.RECEIVED, S.ACCEPTED, S.SUBMITTING, S.FETCHING, S.DELIVERING])
async def test_a_job_that_was_put_aside_can_be_given_back(office: Office, state: JobState) -> None:
    if state is S.RECEIVED:
        parked = await office.books.change(await office.books.received(), parked_at=NOW)
    else:
        parked = await put_aside(office, state)
    job = await office.operations.resolve(parked.id, "release", generation_id=None, actor="ada")
    assert (job.state, job.cost, job.parked_at) == (S.FAILED, 0, None)
    assert await office.audit() == [("ada", "resolve release", job.id, f"put aside, {state}")]
    assert office.announced == [job.id]
    assert await office.books.broken() == {}
    with pytest.raises(InvalidRequest, match="was not put aside"):
        await office.operations.unpark(job.id, actor="ada")


@pytest.mark.parametrize(
    ("state", "cost"), [(S.ACCEPTED, 0), (S.SUBMITTING, 0), (S.FETCHING, 100), (S.DELIVERING, 62)]
)
async def test_what_the_service_took_for_it_is_noted(
    office: Office, state: JobState, cost: int
) -> None:
    """The price that was told, or that of the clip's true size where there is a clip."""
    parked = await put_aside(office, state)
    await office.operations.resolve(parked.id, "release", generation_id=None, actor="ada")
    [(taken,)] = await office.books.rows("SELECT provider_cost FROM jobs")
    assert taken == cost
    now = parked.created_at
    days = [(now - timedelta(days=each), now + timedelta(days=1 - each)) for each in (0.5, 3)]
    borne = await office.books.database.read(
        lambda conn: [reports.borne(conn, *day) for day in days]
    )
    assert borne == [cost, 0]


@pytest.mark.parametrize(
    ("state", "cost", "code"),
    [(S.SUBMITTING, 112, "resolved"), (S.FETCHING, 112, "resolved"), (S.DELIVERING, 62, "kept")],
)
async def test_a_job_that_was_put_aside_can_be_charged(
    office: Office, state: JobState, cost: int, code: str
) -> None:
    """The hold, or the price of the clip's true size where there is a clip."""
    parked = await put_aside(office, state)
    job = await office.operations.resolve(parked.id, "charge", generation_id=None, actor="ada")
    assert (job.state, job.cost) == (S.FAILED, cost)
    assert job.failure is not None
    assert job.failure.code == code
    assert await office.books.entries(job) == [("hold", 112), ("settle", cost)]
    assert await office.books.broken() == {}


@pytest.mark.parametrize(("how", "cost"), [("charge", 112), ("release", 0)])
async def test_a_clip_that_cannot_be_had_for_long_is_given_up(
    office: Office, how: Any, cost: int
) -> None:
    stuck = await put_aside(office, S.FETCHING)
    stuck = await office.books.change(stuck, parked_at=None, tries=37)
    resolve = office.operations.resolve
    with pytest.raises(InvalidRequest, match="neither uncertain nor put aside"):
        await resolve(stuck.id, how, generation_id=None, actor="ada")
    await office.books.change(stuck, tries=38)
    job = await resolve(stuck.id, how, generation_id=None, actor="ada")
    assert (job.state, job.cost) == (S.FAILED, cost)
    assert await office.audit() == [("ada", f"resolve {how}", job.id, "stuck, fetching")]
    assert await office.books.broken() == {}


async def test_a_charge_is_never_that_of_a_dearer_way(office: Office) -> None:
    question = await office.uncertain()
    assert question.plan is not None
    dear = Route(provider="fal", work=question.plan.work, price=Price(micros=Micros(900)))
    plan = question.plan.model_copy(update={"others": (dear,), "price": Price(micros=Micros(60))})
    await office.books.change(question, plan=plan)
    job = await office.operations.resolve(question.id, "charge", generation_id=None, actor="a")
    assert job.cost == 60


@pytest.mark.parametrize("state", [S.RECEIVED, S.ACCEPTED, S.GENERATING])
async def test_nothing_is_charged_where_the_service_took_nothing(
    office: Office, state: JobState
) -> None:
    """Not sent yet, or failed at the service, which gives the money back."""
    if state is S.RECEIVED:
        parked = await office.books.change(await office.books.received(), parked_at=NOW)
    else:
        parked = await put_aside(office, state)
    if state is S.GENERATING:
        failure = Failure(code="service", sentence="It failed.")
        parked = await office.books.change(parked, provider_failure=failure)
    resolve = office.operations.resolve
    with pytest.raises(InvalidRequest, match="has cost nothing at the video service"):
        await resolve(parked.id, "charge", generation_id=None, actor="ada")
    assert await office.books.get(parked.id) == parked
    assert await office.audit() == []
    job = await resolve(parked.id, "release", generation_id=None, actor="ada")
    assert (job.state, job.cost) == (S.FAILED, 0)
    assert await office.books.rows("SELECT provider_cost FROM jobs") == [(0,)]
    assert await office.books.broken() == {}


async def test_a_job_that_was_put_aside_is_ended_or_taken_up_never_both(office: Office) -> None:
    parked = await put_aside(office, S.DELIVERING)
    told = await asyncio.gather(
        office.operations.resolve(parked.id, "release", generation_id=None, actor="ada"),
        office.operations.unpark(parked.id, actor="bob"),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in told) == ["InvalidRequest", "Job"]
    assert len(await office.audit()) == 1


# ---- a generation that is lost ----------------------------------------------------------------


async def lose(bot: RunningBot) -> tuple[JobId, str]:
    """A paid generation that its service does not know any more."""
    job_id = await bot.ask()
    await bot.until(job_id, JobState.GENERATING)
    [generation] = bot.simulator.generations
    bot.simulator.generations[generation].is_deleted = True
    return job_id, generation


async def until_told_of_loss(bot: RunningBot) -> None:
    async with asyncio.timeout(30):
        while not await told_by(bot, "missing:"):
            await bot.clock.let_pass(minutes=5)


@pytest.mark.parametrize(("how", "share", "taken"), [("charge", 1, 0), ("release", 0, 1)])
async def test_a_lost_generation_is_charged_or_released_once_its_loss_is_certain(
    bot: RunningBot, how: Any, share: int, taken: int
) -> None:
    job_id, generation = await lose(bot)
    resolve = bot.app.operations.resolve
    with pytest.raises(InvalidRequest, match=r"does not know generation .* just now"):
        await resolve(job_id, how, generation_id=None, actor="ada")
    await until_told_of_loss(bot)
    findings = await inspect(bot.app.database)
    assert [each.sentence for each in findings if not each.is_well] == [
        f"{job_id} waits for generation {generation}, which its video service does not know: "
        f"`raybot resolve {job_id} charge`, or `… release`"
    ]
    job = await resolve(job_id, how, generation_id=None, actor="ada")
    assert job.plan is not None
    assert (job.state, job.cost) == (JobState.FAILED, job.plan.hold * share)
    query = text("SELECT provider_cost FROM jobs UNION ALL SELECT detail FROM audit_log")
    rows = await bot.app.database.read(lambda conn: conn.execute(query).scalars().all())
    assert rows == [job.plan.price.charged * taken, f"lost {generation}"]
    assert len(bot.simulator.generations) == 1, "nothing was sent again"
    await bot.check_books()


async def test_a_generation_that_came_back_is_not_given_up(bot: RunningBot) -> None:
    job_id, generation = await lose(bot)
    await until_told_of_loss(bot)
    bot.simulator.generations[generation].is_deleted = False
    with pytest.raises(InvalidRequest, match=f"luma knows its generation {generation}"):
        await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="ada")
    await bot.simulator.finish(generation)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(minutes=1)
    await bot.check_books()


async def test_a_generation_is_not_given_up_while_nobody_can_ask(bot: RunningBot) -> None:
    job_id, _ = await lose(bot)
    await until_told_of_loss(bot)
    await bot.simulator.close_port()
    with pytest.raises(ProviderUnavailable):
        await bot.app.operations.resolve(job_id, "release", generation_id=None, actor="ada")
    assert (await bot.job(job_id)).state is JobState.GENERATING
    await bot.simulator.open_port()


# ---- a start after a stop ---------------------------------------------------------------------


async def test_what_was_in_hand_at_three_crashes_is_put_aside_and_told(office: Office) -> None:
    job = await office.books.reach(S.FETCHING)
    for _ in range(3):
        await office.start("luma")
        assert (await office.books.get(job.id)).parked_at is None
    await office.start("luma")
    assert (await office.books.get(job.id)).parked_at is not None
    [notice] = await office.books.database.read(settings.untold)
    assert notice.job_id == job.id
    assert f"`raybot unpark {job.id}` lets it go on" in notice.sentence


async def test_who_takes_over_what_died_in_hand_hears_when_it_is_due(office: Office) -> None:
    later = NOW + timedelta(minutes=5)
    job = await office.books.change(await office.books.reach(S.FETCHING), next_at=later)
    waits = await office.books.reach(S.GENERATING)
    assert await office.operations.blame(job.id) == later
    assert await office.operations.blame(waits.id) is None
    assert await office.operations.blame(JobId("r-none")) is None
    for _ in range(2):
        assert (await office.books.get(job.id)).parked_at is None
        await office.operations.blame(job.id)
    assert (await office.books.get(job.id)).parked_at is not None


async def test_an_orderly_stop_blames_nobody(office: Office) -> None:
    job = await office.books.reach(S.FETCHING)
    for _ in range(5):
        await office.start("luma")
        await office.books.database.write(lambda tx: settings.stop(tx, office.clock.now()))
    assert (await office.books.get(job.id)).crashes == 0


async def test_jobs_of_a_provider_that_is_gone_end_or_are_told_of(office: Office) -> None:
    waiting = await office.books.reach(S.ACCEPTED)
    runs = await office.books.reach(S.GENERATING)
    asked = await office.books.received()
    await office.start("luma")
    assert await office.books.get(waiting.id) == waiting
    for _ in range(2):
        await office.start("other")
    ended = await office.books.get(waiting.id)
    assert (ended.state, ended.cost) == (S.FAILED, 0)
    assert ended.failure is not None
    assert "luma is not set up here any more" in ended.failure.sentence
    assert await office.books.get(runs.id) == runs
    assert await office.books.get(asked.id) == asked
    assert await office.untold() == [f"unserved:{runs.id}"]
    assert await office.books.broken() == {}


async def test_what_a_service_has_that_is_draining_is_nobody_s_trouble(office: Office) -> None:
    waiting = await office.books.reach(S.ACCEPTED)
    runs = await office.books.reach(S.GENERATING)
    await office.start("other", draining=["luma"])
    assert (await office.books.get(waiting.id)).state is S.FAILED
    # Its generation failed, and it is in line again.
    back = await office.books.move(runs, S.ACCEPTED)
    await office.operations.unserved.look()
    assert (await office.books.get(back.id)).state is S.FAILED
    assert await office.untold() == []
    assert await office.books.broken() == {}


# ---- notices ----------------------------------------------------------------------------------


async def test_a_waiting_job_of_a_provider_that_is_gone_goes_to_the_next(office: Office) -> None:
    job = await office.books.reach(S.ACCEPTED)
    assert job.plan is not None
    other = Route(provider="fal", work=job.plan.work, price=job.plan.price)
    await office.books.change(job, plan=job.plan.model_copy(update={"others": (other,)}))
    await office.start("fal")
    moved = await office.books.get(job.id)
    assert (moved.state, moved.plan and moved.plan.provider) == (S.ACCEPTED, "fal")


async def test_a_notice_is_told_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    await office.note("first", "The balance is low.")
    await office.note("first", "The balance is lower.")
    with caplog.at_level(logging.WARNING):
        await office.operations.tell()
        await office.operations.tell()
    told = [record for record in caplog.records if "operator.notice" in str(record.msg)]
    assert len(told) == 1
    assert "The balance is low." in str(told[0].msg)
    assert await office.untold() == []
    await office.note("first")
    assert await office.untold() == [], "told is told"


async def test_an_operator_is_told_where_they_chat(office: Office) -> None:
    await office.note("place:discord:9", "Foxes wants to use Raybot.")
    await office.operations.tell()
    [post] = office.chat.posts
    assert post.ref.thread.channel == "dm-7"
    [said] = post.notices
    assert isinstance(said, Operator)
    assert (said.code, said.sentence) == ("place:discord:9", "Foxes wants to use Raybot.")


async def test_a_chat_out_of_reach_is_tried_again(office: Office) -> None:
    office.chat.before_post = lambda _: DeliveryUnavailable()
    await office.note("first")
    await office.operations.tell()
    assert await office.untold() == ["first"]
    office.chat.before_post = lambda _: ThreadGone()
    await office.operations.tell()
    assert await office.untold() == [], "who closed their messages has the log"


async def test_a_chat_that_trips_keeps_no_other_contact_from_a_notice(office: Office) -> None:
    def trip(_: Notice) -> None:
        raise RuntimeError("The library tripped.")

    office.contacts.insert(0, Contact(adapter="slack", id="C1", workspace="T1", is_channel=True))
    office.slack.before_post = trip
    await office.note("first")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await office.operations.tell()
    assert [post.ref.thread.channel for post in office.chat.posts] == ["dm-7"]
    assert await office.untold() == ["first"]


async def test_a_notice_is_in_the_log_once_while_its_chat_is_out_of_reach(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    def logged() -> list[str]:
        said = (str(record.msg) for record in caplog.records)
        return [each for each in said if "operator.notice" in each]

    office.chat.before_post = lambda _: DeliveryUnavailable()
    await office.note("first", "The balance is low.")
    with caplog.at_level(logging.WARNING):
        await office.operations.tell()
        [line] = logged()
        assert "The balance is low." in line
        assert await office.untold() == ["first"]
        office.chat.before_post = lambda _: None
        await office.operations.tell()
    assert (logged(), await office.untold()) == ([line], [])


async def test_who_was_told_is_not_told_again_while_another_chat_is_out_of_reach(
    office: Office,
) -> None:
    channel = Contact(adapter="slack", id="C1", workspace="T1", is_channel=True)
    office.contacts.insert(0, channel)
    office.slack.before_post = lambda _: DeliveryUnavailable()
    await office.note("first")
    await office.operations.tell()
    assert [post.ref.thread.channel for post in office.chat.posts] == ["dm-7"]
    office.chat.posts.clear()
    await office.operations.tell()
    assert (office.chat.posts, await office.untold()) == ([], ["first"])
    office.slack.before_post = lambda _: None
    await office.operations.tell()
    [post] = office.slack.posts
    assert post.ref.thread == ThreadRef(adapter="slack", workspace="T1", channel="C1")
    assert (office.chat.posts, await office.untold()) == ([], [])


async def test_an_operator_on_slack_is_told_in_their_own_workspace(office: Office) -> None:
    asked: list[Requester] = []

    class Slack(RecordingAdapter):
        async def direct(self, requester: Requester) -> ThreadRef | None:
            asked.append(requester)
            return await super().direct(requester)

    office.contacts[:] = [Contact(adapter="slack", id="U1", workspace="T1")]
    office.operations._adapters = {"slack": (slack := Slack())}
    await office.note("first")
    await office.operations.tell()
    assert [(each.workspace, each.user) for each in asked] == [("T1", "U1")]
    assert [post.ref.thread.channel for post in slack.posts] == ["dm-U1"]


async def test_notices_are_told_in_the_order_they_came(office: Office) -> None:
    for key in ("c", "a", "b"):
        office.clock.move(seconds=1)
        await office.note(key)
    assert await office.untold() == ["c", "a", "b"]


async def test_telling_goes_on_after_the_database_failed(office: Office) -> None:
    async with asyncio.TaskGroup() as group:
        await office.note("first")
        task = group.create_task(office.operations.tell_forever())
        await office.until_told("first")
        await office.books.sql("ALTER TABLE operator_notices RENAME TO lost")
        office.clock.move(seconds=TELL_EVERY.total_seconds())
        with pytest.raises(StoreError):
            await office.operations.tell()
        await office.books.sql("ALTER TABLE lost RENAME TO operator_notices")
        await office.note("second")
        office.clock.move(seconds=TELL_EVERY.total_seconds())
        await office.until_told("first", "second")
        task.cancel()


async def told_by(bot: RunningBot, prefix: str) -> list[str]:
    """The keys of the notices that were left, oldest first."""
    query = text("SELECT key FROM operator_notices WHERE key LIKE :like ORDER BY at, key")
    return await bot.app.database.read(
        lambda conn: [row.key for row in conn.execute(query, {"like": f"{prefix}%"})]
    )


async def test_half_most_and_all_of_a_budget_are_told_once(
    start_bot: Callable[..., Any],
) -> None:
    """Five holds of 15 cents fill the month."""
    limits, luma = {"usd_total_per_month": 0.766405}, {"running_limit": 1}
    bot: RunningBot = await start_bot(limits=limits, luma=luma)
    shares: list[list[str]] = []
    for _ in range(5):
        await bot.ask()
        shares.append([key.rpartition(":")[2] for key in await told_by(bot, "budget:everyone")])
    assert [len(each) for each in shares] == [0, 0, 1, 2, 3]
    assert sorted(shares[-1]) == ["100", "50", "80"]
    last = bot.jobs[-1]
    await bot.studio.cancel(last, (await bot.job(last)).request.requester)
    await bot.ask(key="again")
    assert len(await told_by(bot, "budget:")) == 3
    bot.clock.move(days=40)
    for number in range(3):
        await bot.ask(key=f"next month {number}")
    keys = await told_by(bot, "budget:")
    assert len(keys) == 4
    assert keys[-1].endswith(":50")


async def test_a_full_budget_is_told_for_each_place_and_for_all_of_them(
    start_bot: Callable[..., Any],
) -> None:
    """There is room for one clip of 15 cents in a place, and for two in all."""
    limits = {"usd_per_tenant_per_month": 0.2, "usd_total_per_month": 0.35}
    access = {"servers": ["lab", "shop", "club"]}
    bot: RunningBot = await start_bot(limits=limits, access=access)

    async def ask(workspace: str, key: str) -> None:
        asked = to_request(key=key)
        thread = asked.thread.model_copy(update={"workspace": workspace})
        own = {"requester": to_requester(workspace=workspace), "thread": thread}
        await bot.studio.submit(asked.model_copy(update=own))

    for workspace in ("lab", "shop"):
        await ask(workspace, f"{workspace} 1")
        for again in (2, 3):
            with pytest.raises(QuotaExceeded):
                await ask(workspace, f"{workspace} {again}")
    for again in (1, 2):
        with pytest.raises(QuotaExceeded):
            await ask("club", f"club {again}")
    query = "SELECT sentence FROM operator_notices WHERE key LIKE 'budget:full:%' ORDER BY at, key"
    said = await bot.app.database.read(lambda conn: conn.execute(text(query)).scalars().all())
    assert sorted(each.split(" A shorter")[0] for each in said) == [
        "A request in recording:club was refused. This costs about $0.15; $0.043 of the whole "
        "$0.35 for this month is left.",
        "A request in recording:lab was refused. This costs about $0.15; $0.047 of this place's "
        "$0.20 for this month is left.",
        "A request in recording:shop was refused. This costs about $0.15; $0.047 of this place's "
        "$0.20 for this month is left.",
    ]


async def test_a_low_balance_is_told_once_a_day(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot(luma={"min_balance_usd": 1000})

    async def until(count: int, *, hours: int) -> list[str]:
        async with asyncio.timeout(30):
            while len(keys := await told_by(bot, "balance:luma")) < count:
                # In steps: a round that is just about to wait does not see one that is over.
                await bot.clock.let_pass(hours=hours, moment=0.01)
        return keys

    await until(1, hours=0)
    first, second = await until(2, hours=1)
    assert first != second
    [sentence] = await bot.app.database.read(
        lambda conn: (
            conn.execute(
                text("SELECT sentence FROM operator_notices WHERE key = :key"), {"key": first}
            )
            .scalars()
            .all()
        )
    )
    assert sentence == (
        "luma has $100.00 left, less than the $1,000.00 you want to be told about."
    )


async def test_a_good_balance_is_not_told(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot(luma={"min_balance_usd": 100})
    requests = bot.simulator.requests
    async with asyncio.timeout(30):
        while not any("credits" in path for path in requests):
            await asyncio.sleep(0.01)
    await bot.until(await bot.ask(), JobState.GENERATING)
    assert await told_by(bot, "balance:") == []


# ---- housekeeping -----------------------------------------------------------------------------


@dataclass
class Home:
    """The chores on a true folder of media."""

    office: Office
    media: Media
    folder: Path
    chores: Housekeeping
    metrics: Metrics

    def broken_rules(self) -> float | None:
        """The figure that an alarm is set on."""
        return self.metrics.registry.get_sample_value("raybot_broken_rules")

    async def keep(self, key: str, age: timedelta) -> None:
        """A kept file of this age."""
        source = self.folder / "source"
        source.write_bytes(b"content")
        await self.media.put(MediaKey(key), source)
        [path] = self.folder.rglob(f"{Path(key).parent}/{Path(key).name}")
        then = (self.office.clock.now() - age).timestamp()
        os.utime(path, (then, then))

    async def kept(self) -> set[str]:
        return {
            str(each.key)
            for prefix in ("clips", "frames", "uploads")
            for each in await self.media.list(prefix)
        }


@pytest.fixture
async def home(office: Office, tmp_path: Path) -> AsyncIterator[Home]:
    async with at_home(office, open_media("", tmp_path), tmp_path) as home:
        yield home


@asynccontextmanager
async def at_home(office: Office, media: Media, folder: Path) -> AsyncIterator[Home]:
    """The chores on any store of media."""
    codec, metrics = Codec(), Metrics()
    chores = Housekeeping(
        database=office.books.database,
        dispatcher=office.dispatcher,
        providers=(),
        clips=Clips(media, codec),
        frames=Frames(media, codec, signer=LinkSigner(b"secret")),
        table=BotTable.model_validate({"clip_retention_days": 30, "upload_retention_days": 60}),
        clock=office.clock,
        metrics=metrics,
    )
    try:
        yield Home(office, media, folder, chores, metrics)
    finally:
        await codec.aclose()
        media.close()


async def test_old_clips_and_frames_go_but_not_those_of_open_jobs(home: Home) -> None:
    books, now = home.office.books, home.office.clock.now()
    waiting, done = await books.reach(S.ACCEPTED, at=now), await books.reach(S.DELIVERED, at=now)
    for job in (waiting, done):
        await home.keep(frame_key(job.id, "start"), timedelta(hours=25))
    await home.keep(frame_key(done.id, "end"), timedelta(hours=23))
    await home.keep("uploads/r-old/start.jpg", timedelta(days=61))
    await home.keep("uploads/r-new/start.jpg", timedelta(days=59))
    await home.keep("clips/r-old.mp4", timedelta(days=31))
    await home.keep("clips/r-new.mp4", timedelta(days=29))
    await home.chores.clean()
    assert await home.kept() == {
        "clips/r-new.mp4",
        "uploads/r-new/start.jpg",
        frame_key(waiting.id, "start"),
        frame_key(done.id, "end"),
    }


async def test_prompts_are_forgotten_after_their_time(home: Home) -> None:
    books, now = home.office.books, home.office.clock.now()
    old = await books.reach(S.DELIVERED, at=now - timedelta(days=366), prompt="an old wish")
    new = await books.reach(S.DELIVERED, at=now - timedelta(days=364), prompt="a new wish")
    await home.chores.clean()
    assert (await books.get(old.id)).work.prompt == ""
    assert (await books.get(new.id)).work.prompt == "a new wish"
    assert await home.office.untold() == []


async def test_what_came_in_is_known_a_day_and_its_words_no_longer(home: Home) -> None:
    clock = home.office.clock
    inbox = Inbox(database=home.office.books.database, clock=clock, process="one")
    await inbox.note("slack", "done", {"text": "a fox"})
    await inbox.done("slack", "done")
    await inbox.note("slack", "undone", {"text": "a fox"})
    clock.move(hours=24, seconds=1)
    await home.chores.clean()
    assert await inbox.undone("slack") == ()
    assert not await inbox.note("slack", "done", {})
    clock.move(hours=1)
    await home.chores.clean()
    assert await inbox.note("slack", "done", {})


async def test_books_that_do_not_add_up_are_told_once_a_day(home: Home) -> None:
    office = home.office
    job = await office.books.reach(S.DELIVERED)
    await office.books.sql("UPDATE jobs SET cost = 7 WHERE id = :id", id=job.id)
    await home.chores.verify_books()
    await home.chores.verify_books()
    assert home.broken_rules() == 1
    [notice] = await office.books.database.read(settings.untold)
    assert notice.sentence == (
        f"The books break a rule (a job's cost is what its entries say): {job.id}."
    )
    office.clock.move(days=1)
    await home.chores.verify_books()
    assert len(await office.untold()) == 2
    await office.books.sql("UPDATE jobs SET cost = 100 WHERE id = :id", id=job.id)
    await home.chores.verify_books()
    assert home.broken_rules() == 0


async def test_the_books_are_looked_at_at_the_start_and_each_hour(home: Home) -> None:
    office = home.office
    job = await office.books.reach(S.DELIVERED)

    async def until_broken(count: int) -> None:
        async with asyncio.timeout(30):
            while home.broken_rules() != count:
                await asyncio.sleep(0.01)

    await office.books.sql("UPDATE jobs SET cost = 7 WHERE id = :id", id=job.id)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(home.chores.run())
        await until_broken(1)
        await office.books.sql("UPDATE jobs SET cost = 100 WHERE id = :id", id=job.id)
        office.clock.move(seconds=CLEAN_EVERY.total_seconds() - 60)
        assert home.broken_rules() == 1
        office.clock.move(seconds=60)
        await until_broken(0)
        task.cancel()


async def test_who_no_longer_keeps_house_calls_no_rule_broken(home: Home) -> None:
    job = await home.office.books.reach(S.DELIVERED)
    await home.office.books.sql("UPDATE jobs SET cost = 7 WHERE id = :id", id=job.id)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(home.chores.run())
        async with asyncio.timeout(30):
            while home.broken_rules() != 1:
                await asyncio.sleep(0.01)
        task.cancel()
    assert home.broken_rules() == 0


async def test_cleaning_is_done_each_hour_even_after_it_failed(home: Home) -> None:
    office = home.office

    async def until_gone() -> None:
        async with asyncio.timeout(30):
            while await home.kept():
                await office.clock.let_pass(seconds=CLEAN_EVERY.total_seconds(), moment=0.01)

    await home.keep("clips/r-old.mp4", timedelta(days=31))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(home.chores.run())
        await asyncio.sleep(0)
        assert await home.kept() == {"clips/r-old.mp4"}
        await office.books.sql("ALTER TABLE ledger_entries RENAME TO lost")
        await until_gone()
        with pytest.raises(StoreError):
            await home.chores.verify_books()
        await home.keep("clips/r-older.mp4", timedelta(days=32))
        await until_gone()
        task.cancel()


async def test_a_file_that_cannot_be_deleted_spoils_no_other_chore(
    office: Office, tmp_path: Path
) -> None:
    books, now = office.books, office.clock.now()
    old = await books.reach(S.DELIVERED, at=now - timedelta(days=366), prompt="an old wish")
    async with Bucket() as bucket:
        kept = {"clips/r-1.mp4", "clips/r-3.mp4"}
        names = {*kept, "clips/r-2.mp4", "clips/r-4.mp4", "frames/r-1/start.jpg"}
        bucket.objects, bucket.locked = dict.fromkeys(names, b"content"), kept
        media = open_media(f"s3://{NAME}", tmp_path, options=bucket.options)
        async with at_home(office, media, tmp_path) as home:
            await home.chores.clean()
            assert set(bucket.objects) == kept
            assert (await books.get(old.id)).work.prompt == ""
            await home.chores.clean()
            [notice] = await books.database.read(settings.untold)
            assert notice.sentence == (
                "Housekeeping fails at old clips, and tries again each hour: Raybot's media store "
                "does not delete clips/r-1.mp4 and 1 more."
            )
            office.clock.move(days=1)
            await home.chores.clean()
            assert len(await office.untold()) == 2


# ---- what `raybot check` says of the database -------------------------------------------------


async def test_a_check_of_good_books_is_one_line(office: Office) -> None:
    await office.books.reach(S.DELIVERED)
    [finding] = await inspect(office.books.database)
    assert (finding.is_well, finding.sentence) == (True, "The books add up")


async def test_a_check_names_what_needs_the_operator(office: Office) -> None:
    question, parked = await office.uncertain(), await office.parked()
    liar = await office.books.reach(S.DELIVERED)
    await office.books.sql("UPDATE jobs SET message = NULL WHERE id = :id", id=liar.id)
    findings = await inspect(office.books.database)
    assert [finding.is_well for finding in findings] == [False] * 3
    assert [finding.sentence for finding in findings] == [
        f"The books break a rule (a delivered job names its message): {liar.id}",
        f"{question.id} is uncertain: `raybot resolve {question.id} …`",
        f"{parked.id} was put aside (fetching): `raybot unpark {parked.id}`, or "
        f"`raybot resolve {parked.id} release`",
    ]
