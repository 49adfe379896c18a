"""What is looked at before anything is paid: whether one may write there, and who is a guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.dispatch.single import SingleProcess
from bot.errors import (
    DeliveryUnavailable,
    FrameRejected,
    InvalidRequest,
    NotAllowed,
    QuotaExceeded,
    StoreError,
    ThreadGone,
)
from bot.job import JobState
from bot.notices import Failed, Generating, Notice, Received
from bot.ports import Memo
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import GenerationRequest, ImageFrame
from bot.simulator import Simulator
from bot.store import jobs, ledger, messages, timeline
from bot.studio.intake import WAIT_FOR_CHAT
from bot.studio.leftovers import LOOK_EVERY, Leftovers
from tests import rendered
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester
from tests.postgres import postgres_database

INVITE = "Invite me into this channel first, then ask again."


@pytest.fixture
def chat() -> RecordingAdapter:
    chat = RecordingAdapter()
    chat.is_placed_first = True
    return chat


@pytest.fixture
async def bot(start_bot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> RunningBot:
    """One that has looked for leftovers at its start, so that a test leaves some unseen."""
    has_looked, take_up = asyncio.Event(), Leftovers.take_up

    async def look(leftovers: Leftovers) -> None:
        await take_up(leftovers)
        has_looked.set()

    with monkeypatch.context() as starting:
        starting.setattr(Leftovers, "take_up", look)
        opened: RunningBot = await start_bot()
        await has_looked.wait()
    return opened


def attach(bot: RunningBot, content: bytes) -> ImageFrame:
    bot.chat.images["1"] = content
    return ImageFrame(attachment=Attachment(adapter="recording", id="1"))


async def is_forgotten(bot: RunningBot, key: str) -> bool:
    """Whether nothing of a refused request stands in public or will."""
    job_id = (await bot.submit(key=key)).job_id
    async with asyncio.timeout(30):
        while bot.chat.posts or (await row(bot, job_id)) != messages.Posted():
            await asyncio.sleep(0.005)
    return True


async def row(bot: RunningBot, job_id: JobId) -> messages.Posted:
    key = messages.status_key(job_id)
    return await bot.app.database.read(lambda conn: messages.get(conn, key))


async def test_it_is_placed_before_its_image_is_read_and_money_is_held(bot: RunningBot) -> None:
    seen: list[JobState] = []
    images = bot.chat.images

    class Watched(dict[str, bytes]):
        def __getitem__(self, key: str) -> bytes:
            [post] = bot.chat.posts
            assert isinstance(post.notices[0], Received)
            seen.append(JobState.RECEIVED)
            return images[key]

    frame = attach(bot, rendered.png())
    bot.chat.images = Watched(images)
    job_id = await bot.ask(start_frame=frame)
    assert seen
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Generating))
    assert len(bot.chat.posts) == 1


async def test_where_it_may_not_write_its_person_is_told_and_nothing_is_paid(
    bot: RunningBot,
) -> None:
    bot.chat.before_post = lambda _: ThreadGone(INVITE)
    frame = attach(bot, b"never read, else it would be refused for that")
    with pytest.raises(NotAllowed, match=INVITE):
        await bot.submit(key="k", start_frame=frame)
    bot.chat.before_post = lambda _: None
    again = await bot.submit(key="k")
    assert isinstance(again.notice, Failed)
    assert (again.notice.sentence, again.notice.charged) == (INVITE, 0)
    assert await is_forgotten(bot, "k")
    report = await bot.studio.usage(to_requester())
    assert (report.today.asked, report.today.refused, report.today.charged) == (1, 1, 0)
    await bot.check_books()


async def test_an_outage_of_the_chat_holds_up_nothing(
    bot: RunningBot, clock: MovableClock
) -> None:
    bot.chat.before_post = lambda _: DeliveryUnavailable(retry_after=20)
    job_id = await bot.ask()
    await bot.until(job_id, JobState.GENERATING)
    bot.chat.before_post = lambda _: None
    clock.move(seconds=21)
    await bot.chat.until(lambda: isinstance(bot.chat.status(job_id), Generating))


async def test_what_is_refused_after_it_was_placed_is_taken_down(bot: RunningBot) -> None:
    with pytest.raises(FrameRejected):
        await bot.submit(key="k", start_frame=attach(bot, b"no image"))
    assert await is_forgotten(bot, "k")


async def test_a_limit_that_is_reached_is_nobody_elses_to_read(
    start_bot: Callable[..., Any],
) -> None:
    bot = await start_bot(limits={"clips_per_person_per_day": 0})
    said: list[Notice] = []
    bot.chat.before_post = said.append
    with pytest.raises(QuotaExceeded):
        await bot.submit(key="k")
    assert await is_forgotten(bot, "k")
    assert [type(each) for each in said] == [Received]


async def test_what_is_refused_at_once_is_not_placed(bot: RunningBot) -> None:
    said: list[Notice] = []
    bot.chat.before_post = said.append
    with pytest.raises(InvalidRequest):
        await bot.submit(model="ray-99")
    assert said == []


async def test_a_redelivery_while_it_is_placed_places_nothing_more(bot: RunningBot) -> None:
    request = to_request(key="k")
    receipts = await asyncio.gather(*(bot.studio.submit(request) for _ in range(5)))
    assert len({each.job_id for each in receipts}) == 1
    await bot.chat.until(lambda: isinstance(bot.chat.status(receipts[0].job_id), Generating))
    assert len(bot.chat.posts) == 1


class Held(RecordingAdapter):
    """A platform that never answers a post, and deletes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_placed_first = True
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        self.asked.set()
        await self.answers.wait()
        return await super().post(thread, notice, key=key, memo=memo)

    async def delete(self, message: MessageRef) -> None:
        raise DeliveryUnavailable(retry_after=3600)


async def test_what_was_not_placed_before_a_restart_is_refused_before_money(
    simulator: Simulator, clock: MovableClock, chat: RecordingAdapter, tmp_path: Path
) -> None:
    config, held = to_test_config(tmp_path, simulator), Held()
    async with running(config, simulator, held, clock) as bot:
        task = asyncio.ensure_future(bot.submit(key="k"))
        await held.asked.wait()
        [line] = await bot.studio.jobs(to_requester())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    chat.before_post = lambda _: ThreadGone(INVITE)
    async with running(config, simulator, chat, clock) as bot:
        job = await bot.until(line.job_id, JobState.FAILED)
        assert job.failure is not None
        assert (job.failure.code, job.cost) == (ledger.LATE_REFUSAL, 0)
        await bot.check_books()
    assert (chat.posts, held.posts) == ([], [])


async def test_what_was_to_be_taken_down_is_so_after_a_restart(
    simulator: Simulator, clock: MovableClock, chat: RecordingAdapter, tmp_path: Path
) -> None:
    config, held = to_test_config(tmp_path, simulator), Held()
    held.answers.set()
    async with running(config, simulator, held, clock) as bot:
        with pytest.raises(FrameRejected):
            await bot.submit(key="k", start_frame=attach(bot, b"no image"))
    [post] = chat.posts = held.posts
    assert [type(each) for each in post.notices] == [Received]
    async with running(config, simulator, chat, clock) as bot:
        assert await is_forgotten(bot, "k")


# ---- guests -----------------------------------------------------------------------------------


def of_guest(key: str, *, is_guest: bool = True) -> GenerationRequest:
    request = to_request(key=key, user="gil")
    guest = request.requester.model_copy(update={"is_guest": is_guest})
    return request.model_copy(update={"requester": guest})


async def test_a_guest_reads_and_keeps_to_a_limit_of_their_own(
    start_bot: Callable[..., Any],
) -> None:
    limits = {"clips_per_person_per_day": 5, "clips_per_guest_per_day": 1}
    bot = await start_bot(limits=limits)
    await bot.studio.submit(of_guest("1"))
    with pytest.raises(QuotaExceeded, match="1 of 1 clips per day"):
        await bot.studio.submit(of_guest("2"))
    for is_guest, allowed in ((True, 1), (False, 5)):
        report = await bot.studio.usage(of_guest("3", is_guest=is_guest).requester)
        assert {each.name: each.allowed for each in report.allowances}["clips per day"] == allowed
    await bot.studio.submit(of_guest("3", is_guest=False))
    await bot.check_books()


@pytest.mark.parametrize("limit", ["clips_per_guest_per_day", "usd_per_guest_per_day"])
async def test_guests_can_be_kept_out(start_bot: Callable[..., Any], limit: str) -> None:
    bot = await start_bot(limits={limit: 0})
    with pytest.raises(NotAllowed, match="Guests cannot use Raybot here"):
        await bot.studio.submit(of_guest("1"))
    assert await bot.studio.jobs(of_guest("1").requester) == ()
    await bot.studio.submit(of_guest("2", is_guest=False))


async def test_what_is_being_prepared_here_is_left_alone_for_as_long_as_that_takes(
    bot: RunningBot, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, read, reads = asyncio.Event(), asyncio.Event(), bot.chat.read, list[str]()

    async def slow(image: Attachment) -> AsyncIterator[bytes]:
        reads.append(image.id)
        begun.set()
        await may_end.wait()
        async for part in read(image):
            yield part

    image = attach(bot, rendered.png())
    monkeypatch.setattr(bot.chat, "read", slow)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        asking = group.create_task(bot.studio.submit(to_request(key="k", start_frame=image)))
        await begun.wait()
        clock.move(minutes=5)
        await bot.studio.leftovers.take_up()
        assert not asking.done(), "nobody waits for it"
        may_end.set()
    await bot.until(asking.result().job_id, JobState.GENERATING)
    assert reads == ["1"]


async def _left_by(bot: RunningBot, process: str | None) -> JobId:
    """A request whose image was being read by another process."""
    request, now = to_request(key="k", start_frame=attach(bot, rendered.png())), bot.clock.now()
    job, _ = await bot.app.database.write(
        lambda tx: jobs.insert(tx, request, now, prepared_by=process)
    )
    return job.id


async def test_what_a_process_prepared_that_is_gone_is_taken_up_at_once(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone where it was not there twice: the connection of one may be cut for a moment."""
    monkeypatch.setattr(SingleProcess, "is_single", False)
    job_id = await _left_by(bot, "dead")
    await bot.studio.leftovers.take_up()
    assert (await bot.job(job_id)).state is JobState.RECEIVED
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.GENERATING)


@pytest.mark.parametrize("earlier", ["earlier", None])
async def test_who_is_alone_takes_up_at_once_what_its_earlier_life_left(
    bot: RunningBot, earlier: str | None
) -> None:
    job_id = await _left_by(bot, earlier)
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.GENERATING)


async def test_what_another_process_prepares_is_left_to_it_while_it_is_there(
    bot: RunningBot, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: object) -> frozenset[str]:
        return frozenset()

    with monkeypatch.context() as there:
        there.setattr(bot.studio.replicas, "gone", gone)
        job_id = await _left_by(bot, "slow")
        clock.move(minutes=5)
        await bot.studio.leftovers.take_up()
        await bot.studio.leftovers.take_up()
        assert (await bot.job(job_id)).state is JobState.RECEIVED
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.GENERATING)


async def test_each_process_takes_up_what_it_cut_off_itself(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    """Also who has none of the chores that one process does for all."""
    with postgres_database() as url:
        table = {"database_url": url, "single_host": True}
        config = to_test_config(tmp_path, simulator, bot=table)
        async with running(config, simulator, chat, clock) as first:
            await first.until(await first.ask(), JobState.GENERATING)
            async with running(config, simulator, chat, clock) as second:
                [job] = await second.studio._intake._insert([to_request(key="k")], None) or []
                async with asyncio.timeout(30):
                    while (await first.job(job.id)).state is JobState.RECEIVED:
                        await clock.let_pass(seconds=LOOK_EVERY.total_seconds())
                assert (await first.job(job.id)).accepted_at is not None


async def test_who_is_alone_takes_up_what_a_clock_that_was_put_back_dates_later(
    bot: RunningBot, clock: MovableClock
) -> None:
    [job] = await bot.studio._intake._insert([to_request(key="k")], None) or []
    clock.set_wall(seconds=-60)
    await bot.studio.leftovers.take_up()
    await bot.until(job.id, JobState.GENERATING)


async def test_a_plain_request_is_accepted_as_it_is_written_down(bot: RunningBot) -> None:
    bot.chat.is_placed_first = False
    receipt = await bot.studio.submit(to_request(key="k"))
    steps = await bot.app.database.read(lambda conn: timeline.of(conn, receipt.job_id))
    assert steps[0][0] == steps[1][0]
    assert [state for _, state in steps[:2]] == ["received", "accepted"]
    await bot.check_books()


async def test_a_database_that_is_away_ends_no_request(bot: RunningBot) -> None:
    [job] = await bot.studio._intake._insert([to_request(key="k")], None) or []

    def away(_: Notice) -> None:
        raise StoreError

    bot.chat.before_post = away
    await bot.studio.leftovers.take_up()
    assert (await bot.job(job.id)).state is JobState.RECEIVED


async def test_what_was_asked_in_a_chat_of_other_processes_is_left_to_them(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await _left_unread(bot)
    with monkeypatch.context() as elsewhere:
        elsewhere.delitem(bot.app._adapters, bot.chat.name)
        await bot.studio.leftovers.take_up()
        assert (await bot.job(job_id)).state is JobState.RECEIVED
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.GENERATING)


async def _left_unread(bot: RunningBot) -> JobId:
    """A request that was cut off before its image was read."""
    image = attach(bot, rendered.png())
    [job] = await bot.studio._intake._insert([to_request(key="k", start_frame=image)], None) or []
    return job.id


async def _read_nothing(image: Attachment) -> AsyncIterator[bytes]:
    if image.id:
        raise DeliveryUnavailable
    yield b""


async def test_a_chat_that_is_not_connected_yet_ends_no_request(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await _left_unread(bot)
    with monkeypatch.context() as away:
        away.setattr(bot.chat, "read", _read_nothing)
        await bot.studio.leftovers.take_up()
        assert (await bot.job(job_id)).state is JobState.RECEIVED
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.GENERATING)


async def test_a_chat_that_stays_away_ends_a_request_before_nobody_expects_it_any_more(
    bot: RunningBot, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await _left_unread(bot)
    monkeypatch.setattr(bot.chat, "read", _read_nothing)
    await bot.studio.leftovers.take_up()
    clock.move(seconds=WAIT_FOR_CHAT.total_seconds())
    await bot.studio.leftovers.take_up()
    await bot.until(job_id, JobState.FAILED)


async def test_what_a_database_that_is_away_does_not_let_end_goes_on_as_its_person_is_told(
    bot: RunningBot, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise StoreError

    def go(_: Notice) -> None:
        monkeypatch.setattr(bot.app.database, "write", away)
        raise DeliveryUnavailable

    bot.chat.before_post = go
    with pytest.raises(StoreError, match=r"so r-\w+ has to wait.* do not ask again") as told:
        await bot.studio.submit(to_request(key="k"))
    monkeypatch.undo()
    bot.chat.before_post = lambda _: None
    [job] = await bot.studio.jobs(to_request().requester)
    assert job.job_id in told.value.sentence
    clock.move(seconds=LOOK_EVERY.total_seconds())
    await bot.until(job.job_id, JobState.GENERATING)
    assert len(bot.simulator.generations) == 1


async def test_what_its_person_was_told_had_failed_is_not_bought_later(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator, bot={"public_url": "https://ray.example"})
    frame = ImageFrame(attachment=Attachment(adapter="recording", id="a", filename="fox.png"))
    async with running(config, simulator, chat, clock) as bot:
        # An adapter that breaks its promise: its people read that something went wrong.
        with pytest.raises(KeyError):
            await bot.studio.submit(to_request("a fox", key="first", start_frame=frame))
        chat.images["a"] = rendered.png()
        again = await bot.studio.submit(to_request("a fox", key="again", start_frame=frame))
        await bot.until(again.job_id, JobState.GENERATING)
    async with running(config, simulator, chat, clock) as bot:
        first = await bot.app.database.read(lambda conn: jobs.by_dedupe_key(conn, "first"))
        assert first is not None
        ended = await bot.until(first.id, JobState.FAILED)
        assert (ended.accepted_at, ended.cost) == (None, 0)
        assert len(simulator.generations) == 1
