"""What the operator does is written down, what they must know is told once, and time cleans up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.clips import Clips
from bot.codec import Codec
from bot.config import BotTable
from bot.dispatch.local import LocalDispatcher
from bot.errors import InvalidRequest, JobNotFound, StoreError
from bot.frames import Frames, frame_key
from bot.job import Job, JobState
from bot.media import LinkSigner, Media, open_media
from bot.operations import CLEAN_EVERY, TELL_EVERY, Housekeeping, Operations, inspect
from bot.refs import GenerationId, JobId, MediaKey
from bot.store import settings
from bot.store.database import Database
from tests.bot.store.conftest import NOW, Books
from tests.conftest import House
from tests.fakes import MovableClock

S = JobState


@dataclass
class Office:
    """The operator's acts on a true database, and whom they told."""

    books: Books
    clock: MovableClock
    announced: list[JobId] = field(default_factory=list)
    watched: list[JobId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dispatcher = LocalDispatcher(self.clock, self._nothing_due)
        self.operations = Operations(
            database=self.books.database,
            dispatcher=self.dispatcher,
            clock=self.clock,
            announce=self.announced.append,
            watch=lambda job: self.watched.append(job.id),
            providers={},
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
        async with asyncio.timeout(5):
            while await self._told() != set(keys):
                await asyncio.sleep(0.01)

    async def _told(self) -> set[str]:
        rows = await self.books.rows("SELECT key FROM operator_notices WHERE told_at IS NOT NULL")
        return {key for (key,) in rows}


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
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

    async def advance(job_id: JobId) -> None:
        advanced.set_result(job_id)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
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
    resolve = office.operations.resolve
    with pytest.raises(InvalidRequest, match="Say which generation"):
        await resolve(question.id, "adopt", generation_id=None, actor="ada")
    with pytest.raises(InvalidRequest, match="is generating, not uncertain"):
        await resolve(other.id, "release", generation_id=None, actor="ada")
    with pytest.raises(InvalidRequest, match="knows no generation g-none"):
        await resolve(question.id, "adopt", generation_id=GenerationId("g-none"), actor="ada")
    assert await office.audit() == []
    assert office.announced == []
    assert await office.books.get(question.id) == question
    assert await office.books.broken() == {}


# ---- a start after a stop ---------------------------------------------------------------------


async def test_what_was_in_hand_at_three_crashes_is_put_aside_and_told(office: Office) -> None:
    job = await office.books.reach(S.FETCHING)
    for _ in range(3):
        await office.operations.recover(["luma"])
        assert (await office.books.get(job.id)).parked_at is None
    await office.operations.recover(["luma"])
    assert (await office.books.get(job.id)).parked_at is not None
    [notice] = await office.books.database.read(settings.untold)
    assert notice.job_id == job.id
    assert f"`raybot unpark {job.id}` lets it go on" in notice.sentence


async def test_an_orderly_stop_blames_nobody(office: Office) -> None:
    job = await office.books.reach(S.FETCHING)
    for _ in range(5):
        await office.operations.recover(["luma"])
        await office.books.database.write(lambda tx: settings.stop(tx, office.clock.now()))
    assert (await office.books.get(job.id)).crashes == 0


async def test_jobs_of_a_provider_that_is_gone_end_or_are_told_of(office: Office) -> None:
    waiting = await office.books.reach(S.ACCEPTED)
    runs = await office.books.reach(S.GENERATING)
    asked = await office.books.received()
    await office.operations.recover(["luma"])
    assert await office.books.get(waiting.id) == waiting
    for _ in range(2):
        await office.operations.recover(["other"])
    ended = await office.books.get(waiting.id)
    assert (ended.state, ended.cost) == (S.FAILED, 0)
    assert ended.failure is not None
    assert "luma is not set up here any more" in ended.failure.sentence
    assert await office.books.get(runs.id) == runs
    assert await office.books.get(asked.id) == asked
    assert await office.untold() == [f"unserved:{runs.id}"]
    assert await office.books.broken() == {}


# ---- notices ----------------------------------------------------------------------------------


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


async def told_by(house: House, prefix: str) -> list[str]:
    """The keys of the notices that were left, oldest first."""
    query = text("SELECT key FROM operator_notices WHERE key LIKE :like ORDER BY at, key")
    return await house.app.database.read(
        lambda conn: [row.key for row in conn.execute(query, {"like": f"{prefix}%"})]
    )


async def test_half_most_and_all_of_a_budget_are_told_once(
    open_house: Callable[..., Any],
) -> None:
    """Five holds of 15 cents fill the month."""
    limits, luma = {"usd_total_per_month": 0.766405}, {"running_limit": 1}
    house: House = await open_house(limits=limits, luma=luma)
    shares: list[list[str]] = []
    for _ in range(5):
        await house.ask()
        shares.append([key.rpartition(":")[2] for key in await told_by(house, "budget:everyone")])
    assert [len(each) for each in shares] == [0, 0, 1, 2, 3]
    assert sorted(shares[-1]) == ["100", "50", "80"]
    last = house.jobs[-1]
    await house.studio.cancel(last, (await house.job(last)).request.requester)
    await house.ask(key="again")
    assert len(await told_by(house, "budget:")) == 3
    house.clock.move(days=40)
    for number in range(3):
        await house.ask(key=f"next month {number}")
    keys = await told_by(house, "budget:")
    assert len(keys) == 4
    assert keys[-1].endswith(":50")


async def test_a_low_balance_is_told_once_a_day(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(luma={"min_balance_usd": 1000})

    async def until(count: int) -> list[str]:
        async with asyncio.timeout(10):
            while len(keys := await told_by(house, "balance:luma")) < count:
                await asyncio.sleep(0.01)
        return keys

    await until(1)
    house.clock.move(days=1)
    first, second = await until(2)
    assert first != second
    [sentence] = await house.app.database.read(
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


async def test_a_good_balance_is_not_told(open_house: Callable[..., Any]) -> None:
    house: House = await open_house(luma={"min_balance_usd": 100})
    requests = house.simulator.requests
    async with asyncio.timeout(10):
        while not any("credits" in path for path in requests):
            await asyncio.sleep(0.01)
    await house.until(await house.ask(), JobState.GENERATING)
    assert await told_by(house, "balance:") == []


# ---- housekeeping -----------------------------------------------------------------------------


@dataclass
class Home:
    """The chores on a true folder of media."""

    office: Office
    media: Media
    folder: Path
    chores: Housekeeping

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
            for prefix in ("clips", "frames")
            for each in await self.media.list(prefix)
        }


@pytest.fixture
async def home(office: Office, tmp_path: Path) -> AsyncIterator[Home]:
    media, codec = open_media("", tmp_path), Codec()
    chores = Housekeeping(
        database=office.books.database,
        clips=Clips(media, codec),
        frames=Frames(media, codec, signer=LinkSigner(b"secret")),
        table=BotTable.model_validate({"clip_retention_days": 30, "frame_retention_hours": 24}),
        clock=office.clock,
    )
    yield Home(office, media, tmp_path, chores)
    await codec.aclose()
    media.close()


async def test_old_clips_and_frames_go_but_not_those_of_open_jobs(home: Home) -> None:
    books, now = home.office.books, home.office.clock.now()
    waiting, done = await books.reach(S.ACCEPTED, at=now), await books.reach(S.DELIVERED, at=now)
    for job in (waiting, done):
        await home.keep(frame_key(job.id, "start"), timedelta(hours=25))
    await home.keep(frame_key(done.id, "end"), timedelta(hours=23))
    await home.keep("clips/r-old.mp4", timedelta(days=31))
    await home.keep("clips/r-new.mp4", timedelta(days=29))
    await home.chores.clean()
    assert await home.kept() == {
        "clips/r-new.mp4",
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


async def test_books_that_do_not_add_up_are_told_once_a_day(home: Home) -> None:
    office = home.office
    job = await office.books.reach(S.DELIVERED)
    await office.books.sql("UPDATE jobs SET cost = 7 WHERE id = :id", id=job.id)
    await home.chores.clean()
    await home.chores.clean()
    [notice] = await office.books.database.read(settings.untold)
    assert notice.sentence == (
        f"The books break a rule (a job's cost is what its entries say): {job.id}."
    )
    office.clock.move(days=1)
    await home.chores.clean()
    assert len(await office.untold()) == 2


async def test_cleaning_is_done_each_hour_even_after_it_failed(home: Home) -> None:
    office = home.office

    async def until_gone() -> None:
        async with asyncio.timeout(5):
            while await home.kept():
                await asyncio.sleep(0.01)

    await home.keep("clips/r-old.mp4", timedelta(days=31))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(home.chores.run())
        await asyncio.sleep(0)
        assert await home.kept() == {"clips/r-old.mp4"}
        await office.books.sql("ALTER TABLE ledger_entries RENAME TO lost")
        office.clock.move(seconds=CLEAN_EVERY.total_seconds())
        await until_gone()
        await home.keep("clips/r-old.mp4", timedelta(days=31))
        with pytest.raises(StoreError):
            await home.chores.clean()
        await office.books.sql("ALTER TABLE lost RENAME TO ledger_entries")
        await home.keep("clips/r-older.mp4", timedelta(days=32))
        async with asyncio.timeout(5):
            while await home.kept():
                office.clock.move(seconds=CLEAN_EVERY.total_seconds())
                await asyncio.sleep(0.01)
        task.cancel()


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
        f"{parked.id} was put aside (fetching)",
    ]
