"""People, the service, callbacks, the clock and restarts in any order: nothing lost or twice."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from bot.errors import BotError, DeliveryError, DeliveryUnavailable
from bot.job import JobState
from bot.notices import Notice
from bot.ports import Memo
from bot.refs import JobId, MessageRef, ThreadRef
from bot.simulator import Faults, Simulator
from bot.simulator.account import Generation
from bot.store import jobs
from bot.store.schema import jobs as table
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.crash.books import Book, Kind, PostgresBook, book
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester
from tests.ports import free_port

PEOPLE = ("ana", "ben")
#: So many requests there can be; one that comes again is the same one, delivered twice.
REQUESTS = 4
#: The last look finds everything ended within so many steps of the clock.
STEPS, STEP_SECONDS = 400, 20
#: A start takes a second there; by hand there can be more.
SHARED_EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "2"))

Step = tuple[str, int]
OFTEN = ("ask", "finish", "cancel", "retry", "wait")
AT_TIMES = (
    *("fail", "restart", "lose reply", "lose request", "server error", "haste", "break clip"),
    *("callback twice", "callback lost", "callback forged", "chat away", "chat silent"),
    "clock back",
)
one_step = st.tuples(st.sampled_from(OFTEN * 3 + AT_TIMES), st.integers(0, REQUESTS - 1))
#: Two were asked for before anything else happens.
steps = st.lists(one_step, min_size=6, max_size=24).map(
    lambda more: [("ask", 0), ("ask", 1), *more]
)


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
        self._config = to_test_config(
            folder,
            simulator,
            bot={
                "public_port": port,
                "public_url": f"http://127.0.0.1:{port}",
                "database_url": book.url,
                "single_host": not book.can_hurry,
            },
        )
        #: A nudge goes round by way of the database.
        self._pause = 0.01 if book.can_hurry else 0.1
        self.asked: dict[int, JobId] = {}
        self.tries = 0
        self.bot: RunningBot
        self._life = AsyncExitStack()

    async def begin(self) -> None:
        life = running(self._config, self.simulator, self.chat, self.clock)
        self.bot = await self._life.enter_async_context(life)

    async def end(self) -> None:
        await self._life.aclose()

    async def act(self, what: str, which: int) -> None:
        """One step; what cannot be is refused with a sentence, and that is all."""
        faults = self.simulator.faults
        plans: dict[str, Callable[[], object]] = {
            "lose reply": lambda: faults.drop("create", accepted=True),
            "lose request": lambda: faults.drop("create", accepted=False),
            "server error": lambda: faults.server_error("create", accepted=which % 2 == 0),
            "haste": lambda: faults.too_many("create", retry_after=1),
            "callback twice": lambda: faults.break_callback("duplicated"),
            "callback lost": lambda: faults.break_callback("lost"),
            "callback forged": lambda: faults.break_callback("forged"),
            "break clip": lambda: faults.break_clip("cut"),
            "chat away": self.chat.refuse_once,
            "chat silent": lambda: setattr(self.chat, "is_silent", self.chat.is_silent + 1),
            "clock back": lambda: self.clock.set_wall(minutes=-which),
            "wait": lambda: self.clock.move(seconds=10**which),
        }
        if what in plans:
            plans[what]()
        elif what == "restart":
            await self.end()
            await self.begin()
        elif what in ("finish", "fail"):
            await self._finish(which, is_well=what == "finish")
        else:
            await self._ask(what, which)
        # Whoever was woken gets a turn, so that a step meets the bot in any of its states.
        await asyncio.sleep(self._pause * which)

    async def _ask(self, what: str, which: int) -> None:
        person = PEOPLE[which % len(PEOPLE)]
        with suppress(BotError):
            if what == "ask":
                request = to_request(f"fox {which}", key=f"k{which}", user=person)
                receipt = await self.bot.studio.submit(request)
                assert self.asked.setdefault(which, receipt.job_id) == receipt.job_id
            elif which in self.asked and what == "cancel":
                await self.bot.studio.cancel(self.asked[which], to_requester(person))
            elif which in self.asked:
                self.tries += 1
                await self.bot.studio.retry(
                    self.asked[which],
                    to_requester(person),
                    dedupe_key=f"again {self.tries}",
                    thread=to_request(user=person).thread,
                )

    async def _finish(self, which: int, *, is_well: bool) -> None:
        waiting = [each for each in self.simulator.generations.values() if not each.is_over]
        if waiting:
            one = waiting[which % len(waiting)]
            await (self.simulator.finish if is_well else self.simulator.fail)(one.id)

    async def settle(self) -> None:
        """Nothing goes wrong any more, and time passes until every job has ended."""
        self.chat.before_post, self.chat.is_silent = lambda _: None, 0
        while self.simulator.faults.take_reply("create") or self.simulator.faults.take_clip():
            pass
        for _ in range(STEPS):
            for each in [*self.simulator.generations.values()]:
                if not each.is_over:
                    await self.simulator.finish(each.id)
            open_ids = await self.bot.app.database.read(jobs.open_ids)
            for job_id in open_ids:
                job = await self.bot.job(job_id)
                if job.state is JobState.UNCERTAIN:
                    await self._resolve(job_id)
            if not open_ids:
                return
            self.clock.move(seconds=STEP_SECONDS)
            await asyncio.sleep(self._pause)
        raise AssertionError("Some jobs never end")

    async def _resolve(self, job_id: JobId) -> None:
        """What nobody could tell by itself, the operator ends."""
        with suppress(BotError):
            await self.bot.app.operations.resolve(
                job_id, "release", generation_id=None, actor="operator"
            )

    async def check(self) -> None:
        """Each job was paid at most once, and shown once or not at all; the books are right."""
        every = await self.bot.app.database.read(jobs.open_ids)
        assert not every
        await self.bot.check_books()
        made = _by_prompt(self.simulator)
        rows = await self._rows()
        asked = Counter(prompt for _, prompt, _, _ in rows)
        for job_id, prompt, state, cost in rows:
            clips = len(self.chat.clips(JobId(job_id)))
            assert clips == (state == JobState.DELIVERED), (job_id, state)
            assert (cost > 0) or state != JobState.DELIVERED, (job_id, state)
            if not any(each.state == "completed" for each in made[prompt]):
                assert cost == 0, (job_id, state)
        for prompt, generations in made.items():
            paid = [each for each in generations if each.state == "completed"]
            assert len(paid) <= asked[prompt], prompt

    async def _rows(self) -> list[tuple[str, str, str, int]]:
        ids = await self.bot.app.database.read(lambda conn: conn.scalars(select(table.c.id)).all())
        every = [await self.bot.job(each) for each in ids]
        return [(each.id, each.work.prompt, each.state, each.cost or 0) for each in every]


def _by_prompt(simulator: Simulator) -> dict[str, list[Generation]]:
    made: dict[str, list[Generation]] = {f"fox {which}": [] for which in range(REQUESTS)}
    for each in simulator.generations.values():
        made[each.order.prompt].append(each)
    return made


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_no_order_of_anything_pays_loses_or_posts_twice(story: list[Step]) -> None:
    asyncio.run(_play(story, "sqlite"))


@pytest.mark.timeout(60 + 15 * SHARED_EXAMPLES)
@settings(
    max_examples=SHARED_EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(steps)
def test_nor_does_it_on_postgresql(story: list[Step]) -> None:
    asyncio.run(_play(story, "postgresql"))


async def _play(story: list[Step], database: Kind) -> None:
    quick = MANUAL
    with tempfile.TemporaryDirectory() as folder:
        async with Simulator(quick, Faults()) as simulator, AsyncExitStack() as stack:
            kept = stack.enter_context(book(database, Path(folder)))
            world = World(Path(folder), simulator, kept)
            await world.begin()
            try:
                for what, which in story:
                    await world.act(what, which)
                await world.settle()
                await world.check()
            finally:
                await world.end()
