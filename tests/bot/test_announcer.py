"""A status message says what is so now, is edited rarely, and gets through in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot.announcer import AGAIN_SECONDS, AT_ONCE, FAULT_SECONDS, LAST_WORDS_SECONDS, Announcer
from bot.dispatch.single import SingleProcess
from bot.errors import (
    DeliveryError,
    DeliveryUnavailable,
    EditsPaused,
    PostedBefore,
    ThreadGone,
)
from bot.job import Job, JobState
from bot.notices import (
    About,
    Notice,
)
from bot.outlook import Outlook, to_status
from bot.ports import AdapterLimits, Memo
from bot.refs import JobId, MessageRef, ThreadRef
from bot.replicas import Replicas
from bot.store import ledger, messages
from bot.store.database import open_database
from bot.studio.unshown import ITS_OWN, Unshown
from tests.bot.store.conftest import NOW, Books, to_plan
from tests.fakes import MovableClock, RecordingAdapter

S = JobState


class Chat(RecordingAdapter):
    """A platform that allows an edit every so many seconds, and counts what it refused."""

    def __init__(self) -> None:
        super().__init__()
        self.edit_seconds = 0.0
        self.can_edit = True
        self.faults: dict[str, Exception] = {}
        self.delete_trouble: DeliveryError | None = None
        self.deleted: list[MessageRef] = []
        self.refused = 0
        self.before_post = self._refuse
        self.slow: dict[str, asyncio.Event] = {}
        self.most_at_once = 0
        self._at_once = 0
        self.edit_trouble: DeliveryError | None = None
        #: Posts are held once they took place, as if their answer was on the way.
        self.answers = asyncio.Event()
        self.answers.set()

    def _refuse(self, notice: Notice) -> DeliveryError | None:
        about: About | None = getattr(notice, "about", None)
        error = self.faults.get(about.job_id) if about else None
        if error is not None:
            self.refused += 1
            raise error
        return None

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        if held := self.slow.get(key.partition(":")[0]):
            await held.wait()
        self._at_once -= 1
        message = await super().post(thread, notice, key=key, memo=memo)
        await self.answers.wait()
        return message

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        if self.edit_trouble is not None:
            self.refused += 1
            raise self.edit_trouble
        await super().edit(message, notice)

    async def delete(self, message: MessageRef) -> None:
        if self.delete_trouble is not None:
            raise self.delete_trouble
        self.deleted.append(message)
        await super().delete(message)

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        known = super().limits(thread)
        return replace(known, edit_seconds=self.edit_seconds, can_edit=self.can_edit)

    def said(self, job: Job) -> list[str]:
        """What a job's message said, from first to last."""
        found = [post for post in self.posts if post.key == f"{job.id}:status"]
        return [type(notice).__name__ for post in found for notice in post.notices]

    def stands(self, job: Job) -> list[tuple[str, str]]:
        """A job's messages as they are: the end of the key, and what it says last."""
        found = [post for post in self.posts if post.key.startswith(job.id)]
        return [(post.key.rpartition(":")[2], type(post.notices[-1]).__name__) for post in found]


class AnnouncerHarness:
    """A running announcer on a true database."""

    def __init__(self, books: Books, chat: Chat, clock: MovableClock) -> None:
        self.books, self.chat, self.clock = books, chat, clock
        self.announcer = self.new_announcer()

    def new_announcer(
        self, chat: Chat | None = None, replicas: Replicas | None = None
    ) -> Announcer:
        return Announcer(
            database=self.books.database,
            adapters={"recording": chat or self.chat},
            clock=self.clock,
            to_notice=self._to_notice,
            replicas=replicas or SingleProcess(),
        )

    async def _to_notice(self, job: Job) -> Notice:
        return to_status(job, Outlook(confirm_until=NOW))

    async def show(self, job: Job) -> None:
        """Touch a job and wait until it was looked at, whatever came of that."""
        self.announcer.touch(job.id)
        await self.settle()

    async def settle(self) -> None:
        """Wait until all that is due was looked at."""
        async with asyncio.timeout(30):
            while self.announcer._in_hand or self._has_due():
                await asyncio.sleep(0.005)

    def _has_due(self) -> bool:
        return any(at <= self.clock.boottime() for at in self.announcer._due.values())

    async def until(self, job: Job, *said: str) -> None:
        await self.chat.until(lambda: self.chat.said(job) == list(said))


@pytest.fixture
async def harness(tmp_path: Path, clock: MovableClock) -> AsyncIterator[AnnouncerHarness]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
    await database.start()
    harness = AnnouncerHarness(Books(database), Chat(), clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(harness.announcer.run())
        yield harness
        task.cancel()
    await database.stop()


async def test_one_message_follows_its_job(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    harness.announcer.touch(job.id)
    await harness.until(job, "Received")
    job = await harness.books.accept(job)
    harness.announcer.touch(job.id)
    await harness.until(job, "Received", "Queued")
    job = await harness.books.end(job, S.CANCELLED)
    harness.announcer.touch(job.id)
    await harness.until(job, "Received", "Queued", "Cancelled")


async def test_what_did_not_change_is_not_edited(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    for _ in range(3):
        await harness.show(job)
    await harness.show(await harness.books.change(job, tries=1))
    assert harness.chat.said(job) == ["Received"]


async def test_edits_wait_for_one_another_and_show_the_last(harness: AnnouncerHarness) -> None:
    harness.chat.edit_seconds = 5
    job = await harness.books.received()
    await harness.show(job)
    job = await harness.books.accept(job)
    await harness.show(job)
    assert harness.chat.said(job) == ["Received"]
    job = await harness.books.end(job, S.CANCELLED)
    harness.announcer.touch(job.id)
    harness.clock.move(seconds=6)
    await harness.until(job, "Received", "Cancelled")


async def test_a_stop_waits_for_the_last_words_and_not_for_their_turn(
    harness: AnnouncerHarness,
) -> None:
    harness.chat.edit_seconds = 5
    job = await harness.books.received()
    await harness.show(job)
    job = await harness.books.end(job, S.CANCELLED)
    harness.announcer.touch(job.id)
    await harness.announcer.drain(LAST_WORDS_SECONDS)
    assert harness.chat.said(job) == ["Received", "Cancelled"]


async def test_a_stop_hurries_no_platform_that_asked_us_to_wait(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    harness.chat.faults[job.id] = DeliveryUnavailable(retry_after=60)
    await harness.show(job)
    await harness.announcer.drain(2)
    assert harness.chat.refused == 1


async def test_a_stop_waits_for_no_platform_for_ever(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    harness.chat.slow[job.id] = asyncio.Event()
    harness.announcer.touch(job.id)
    began = harness.clock.boottime()
    await harness.announcer.drain(0.1)
    assert harness.clock.boottime() - began < LAST_WORDS_SECONDS
    assert harness.chat.said(job) == []


async def test_where_nothing_can_be_edited_the_first_words_stay(harness: AnnouncerHarness) -> None:
    harness.chat.can_edit = False
    job = await harness.books.received()
    await harness.show(job)
    await harness.show(await harness.books.accept(job))
    assert harness.chat.said(job) == ["Received"]


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, AGAIN_SECONDS), (70.0, 70.0)])
async def test_a_platform_that_is_down_hears_the_last_word_later(
    harness: AnnouncerHarness, retry_after: float | None, seconds: float
) -> None:
    """Else a person would never learn that their job failed."""
    job = await harness.books.end(await harness.books.received())
    harness.chat.faults[job.id] = DeliveryUnavailable(retry_after=retry_after)
    await harness.show(job)
    harness.clock.move(seconds=seconds / 2)
    await harness.show(job)
    assert harness.chat.refused == 1, "not asked again before its time"
    harness.chat.faults.clear()
    harness.clock.move(seconds=seconds / 2)
    await harness.until(job, "Failed")


async def test_a_thread_that_is_gone_is_left_alone(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    harness.chat.faults[job.id] = ThreadGone()
    await harness.show(job)
    harness.chat.faults.clear()
    harness.clock.move(hours=1)
    await harness.show(await harness.books.received())
    assert harness.chat.refused == 1
    assert harness.chat.said(job) == []


async def test_a_fault_of_a_platform_does_not_end_the_bot(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    harness.chat.faults[job.id] = ValueError("a broken promise")
    await harness.show(job)
    harness.chat.faults.clear()
    await harness.show(job)
    assert harness.chat.said(job) == ["Received"]


async def test_a_fault_is_tried_again_with_growing_pauses_and_not_for_ever(
    harness: AnnouncerHarness,
) -> None:
    job = await harness.books.received()
    harness.chat.faults[job.id] = ValueError("a broken promise")
    await harness.show(job)
    for tries, seconds in enumerate(FAULT_SECONDS, 1):
        harness.clock.move(seconds=seconds / 2)
        await harness.settle()
        assert harness.chat.refused == tries, "not before its time"
        harness.clock.move(seconds=seconds / 2)
        await harness.settle()
        assert harness.chat.refused == tries + 1
    harness.clock.move(days=1)
    await harness.settle()
    assert harness.chat.refused == len(FAULT_SECONDS) + 1
    # What is next to say has all of these tries again.
    await harness.show(job)
    harness.chat.faults.clear()
    harness.clock.move(seconds=FAULT_SECONDS[0])
    await harness.until(job, "Received")


async def test_a_platform_that_is_no_longer_set_up_is_passed_over(
    harness: AnnouncerHarness,
) -> None:
    job = await harness.books.received()
    await harness.books.sql(
        'UPDATE jobs SET request = replace(request, \'"adapter": "recording"\', '
        '\'"adapter": "gone"\') WHERE id = :id',
        id=job.id,
    )
    await harness.show(job)
    assert harness.chat.said(job) == []


async def showing_images(harness: AnnouncerHarness) -> tuple[Job, MessageRef]:
    """A job, and the message that shows its images to the video service."""
    job = await harness.books.received()
    shown = MessageRef(thread=job.request.thread, message="letter")
    key = messages.images_key(job.id)
    await harness.books.database.write(lambda tx: messages.put(tx, key, job.id, shown, "images"))
    return job, shown


async def test_what_showed_its_images_goes_when_a_job_has_ended(harness: AnnouncerHarness) -> None:
    job, shown = await showing_images(harness)
    await harness.show(job)
    assert harness.chat.deleted == []
    harness.chat.faults[job.id] = ThreadGone("Its status message is gone.")
    await harness.show(await harness.books.end(job))
    await harness.show(job)
    assert harness.chat.deleted == [shown]
    assert await harness.books.database.read(messages.showing_images) == []


async def test_what_showed_images_goes_later_where_the_platform_is_down(
    harness: AnnouncerHarness,
) -> None:
    job, shown = await showing_images(harness)
    harness.chat.delete_trouble = DeliveryUnavailable(retry_after=7.0)
    await harness.show(await harness.books.end(job))
    assert harness.chat.said(job) == ["Failed"], "its last word waits for nothing"
    assert await harness.books.database.read(messages.showing_images) == [job.id]
    harness.chat.delete_trouble = None
    harness.clock.move(seconds=8)
    await harness.settle()
    assert harness.chat.deleted == [shown]
    assert await harness.books.database.read(messages.showing_images) == []


async def test_what_showed_images_and_can_never_be_deleted_is_let_be(
    harness: AnnouncerHarness,
) -> None:
    job, _ = await showing_images(harness)
    harness.chat.delete_trouble = ThreadGone()
    await harness.show(await harness.books.end(job))
    assert await harness.books.database.read(messages.showing_images) == []


async def test_many_at_once_are_all_shown(harness: AnnouncerHarness) -> None:
    made = [await harness.books.received() for _ in range(30)]
    for job in made:
        harness.announcer.touch(job.id)
    await harness.chat.until(lambda: len(harness.chat.posts) == len(made))


async def test_a_slow_message_holds_up_no_other(harness: AnnouncerHarness) -> None:
    made = [await harness.books.received() for _ in range(3 * AT_ONCE)]
    slow, *others = made
    harness.chat.slow[slow.id] = asyncio.Event()
    for job in made:
        harness.announcer.touch(job.id)
    await harness.chat.until(lambda: len(harness.chat.posts) == len(others))
    assert harness.chat.said(slow) == []
    assert harness.chat.most_at_once <= AT_ONCE
    harness.chat.slow[slow.id].set()
    await harness.until(slow, "Received")


async def test_one_message_is_in_one_pair_of_hands(harness: AnnouncerHarness) -> None:
    """Two posts of one status at the same time would be two messages."""
    job = await harness.books.received()
    harness.chat.slow[job.id] = asyncio.Event()
    harness.announcer.touch(job.id)
    while not harness.chat.most_at_once:
        await asyncio.sleep(0)
    await harness.books.accept(job)
    harness.announcer.touch(job.id)
    mark = await harness.books.received(user="mark")
    harness.announcer.touch(mark.id)
    await harness.until(mark, "Received")
    assert harness.chat.most_at_once == 2
    harness.chat.slow[job.id].set()
    await harness.until(job, "Received", "Queued")


async def test_news_for_many_may_take_its_time_and_is_told_early_with_other_news(
    harness: AnnouncerHarness,
) -> None:
    first, second = await harness.books.received(), await harness.books.received()
    harness.announcer.touch(first.id, after=60)
    harness.announcer.touch(second.id, after=60)
    harness.announcer.touch(first.id, after=90)
    await harness.show(second)
    assert (harness.chat.said(first), harness.chat.said(second)) == ([], ["Received"])
    harness.clock.move(seconds=30)
    await harness.settle()
    assert harness.chat.said(first) == []
    harness.clock.move(seconds=30)
    await harness.until(first, "Received")


async def test_a_wall_clock_set_back_delays_no_message(harness: AnnouncerHarness) -> None:
    harness.chat.edit_seconds = 5
    job = await harness.books.received()
    await harness.show(job)
    harness.announcer.touch((await harness.books.accept(job)).id)
    harness.clock.set_wall(hours=-1)
    harness.clock.move(seconds=6)
    await harness.until(job, "Received", "Queued")


# ---- what another process left unshown ---------------------------------------------------------


@pytest.fixture
def unshown(harness: AnnouncerHarness) -> Unshown:
    return Unshown(harness.books.database, harness.clock, harness.announcer.touch)


async def look(harness: AnnouncerHarness, unshown: Unshown) -> None:
    """Look once whoever had it in hand has had the time to show it."""
    harness.clock.move(seconds=ITS_OWN.total_seconds())
    await unshown.look()
    harness.clock.move(seconds=1)
    await harness.settle()


async def ask_elsewhere(harness: AnnouncerHarness, job: Job) -> Job:
    """Another process plans a job that its person is to confirm, and dies."""
    return await harness.books.change(job, plan=to_plan(job.request))


async def test_what_moved_or_asks_in_another_process_is_shown(
    harness: AnnouncerHarness, unshown: Unshown
) -> None:
    job, other = await harness.books.received(), await harness.books.received()
    await look(harness, unshown)
    await ask_elsewhere(harness, job)
    await harness.books.accept(other)
    await look(harness, unshown)
    assert harness.chat.said(job) == ["Received", "ConfirmNeeded"]
    assert harness.chat.said(other) == ["Received", "Queued"]


async def test_a_question_that_cannot_be_shown_is_tried_again_once_it_changed(
    harness: AnnouncerHarness, unshown: Unshown
) -> None:
    await unshown.look()
    job = await ask_elsewhere(harness, await harness.books.received())
    harness.chat.faults[job.id] = ThreadGone()
    for _ in range(3):
        await look(harness, unshown)
    assert harness.chat.refused == 1
    harness.chat.faults.clear()
    await harness.books.change(job, tries=1)
    await unshown.look()
    await harness.until(job, "ConfirmNeeded")


async def test_what_its_own_process_shows_is_not_looked_at_again(
    harness: AnnouncerHarness,
) -> None:
    touched: list[JobId] = []

    def touch(job_id: JobId, *, after: float = 0.0) -> None:
        touched.append(job_id)

    unshown = Unshown(harness.books.database, harness.clock, touch)
    await look(harness, unshown)
    now = harness.clock.now()
    shown, left = await harness.books.received(at=now), await harness.books.received(at=now)
    await harness.show(shown)
    await unshown.look()
    assert touched == [], "whoever has it in hand is given time"
    await look(harness, unshown)
    assert touched == [left.id]
    await harness.show(left)
    await harness.books.accept(shown)
    await look(harness, unshown)
    assert touched == [left.id, shown.id]


# ---- private answers, among several processes ---------------------------------------------------


class Among(SingleProcess):
    """One of several processes, in the same test."""

    def __init__(self, others: list[Among]) -> None:
        super().__init__()
        self._others = others
        self._ears: dict[str, Callable[[Mapping[str, str]], None]] = {}
        others.append(self)

    def on(self, subject: str, hear: Callable[[Mapping[str, str]], None]) -> None:
        self._ears[subject] = hear

    def tell(self, subject: str, **said: str) -> None:
        for each in self._others:
            if each is not self:
                each._ears[subject](said)


@pytest.mark.parametrize("is_placed", [True, False])
async def test_a_private_answer_that_ended_is_asked_for_once_for_each_news(
    harness: AnnouncerHarness, is_placed: bool
) -> None:
    """Only the process that listens finds that it ended; another one has to ask it."""
    job = await harness.books.received()
    request = job.request.model_copy(update={"is_private": True})
    job = await harness.books.change(job, request=request)
    if is_placed:
        await harness.show(job)
    here, there, processes = Chat(), Chat(), list[Among]()
    for chat, trouble in ((here, DeliveryUnavailable(retry_after=60.0)), (there, ThreadGone())):
        chat.posts, chat.edit_trouble = harness.chat.posts, trouble
        chat.faults[job.id] = trouble
    pair = [harness.new_announcer(chat, Among(processes)) for chat in (here, there)]

    async def asked(job: Job) -> int:
        """How often the one asked the other to say this in the next minutes."""
        before = here.refused
        pair[0].touch(job.id)
        for _ in range(10):
            harness.clock.move(minutes=2)
            while any(each._in_hand or each._is_due() for each in pair):
                await asyncio.sleep(0.005)
        return here.refused - before

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in pair]
        job = await harness.books.accept(job)
        assert await asked(job) == 1
        job = await harness.books.end(job)
        assert await asked(job) == 1
        for task in tasks:
            task.cancel()
    assert there.refused


# ---- where old messages cannot be changed ------------------------------------------------------


async def end_while_edits_are_paused(
    harness: AnnouncerHarness, to: JobState, trouble: DeliveryError | None = None
) -> Job:
    """A job with a status message ends while the platform takes no edits."""
    job = await harness.books.received()
    await harness.show(job)
    harness.chat.edit_trouble = EditsPaused(retry_after=60)
    if trouble is not None:
        harness.chat.faults[job.id] = trouble
    job = await harness.books.end(job, to)
    await harness.show(job)
    return job


@pytest.mark.parametrize("to", [S.FAILED, S.CANCELLED])
async def test_a_last_word_that_no_edit_can_say_is_a_new_message(
    harness: AnnouncerHarness, to: JobState
) -> None:
    job = await end_while_edits_are_paused(harness, to)
    assert harness.chat.stands(job) == [("last", to.name.capitalize())]
    [post] = harness.chat.posts
    key = messages.status_key(job.id)
    known = await harness.books.database.read(lambda conn: messages.get(conn, key))
    assert known.message == post.ref
    harness.clock.move(minutes=2)
    await harness.show(job)
    assert len(post.notices) == 1, "said once"


async def test_news_of_an_open_job_wait_for_the_edit(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    await harness.show(job)
    harness.chat.edit_trouble = EditsPaused(retry_after=60)
    await harness.show(await harness.books.accept(job))
    assert harness.chat.stands(job) == [("status", "Received")]
    harness.chat.edit_trouble = None
    harness.clock.move(seconds=61)
    await harness.until(job, "Received", "Queued")


async def test_a_clip_that_came_needs_no_new_message(harness: AnnouncerHarness) -> None:
    job = await harness.books.reach(S.DELIVERING)
    await harness.show(job)
    harness.chat.edit_trouble = EditsPaused(retry_after=60)
    job = await harness.books.end(job, S.DELIVERED, charged=1)
    await harness.show(job)
    assert harness.chat.stands(job) == [("status", "Fetching")]
    harness.chat.edit_trouble = None
    harness.clock.move(seconds=61)
    await harness.until(job, "Fetching", "Done")


async def test_a_last_word_is_said_once_although_the_process_died_with_it(
    harness: AnnouncerHarness,
) -> None:
    """It was posted, and the next process, whose edits are taken, knows only that it was to be."""
    job = await harness.books.received()
    await harness.show(job)
    harness.chat.edit_trouble = EditsPaused(retry_after=60)
    harness.chat.answers.clear()
    job = await harness.books.end(job, S.CANCELLED)
    async with asyncio.TaskGroup() as group:
        first = harness.new_announcer()
        dying = group.create_task(first.run())
        first.touch(job.id)
        await harness.chat.until(lambda: len(harness.chat.posts) == 2)
        dying.cancel()
    harness.chat.answers.set()
    harness.chat.edit_trouble = None
    await harness.show(job)
    assert harness.chat.stands(job) == [("last", "Cancelled")]


async def test_where_nothing_new_can_be_posted_the_last_word_waits_for_the_edit(
    harness: AnnouncerHarness,
) -> None:
    job = await end_while_edits_are_paused(harness, S.FAILED, ThreadGone())
    assert harness.chat.stands(job) == [("status", "Received")]
    harness.chat.edit_trouble = None
    harness.clock.move(seconds=61)
    await harness.until(job, "Received", "Failed")


async def test_a_last_word_that_may_stand_there_is_not_said_again(
    harness: AnnouncerHarness,
) -> None:
    job = await end_while_edits_are_paused(harness, S.FAILED, PostedBefore())
    harness.chat.edit_trouble = None
    harness.clock.move(minutes=2)
    await harness.settle()
    assert harness.chat.stands(job) == [("status", "Received")]


async def test_an_old_message_that_stays_does_not_hold_up_the_new_one(
    harness: AnnouncerHarness,
) -> None:
    harness.chat.delete_trouble = DeliveryUnavailable()
    job = await end_while_edits_are_paused(harness, S.FAILED)
    assert harness.chat.stands(job) == [("status", "Received"), ("last", "Failed")]
    harness.chat.edit_trouble = None
    harness.clock.move(minutes=2)
    await harness.show(job)
    assert harness.chat.stands(job) == [("status", "Received"), ("last", "Failed")]


# ---- placed before anything is paid -----------------------------------------------------------


async def refuse(harness: AnnouncerHarness, job: Job) -> Job:
    """Its person was told, and nobody else need read of it."""
    return await harness.books.end(job, code=ledger.REFUSED)


async def rows_of(harness: AnnouncerHarness, job: Job) -> list[str]:
    found = await harness.books.rows("SELECT key FROM messages WHERE job_id = :id", id=job.id)
    return [key for (key,) in found]


async def test_a_job_is_placed_once_whoever_else_shows_it(harness: AnnouncerHarness) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.answers.clear()
    async with asyncio.TaskGroup() as group:
        harness.announcer.touch(job.id)
        for _ in range(3):
            group.create_task(harness.announcer.place(job))
        await harness.chat.until(lambda: harness.chat.said(job) == ["Received"])
        harness.announcer.touch(job.id)
        harness.chat.answers.set()
    await harness.announcer.place(job)
    await harness.settle()
    assert [len(harness.chat.stands(job)), harness.chat.most_at_once] == [1, 1]
    assert await rows_of(harness, job) == [messages.status_key(job.id)]


async def test_what_was_touched_while_it_was_placed_is_shown_then(
    harness: AnnouncerHarness,
) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.answers.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(harness.announcer.place(job))
        await harness.chat.until(lambda: harness.chat.said(job) == ["Received"])
        await harness.books.accept(job)
        harness.announcer.touch(job.id)
        harness.chat.answers.set()
    await harness.until(job, "Received", "Queued")


async def test_other_platforms_are_not_written_to_before(harness: AnnouncerHarness) -> None:
    job = await harness.books.received()
    await harness.announcer.place(job)
    assert harness.chat.said(job) == []
    assert await rows_of(harness, job) == []


async def test_where_it_may_not_write_nothing_is_left_behind(harness: AnnouncerHarness) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.faults[job.id] = ThreadGone("Invite me first.")
    with pytest.raises(ThreadGone, match="Invite me"):
        await harness.announcer.place(job)
    assert await rows_of(harness, job) == []
    harness.chat.faults.clear()
    await harness.show(await refuse(harness, job))
    assert harness.chat.said(job) == []


async def test_what_cannot_be_placed_just_now_is_shown_later(harness: AnnouncerHarness) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.faults[job.id] = DeliveryUnavailable(retry_after=7.0)
    await harness.announcer.place(job)
    await harness.books.accept(job)
    harness.chat.faults.clear()
    assert harness.chat.said(job) == []
    harness.clock.move(seconds=8)
    await harness.until(job, "Queued")


async def test_what_may_have_been_placed_before_is_not_refused(harness: AnnouncerHarness) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.faults[job.id] = PostedBefore()
    await harness.announcer.place(job)
    assert harness.chat.said(job) == []


async def test_what_was_placed_of_a_refused_request_goes_in_the_end(
    harness: AnnouncerHarness,
) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    await harness.announcer.place(job)
    [ref] = [post.ref for post in harness.chat.posts]
    harness.chat.delete_trouble = DeliveryUnavailable(retry_after=7.0)
    await harness.show(await refuse(harness, job))
    assert harness.chat.said(job) == ["Received"], "the refusal is nobody else's"
    harness.chat.delete_trouble = None
    harness.clock.move(seconds=8)
    await harness.settle()
    assert harness.chat.deleted == [ref]
    assert await rows_of(harness, job) == []
    await harness.show(job)
    assert (harness.chat.said(job), harness.chat.deleted) == ([], [ref])


async def test_a_message_whose_answer_was_lost_is_found_and_taken_down(
    harness: AnnouncerHarness,
) -> None:
    """The process died with it; the next knows only that it was to be posted."""
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    harness.chat.answers.clear()
    dying = asyncio.ensure_future(harness.announcer.place(job))
    await harness.chat.until(lambda: harness.chat.said(job) == ["Received"])
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    harness.chat.answers.set()
    await refuse(harness, job)
    [ref] = [post.ref for post in harness.chat.posts]
    next_process = harness.new_announcer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(next_process.run())
        next_process.touch(job.id)
        while await rows_of(harness, job):
            await asyncio.sleep(0.005)
        task.cancel()
    assert (harness.chat.said(job), harness.chat.deleted) == ([], [ref])


async def test_a_message_that_cannot_be_removed_is_given_up(harness: AnnouncerHarness) -> None:
    harness.chat.is_placed_first = True
    job = await harness.books.received()
    await harness.announcer.place(job)
    harness.chat.delete_trouble = ThreadGone()
    await harness.show(await refuse(harness, job))
    assert await rows_of(harness, job) == []
    assert harness.chat.said(job) == ["Received"]
