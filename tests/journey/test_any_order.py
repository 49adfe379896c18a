"""People, the service, callbacks, the clock and restarts in any order: nothing lost or twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bot.errors import BotError, DeliveryError, DeliveryUnavailable
from bot.job import Job, JobState
from bot.notices import Notice
from bot.operations import ResolveHow
from bot.ports import Memo
from bot.refs import GenerationId, JobId, MessageRef, ThreadRef
from bot.request import Requester
from bot.simulator import Faults, Simulator
from bot.simulator.account import Generation
from bot.steps.delivery import BROKEN_FETCHES
from bot.store import attempts, jobs
from bot.store.attempts import Attempt
from bot.store.schema import jobs as table
from bot.tables import micros
from bot.watching.callbacks import token_hash
from tests.conftest import KEY, MANUAL, RunningBot, running, to_test_config
from tests.crash.books import Book, Kind, PostgresBook, book
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester
from tests.ports import free_port

PEOPLE = ("ana", "ben")
#: So many requests there can be; one that comes again is the same one, delivered twice.
REQUESTS = 4
#: The last look finds everything ended within so many steps of the clock.
STEPS, STEP_SECONDS = 400, 20
#: By hand there can be more: `python -m tests.journey`. A start on PostgreSQL takes a second.
EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "8"))
SHARED_EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "2"))
#: One of the requests costs more than this, and waits until its person confirms its price.
DEAR, CONFIRM_ABOVE_USD = 2, 0.2

Step = tuple[str, int]
OFTEN = ("ask", "finish", "cancel", "retry", "wait")
SELDOM = ("confirm", "vary", "delete", "pause", "resume")
TROUBLE = (
    *("lose reply", "lose all", "lose request", "server error", "haste", "callback twice"),
    *("callback lost", "callback forged", "callback late", "chat away", "chat silent"),
)
AT_TIMES = (*TROUBLE, *SELDOM, "fail", "restart", "new key", "break clip", "clock back")
one_step = st.tuples(st.sampled_from(OFTEN * 3 + AT_TIMES), st.integers(0, REQUESTS - 1))
one_trouble = st.tuples(st.sampled_from(TROUBLE), st.integers(0, REQUESTS - 1))
#: Two are asked for, into some trouble or none, before anything else happens.
steps = st.builds(
    lambda first, more: [*first, ("ask", 0), ("ask", 1), *more],
    st.lists(one_trouble, max_size=3),
    st.lists(one_step, min_size=6, max_size=24),
)


def _person(which: int) -> str:
    return PEOPLE[which % len(PEOPLE)]


class LossyChat(RecordingAdapter):
    """A platform that refuses a post, or takes it and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_silent = 0

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        posted = await super().post(thread, notice, key=key, memo=memo)
        if self.is_silent:
            self.is_silent -= 1
            raise DeliveryUnavailable
        return posted

    def refuse_once(self) -> None:
        """Take nothing, the next time."""

        def refuse(_: Notice) -> DeliveryError | None:
            self.before_post = lambda _: None
            return DeliveryUnavailable()

        self.before_post = refuse


class SharedClock(MovableClock):
    """Moves PostgreSQL's clock, too, by which nudges come due."""

    def __init__(self, book: PostgresBook) -> None:
        super().__init__()
        self._book = book

    def move(self, **by: float) -> None:
        super().move(**by)
        self._book.be_later(int(self._offset.total_seconds()))
        self._book.hurry()


class World:
    """The bot in all its lives, and what was asked of it."""

    def __init__(self, folder: Path, simulator: Simulator, book: Book) -> None:
        self.simulator = simulator
        self.chat = LossyChat()
        self.clock = SharedClock(book) if isinstance(book, PostgresBook) else MovableClock()
        port = free_port()
        self._folder = folder
        self._table = {
            "public_port": port,
            "public_url": f"http://127.0.0.1:{port}",
            "database_url": book.url,
            "single_host": not book.can_hurry,
        }
        #: A nudge goes round by way of the database.
        self._pause = 0.01 if book.can_hurry else 0.1
        self.asked: dict[int, JobId] = {}
        self.asked_again: list[JobId] = []
        self.taken_back: set[JobId] = set()
        self.confirmed: set[JobId] = set()
        self.deleted: set[JobId] = set()
        self.resolved: dict[JobId, ResolveHow] = {}
        self.keys = self.broken = self.tries = 0
        self.bot: RunningBot
        self._life = AsyncExitStack()

    async def begin(self) -> None:
        key = {"api_key": self.simulator.settings.api_key}
        limits = {"confirm_above_usd": CONFIRM_ABOVE_USD}
        tables: dict[str, Any] = {"bot": self._table, "luma": key, "limits": limits}
        config = to_test_config(self._folder, self.simulator, **tables)
        life = running(config, self.simulator, self.chat, self.clock)
        self.bot = await self._life.enter_async_context(life)

    async def end(self) -> None:
        await self._life.aclose()

    async def act(self, what: str, which: int) -> None:
        """One step; what cannot be is refused with a sentence, and that is all."""
        faults = self.simulator.faults
        plans: dict[str, Callable[[], object]] = {
            "lose reply": lambda: faults.drop("create", accepted=True),
            "lose all": self._lose_all,
            "lose request": lambda: faults.drop("create", accepted=False),
            "server error": lambda: faults.server_error("create", accepted=which % 2 == 0),
            "haste": lambda: faults.too_many("create", retry_after=1),
            "callback twice": lambda: faults.break_callback("duplicated"),
            "callback lost": lambda: faults.break_callback("lost"),
            "callback forged": lambda: faults.break_callback("forged"),
            "callback late": lambda: faults.break_callback("reordered"),
            "break clip": self._break_clip,
            "chat away": self.chat.refuse_once,
            "chat silent": lambda: setattr(self.chat, "is_silent", self.chat.is_silent + 1),
            "clock back": lambda: self.clock.set_wall(minutes=-which),
            "wait": lambda: self.clock.move(seconds=10**which),
        }
        if what in plans:
            plans[what]()
        elif what in ("restart", "new key"):
            await self.end()
            if what == "new key":
                self._change_key()
            await self.begin()
        elif what in ("finish", "fail"):
            await self._finish(which, is_well=what == "finish")
        elif what in ("pause", "resume"):
            await self.bot.app.operations.act(what, {})
        elif what == "ask":
            await self._ask(which)
        elif which in self.asked:
            with suppress(BotError):
                await self._ask_of(self.asked[which], what, to_requester(_person(which)))
        # Whoever was woken gets a turn, so that a step meets the bot in any of its states.
        await asyncio.sleep(self._pause * which)

    def _lose_all(self) -> None:
        """A request is taken, and nobody hears of it."""
        self.simulator.faults.drop("create", accepted=True)
        self.simulator.faults.break_callback("lost", times=2)

    def _break_clip(self) -> None:
        """Not so often that a clip is written off, however the downloads fall."""
        if self.broken < BROKEN_FETCHES - 1:
            self.broken += 1
            self.simulator.faults.break_clip("cut")

    def _change_key(self) -> None:
        """It may be another account, unless that one shows what was made before."""
        self.keys += 1
        old = self.simulator.settings
        self.simulator.settings = replace(old, api_key=f"{KEY}-{self.keys}")

    async def _ask(self, which: int) -> None:
        length = "9s" if which == DEAR else "5s"
        request = to_request(f"fox {which}", key=f"k{which}", user=_person(which), duration=length)
        with suppress(BotError):
            receipt = await self.bot.studio.submit(request)
            assert self.asked.setdefault(which, receipt.job_id) == receipt.job_id

    async def _ask_of(self, job_id: JobId, what: str, person: Requester) -> None:
        """What is said of a job; raises `BotError` where it cannot be, and then nothing is."""
        studio, thread = self.bot.studio, to_request(user=person.user).thread
        match what:
            case "cancel":
                await studio.cancel(job_id, person)
                self.taken_back.add(job_id)
            case "confirm":
                await studio.confirm(job_id, person)
                self.confirmed.add(job_id)
            case "delete":
                await studio.delete(job_id, person)
                self.deleted.add(job_id)
            case "retry":
                self.tries += 1
                key = f"again {self.tries}"
                receipt = await studio.retry(job_id, person, dedupe_key=key, thread=thread)
                self.asked_again.append(receipt.job_id)
            case _:
                self.tries += 1
                key = f"more {self.tries}"
                made = await studio.works.follow(
                    job_id, "variation", person, dedupe_key=key, thread=thread
                )
                self.asked_again.extend(each.job_id for each in made)

    async def _finish(self, which: int, *, is_well: bool) -> None:
        waiting = [each for each in self.simulator.generations.values() if not each.is_over]
        if waiting:
            one = waiting[which % len(waiting)]
            await (self.simulator.finish if is_well else self.simulator.fail)(one.id)

    async def settle(self) -> None:
        """Nothing goes wrong any more, and time passes until every job has ended."""
        await self.bot.app.operations.act("resume", {})
        self.chat.before_post, self.chat.is_silent = lambda _: None, 0
        faults = self.simulator.faults
        while faults.take_reply("create") or faults.take_clip() or faults.take_callback():
            pass
        for _ in range(STEPS):
            open_ids = await self.bot.app.database.read(jobs.open_ids)
            for job_id in open_ids:
                job = await self.bot.job(job_id)
                if job.state is JobState.UNCERTAIN:
                    await self._resolve(job)
            for each in [*self.simulator.generations.values()]:
                if not each.is_over:
                    await self.simulator.finish(each.id)
            if not open_ids:
                return
            await self.clock.let_pass(seconds=STEP_SECONDS, moment=self._pause)
        raise AssertionError("Some jobs never end")

    async def _resolve(self, job: Job) -> None:
        """What nobody could tell by itself, the operator ends by what the service shows."""
        made = (await self._made()).get(job.id, [])
        there = [each for sent, each in made if sent.submission.attempt == job.attempt]
        how: ResolveHow = "adopt" if there else "release"
        if there and there[0].state == "completed" and job.cancel_requested:
            how = "charge"
        generation_id = GenerationId(there[0].id) if how == "adopt" else None
        with suppress(BotError):
            await self.bot.app.operations.resolve(
                job.id, how, generation_id=generation_id, actor="operator"
            )
            self.resolved[job.id] = how

    async def check(self) -> None:
        """Each job was paid at most once, and shown once if it was; the books are right."""
        assert not await self.bot.app.database.read(jobs.open_ids)
        await self.bot.check_books()
        made = await self._made()
        ids = await self.bot.app.database.read(lambda conn: conn.scalars(select(table.c.id)).all())
        assert {*self.asked.values(), *self.asked_again} == set(ids)
        for job_id in ids:
            job, sent = await self.bot.job(job_id), made.get(JobId(job_id), [])
            self._check_paid_once(job, sent)
            self._check_end(job, [each for _, each in sent])

    def _check_paid_once(self, job: Job, made: list[tuple[Attempt, Generation]]) -> None:
        """Each attempt was taken once or never, and its job knows; none went out beside another.

        That another generation failed meanwhile, and cost nothing, is luck.
        """
        numbers = [attempt.submission.attempt for attempt, _ in made]
        assert len(numbers) == len(set(numbers)), (job.id, numbers)
        if self.resolved.get(job.id) != "charge":
            for attempt, each in made:
                assert attempt.generation_id == each.id, (job.id, attempt)
                assert attempt.outcome in ("taken", "adopted"), (job.id, attempt)
        lived = [each.state for _, each in sorted(made, key=lambda one: one[1].created_at)]
        assert lived[:-1] in ([], ["failed"]), (job.id, lived)

    def _check_end(self, job: Job, made: list[Generation]) -> None:
        """What was paid is shown, unless its person took it back; nothing ends for no reason."""
        is_paid = any(each.state == "completed" for each in made)
        is_cancelled = job.cancel_requested or job.state is JobState.CANCELLED
        assert job.plan is not None
        is_dear = job.plan.price.micros > micros(CONFIRM_ABOVE_USD)
        is_unconfirmed = is_dear and job.id not in self.confirmed
        assert not (is_unconfirmed and made), job
        assert is_cancelled == (job.id in self.taken_back or is_unconfirmed), job
        assert (job.cost > 0) == is_paid, job
        assert (job.state is JobState.DELIVERED) == (is_paid and not is_cancelled), job
        is_shown = job.state is JobState.DELIVERED and job.id not in self.deleted
        assert len(self.chat.clips(job.id)) == is_shown, job
        if job.state is JobState.FAILED:
            has_failed = any(each.state == "failed" for each in made)
            assert has_failed or job.id in self.resolved, job

    async def _made(self) -> dict[JobId, list[tuple[Attempt, Generation]]]:
        """By job: each generation, and the attempt whose secret it shows."""
        made: dict[JobId, list[tuple[Attempt, Generation]]] = {}
        for each in [*self.simulator.generations.values()]:
            secret = token_hash(each.token or "")
            attempt = await self.bot.app.database.read(
                partial(attempts.by_token_hash, token_hash=secret)
            )
            assert attempt is not None, "What was sent was not written down before."
            made.setdefault(attempt.submission.job_id, []).append((attempt, each))
        return made


@pytest.mark.timeout(60 + 15 * EXAMPLES)
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(steps)
def test_no_order_of_anything_pays_loses_or_posts_twice(story: list[Step]) -> None:
    asyncio.run(_play(story, "sqlite"))


@pytest.mark.timeout(60 + 15 * SHARED_EXAMPLES)
@settings(
    max_examples=SHARED_EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(steps)
def test_nor_does_it_on_postgresql(story: list[Step]) -> None:
    asyncio.run(_play(story, "postgresql"))


async def _play(story: list[Step], database: Kind) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _world(Path(folder), database) as world:
            for what, which in story:
                await world.act(what, which)
            await world.settle()
            await world.check()


@asynccontextmanager
async def _world(folder: Path, database: Kind) -> AsyncIterator[World]:
    async with Simulator(MANUAL, Faults()) as simulator, AsyncExitStack() as stack:
        kept = stack.enter_context(book(database, folder))
        world = World(folder, simulator, kept)
        await world.begin()
        try:
            yield world
        finally:
            await world.end()


@pytest.mark.parametrize(
    ("lost", "is_cancelled", "how"),
    [
        ("lose reply", False, "adopt"),
        ("lose reply", True, "charge"),
        ("lose request", False, "release"),
    ],
)
async def test_what_is_in_doubt_ends_by_what_the_service_shows(
    lost: str, is_cancelled: bool, how: ResolveHow, tmp_path: Path
) -> None:
    async with _world(tmp_path, "sqlite") as world:
        faults = world.simulator.faults
        for what in ("callback lost", "callback lost", lost, "ask"):
            await world.act(what, 0)
        async with asyncio.timeout(30):
            while faults.left > 2:
                await asyncio.sleep(0.01)
        await world.act("new key", 0)
        while (await world.bot.job(world.asked[0])).state is not JobState.UNCERTAIN:
            await world.clock.let_pass(seconds=STEP_SECONDS, moment=0.01)
        if is_cancelled:
            await world.act("cancel", 0)
            await world.act("finish", 0)
        await world.settle()
        await world.check()
        assert world.resolved == {world.asked[0]: how}
