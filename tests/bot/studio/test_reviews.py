"""Clips that moderators look at before they are posted, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.errors import DeliveryUnavailable, InvalidRequest, JobNotFound, NotAllowed
from bot.job import Job, JobState
from bot.notices import Delivered, Done, Failed, Notice, Reviewed, Reviewing, ReviewNeeded
from bot.refs import JobId, MessageRef, ThreadRef, money
from bot.request import ClipFrame, StoryWork
from bot.simulator import Simulator
from bot.store import desk_acts, jobs, schema, stories
from bot.store.transaction import Tx
from bot.studio.desk.acts import can_retry
from bot.text import describe, describe_audit
from tests.bot.module_simulator import simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE, MIA, ANA = "recording:local", to_requester("mia"), to_requester("ana")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    limits = {"running_per_person": 1}
    config = to_test_config(tmp_path_factory.mktemp("reviews"), simulator, limits=limits)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        await let_review(opened)
        yield opened


async def let_review(bot: RunningBot) -> None:
    admin = bot.studio.admin
    await admin.set_policy(HERE, {"moderators_channel": "mods"}, actor=MIA)
    await admin.set_policy(HERE, {"review": "before_post"}, actor=MIA, channel="class")


async def made(bot: RunningBot, key: str, user: str = "ana") -> Job:
    """A clip that waits for a moderator."""
    request = to_request("a red fox", key=key, user=user)
    there = request.thread.model_copy(update={"channel": "class"})
    receipt = await bot.studio.submit(request.model_copy(update={"thread": there}))
    job = await bot.until(receipt.job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await bot.simulator.finish(job.generation_id)
    return await bot.until(job.id, JobState.REVIEWING)


def posts(bot: RunningBot, job_id: JobId, what: str) -> list[Post]:
    return [each for each in bot.chat.posts if each.key.startswith(f"{job_id}:{what}")]


def last(bot: RunningBot, job_id: JobId, what: str) -> Notice | None:
    found = posts(bot, job_id, what)
    return found[-1].notices[-1] if found else None


async def asked(bot: RunningBot, job_id: JobId) -> Post:
    await bot.chat.until(lambda: bool(posts(bot, job_id, "review")))
    return posts(bot, job_id, "review")[0]


async def acts(bot: RunningBot, job_id: JobId) -> list[tuple[str, str]]:
    rows = select(schema.audit_log).where(schema.audit_log.c.target == job_id)
    found = await bot.app.database.read(lambda conn: conn.execute(rows).all())
    return [(row.actor, row.act) for row in found]


async def test_a_clip_is_posted_once_a_moderator_says_so(bot: RunningBot) -> None:
    job, reviews = await made(bot, "post"), bot.studio.reviews
    assert job.cost > 0
    post = await asked(bot, job.id)
    assert post.ref.thread.channel == "mods"
    assert isinstance(post.notices[0], ReviewNeeded)
    assert Path(post.notices[0].path).stat().st_size == post.notices[0].bytes
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "status"), Reviewing))
    assert bot.chat.clips(job.id) == []
    await bot.check_books()
    done = await asyncio.gather(*(reviews.decide(job.id, "post", actor=MIA) for _ in range(3)))
    assert {each.verdict for each in done} == {"post"}
    await bot.delivered(job.id)
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "status"), Done))
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "review"), Reviewed))
    said = last(bot, job.id, "review")
    assert isinstance(said, Reviewed)
    assert (said.verdict, said.decided_by) == ("post", "mia")
    assert len(bot.chat.clips(job.id)) == 1
    assert await acts(bot, job.id) == [(MIA.person, "review post")]
    other = await reviews.decide(job.id, "reject", actor=to_requester("moe"))
    assert (other.verdict, other.decided_by) == ("post", "mia")
    assert (await bot.job(job.id)).cost == job.cost
    await bot.check_books()


async def test_a_charged_clip_whose_file_somebody_removed_is_told_as_charged(
    bot: RunningBot,
) -> None:
    job = await made(bot, "removed", user="rae")
    await asked(bot, job.id)
    [kept] = Path(bot.config.bot.data_dir).rglob(f"{job.id}.mp4")
    kept.unlink()
    await bot.studio.reviews.decide(job.id, "post", actor=MIA)
    lost = await bot.until(job.id, JobState.FAILED)
    assert (lost.cost, bot.chat.clips(job.id)) == (job.cost, [])
    assert lost.failure is not None
    assert "It was charged before" in lost.failure.sentence
    [note] = [each.sentence for each in await bot.notes() if each.job_id == job.id]
    assert f"was charged {money(job.cost)}" in note
    await bot.check_books()


async def test_what_waits_counts_as_charged_for_its_person_and_for_its_place(
    bot: RunningBot,
) -> None:
    job = await made(bot, "sum", user="sue")
    own = await bot.studio.usage(to_requester("sue"))
    now = bot.clock.now()
    rows = await bot.studio.admin.usage(HERE, now - timedelta(days=1), now + timedelta(days=1))
    [theirs] = [row for row in rows if row.label == "sue"]
    assert own.month.charged == theirs.charged == job.cost > 0
    bot.chat.before_post = lambda _: DeliveryUnavailable("Not now.")
    await bot.studio.reviews.decide(job.id, "post", actor=MIA)
    await bot.until(job.id, JobState.DELIVERING)
    rows = await bot.studio.admin.usage(HERE, now - timedelta(days=1), now + timedelta(days=1))
    own = await bot.studio.usage(to_requester("sue"))
    [theirs] = [row for row in rows if row.label == "sue"]
    assert own.month.charged == theirs.charged == job.cost
    bot.chat.before_post = lambda _: None


async def test_a_rejected_clip_is_paid_and_only_its_person_is_told(bot: RunningBot) -> None:
    job, reviews = await made(bot, "reject", "bo"), bot.studio.reviews
    await asked(bot, job.id)
    await reviews.decide(job.id, "reject", actor=MIA, reason="Too  scary,\nsorry.")
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "status"), Failed))
    await bot.chat.until(lambda: last(bot, job.id, "why") is not None)
    status, letter = last(bot, job.id, "status"), posts(bot, job.id, "why")[0]
    assert letter.ref.thread.channel == "dm-bo"
    told = str(describe(letter.notices[0]))
    assert "A moderator looked at your clip" in told
    assert "They say: “Too scary, sorry.”" in told
    assert "stays charged" in told
    assert status is not None
    assert "moderator" not in str(describe(status))
    assert "red fox" not in str(describe(status))
    assert "scary" not in str(describe(status))
    audit = describe_audit(await bot.studio.admin.audit(HERE))
    assert any("of bo: Too scary, sorry." in row for row in audit.table)
    assert (await reviews.decide(job.id, "post", actor=MIA)).verdict == "reject"
    assert bot.chat.clips(job.id) == []
    assert (await bot.job(job.id)).cost == job.cost > 0
    shown = await bot.studio.show(job.id, to_requester("bo"))
    assert isinstance(shown.notice, Failed)
    assert "moderator" in str(describe(shown.notice))
    others = await bot.studio.show(job.id, ANA)
    assert "moderator" not in str(describe(others.notice))
    await bot.check_books()


async def test_what_was_asked_for_is_not_told_by_a_rejected_clips_family(bot: RunningBot) -> None:
    job, jon = await made(bot, "family", "jon"), to_requester("jon")
    await bot.studio.reviews.decide(job.id, "post", actor=MIA)
    await bot.delivered(job.id)
    again = await bot.studio.retry(
        job.id, jon, dedupe_key="family again", thread=job.request.thread
    )
    child = await bot.until(again.job_id, JobState.GENERATING)
    assert child.generation_id is not None
    await bot.simulator.finish(child.generation_id)
    await bot.until(child.id, JobState.REVIEWING)
    await bot.studio.reviews.decide(child.id, "reject", actor=MIA)
    for reader, prompt in ((ANA, ""), (jon, "a red fox")):
        (relative,) = (await bot.studio.show(job.id, reader)).children
        assert relative.prompt == prompt
    # Another try would say it, too.
    thread = job.request.thread
    with pytest.raises(NotAllowed, match="Only who asked"):
        await bot.studio.retry(child.id, ANA, dedupe_key="theirs", thread=thread)
    with pytest.raises(NotAllowed, match="Only who asked"):
        await bot.studio.works.follow(child.id, "retry", ANA, dedupe_key="too", thread=thread)


async def test_what_is_said_elsewhere_of_a_forgotten_clip_goes_and_its_thread_is_unnamed(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed = list[MessageRef]()

    async def note(asked: ThreadRef, message: MessageRef) -> None:
        unnamed.append(message)

    monkeypatch.setattr(bot.chat, "clear_thread_title", note)
    job = await made(bot, "unnamed", "hal")
    await asked(bot, job.id)
    await bot.studio.reviews.decide(job.id, "reject", actor=MIA)
    await bot.chat.until(lambda: last(bot, job.id, "why") is not None)
    (status,) = posts(bot, job.id, "status")
    await bot.studio.erasure.forget(to_requester("hal"), is_confirmed=True)
    await bot.chat.until(lambda: not posts(bot, job.id, ""))
    await bot.studio.erasure.carry_on()
    assert set(unnamed) == {status.ref}


async def test_what_waits_is_shown_to_nobody_and_used_for_nothing(bot: RunningBot) -> None:
    job = await made(bot, "hidden")
    shown = await bot.studio.show(job.id, ANA)
    assert not isinstance(shown.notice, Delivered)
    with pytest.raises(InvalidRequest, match="a moderator has not let it be"):
        await bot.studio.submit(to_request(key="on", start_frame=ClipFrame(job_id=job.id)))
    with pytest.raises(InvalidRequest, match="has no clip"):
        await bot.studio.gallery.star(job.id, MIA)
    # Its slot is free: one at a time is allowed here.
    second = await bot.studio.submit(to_request(key="second"))
    await bot.until(second.job_id, JobState.GENERATING)
    await bot.studio.cancel(second.job_id, ANA)
    await bot.studio.cancel(job.id, ANA)
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "review"), Reviewed))
    assert (await bot.studio.reviews.decide(job.id, "post", actor=MIA)).verdict is None
    with pytest.raises(InvalidRequest, match="waits for no moderator"):
        await bot.studio.reviews.decide(second.job_id, "post", actor=MIA)
    assert (await bot.job(job.id)).cost == job.cost
    shown = await bot.studio.show(job.id, ANA)
    assert not isinstance(shown.notice, Delivered)
    told = describe(shown.notice).lines
    assert "The clip was already made, so it stays charged; it is not posted." in told
    shown = await bot.studio.show(second.job_id, ANA)
    assert "already made" not in " ".join(describe(shown.notice).lines)
    await bot.check_books()


async def filmed(bot: RunningBot, key: str, user: str) -> tuple[JobId, list[Job]]:
    """A film that waits for a moderator, and its shots."""
    request = to_request(key=key, user=user).model_copy(
        update={"work": StoryWork(shots=("a fox wakes", "it runs"))}
    )
    there = request.thread.model_copy(update={"channel": "class"})
    film = (await bot.studio.submit(request.model_copy(update={"thread": there}))).job_id
    shots = list[Job]()
    for at in range(2):
        shots = await bot.app.database.read(lambda conn: stories.shots(conn, film))
        shot = await bot.until(shots[at].id, JobState.GENERATING)
        assert shot.generation_id is not None
        await bot.simulator.finish(shot.generation_id)
        await bot.delivered(shot.id)
    await bot.until(film, JobState.REVIEWING)
    return film, shots


async def test_a_film_waits_as_a_whole_and_its_shots_with_it(bot: RunningBot) -> None:
    fay = to_requester("fay")
    film, shots = await filmed(bot, "film", "fay")
    for each in (film, *(shot.id for shot in shots)):
        assert not isinstance((await bot.studio.show(each, fay)).notice, Delivered)
    await bot.check_books()
    await asked(bot, film)
    await bot.studio.reviews.decide(film, "post", actor=MIA)
    await bot.delivered(film)
    assert isinstance((await bot.studio.show(shots[0].id, fay)).notice, Delivered)
    assert len(bot.chat.clips(film)) == 1
    await bot.check_books()


async def test_a_film_that_waits_is_taken_back_and_forgotten_like_a_clip(bot: RunningBot) -> None:
    eve = to_requester("eve")
    film, shots = await filmed(bot, "back", "eve")
    await asked(bot, film)
    await bot.studio.cancel(film, eve)
    assert (await bot.job(film)).state is JobState.CANCELLED
    told = describe((await bot.studio.show(film, eve)).notice).lines
    assert "The film was already made, so it stays charged; it is not posted." in told
    await bot.chat.until(lambda: isinstance(last(bot, film, "review"), Reviewed))
    assert (await bot.studio.reviews.decide(film, "post", actor=MIA)).verdict is None
    for each in (film, *(shot.id for shot in shots)):
        assert not isinstance((await bot.studio.show(each, eve)).notice, Delivered)
    other, _ = await filmed(bot, "forgotten", "eve")
    post = await asked(bot, other)
    # It is made and paid, so it waits for its place to come back.
    await bot.studio.departures.left(HERE)
    await bot.studio.erasure.carry_on()
    assert (await bot.job(other)).state is JobState.REVIEWING
    await bot.studio.departures.returned(HERE)
    await bot.studio.erasure.forget(eve, is_confirmed=True)
    await bot.until(other, JobState.CANCELLED)
    await bot.chat.until(lambda: post not in bot.chat.posts)
    await bot.check_books()


async def test_shots_of_a_film_that_cannot_be_joined_are_not_said_to_be_there(
    bot: RunningBot,
) -> None:
    request = to_request(key="torn", user="kay").model_copy(
        update={"work": StoryWork(shots=("a fox wakes", "it runs"))}
    )
    there = request.thread.model_copy(update={"channel": "class"})
    film = (await bot.studio.submit(request.model_copy(update={"thread": there}))).job_id
    first, last_shot = await bot.app.database.read(lambda conn: stories.shots(conn, film))
    for each in (first, last_shot):
        shot = await bot.until(each.id, JobState.GENERATING)
        assert shot.generation_id is not None
        if each is last_shot:
            [kept] = Path(bot.config.bot.data_dir).rglob(f"{first.id}.mp4")
            kept.unlink()
        await bot.simulator.finish(shot.generation_id)
        await bot.delivered(shot.id)
    async with asyncio.timeout(30):
        while (await bot.job(film)).state is not JobState.FAILED:
            await bot.clock.let_pass(minutes=1)
    kay = to_requester("kay")
    said = str(describe((await bot.studio.show(film, kay)).notice))
    assert "Its shots could not be joined" in said
    assert not isinstance((await bot.studio.show(last_shot.id, kay)).notice, Delivered)
    assert "kept by its own id" not in said
    assert "no moderator has looked at its shots" in said
    await bot.studio.admin.set_policy(HERE, {"review": "off"}, actor=MIA, channel="class")
    assert isinstance((await bot.studio.show(last_shot.id, kay)).notice, Delivered)
    await let_review(bot)
    await bot.check_books()


async def test_what_waits_cannot_be_reported_and_so_not_removed(bot: RunningBot) -> None:
    job = await made(bot, "reported", "gil")
    with pytest.raises(InvalidRequest, match="no clip to report"):
        await bot.studio.care.report(job.id, MIA)
    values = {"job_id": job.id, "how": "reject", "reason": "Not here."}
    assert (await bot.app.operations.act("review", values))["state"] == "failed"
    shown = await bot.studio.show(job.id, to_requester("gil"))
    assert "They say: “Not here.”" in str(describe(shown.notice))
    with pytest.raises(InvalidRequest, match="no clip to report"):
        await bot.studio.care.report(job.id, MIA)


async def test_what_the_operator_decides_is_shown_at_once(bot: RunningBot) -> None:
    job = await made(bot, "operator", "ned")
    await asked(bot, job.id)
    await bot.app.operations.act("review", {"job_id": job.id, "how": "reject"})
    await bot.chat.until(lambda: isinstance(last(bot, job.id, "review"), Reviewed))
    await bot.chat.until(lambda: last(bot, job.id, "why") is not None)


async def test_moderators_of_other_places_decide_nothing(bot: RunningBot) -> None:
    job = await made(bot, "foreign", "cem")
    stranger = to_requester("zoe", workspace="elsewhere")
    with pytest.raises(JobNotFound):
        await bot.studio.reviews.decide(job.id, "post", actor=stranger)
    outside = MIA.model_copy(update={"is_direct": True})
    with pytest.raises(NotAllowed):
        await bot.studio.reviews.decide(job.id, "post", actor=outside)
    assert (await bot.job(job.id)).state is JobState.REVIEWING


async def test_moderators_are_asked_again_though_a_wall_clock_was_ahead(
    simulator: Simulator, tmp_path: Path
) -> None:
    config, chat, clock = to_test_config(tmp_path, simulator), RecordingAdapter(), MovableClock()
    clock.set_wall(days=3)
    async with running(config, simulator, chat, clock) as bot:
        await let_review(bot)
        job = await made(bot, "ahead")
        await asked(bot, job.id)
        async with asyncio.timeout(30):
            while (await bot.job(job.id)).tries == 0:
                await asyncio.sleep(0.01)
    clock.set_wall(days=-3)
    async with running(config, simulator, chat, clock) as bot, asyncio.timeout(30):
        while len(posts(bot, job.id, "review")) < 2:
            await clock.let_pass(minutes=1, moment=0.05)


async def test_moderators_are_asked_again_and_the_operator_helps_out(bot: RunningBot) -> None:
    job = await made(bot, "slow", "dee")
    await asked(bot, job.id)
    bot.clock.move(days=1, seconds=5)
    await bot.chat.until(lambda: len(posts(bot, job.id, "review")) == 2)
    again = last(bot, job.id, "review")
    assert isinstance(again, ReviewNeeded)
    assert again.is_reminder
    values = {"job_id": job.id, "how": "post"}
    assert (await bot.app.operations.act("review", values))["state"] == "delivering"
    await bot.delivered(job.id)
    bot.clock.move(minutes=2)
    await bot.chat.until(
        lambda: all(
            isinstance(each.notices[-1], Reviewed) for each in posts(bot, job.id, "review")
        )
    )
    assert len(bot.chat.clips(job.id)) == 1


async def test_what_was_put_aside_while_it_waits_is_reviewed_first_and_charged_once(
    bot: RunningBot,
) -> None:
    job, operations = await made(bot, "aside", "ivo"), bot.app.operations
    await asked(bot, job.id)

    def park(tx: Tx) -> None:
        now = bot.clock.now()
        jobs.change(tx, jobs.get(tx.conn, job.id), parked_at=now, next_at=None)

    await bot.app.database.write(park)
    for how in ("charge", "release"):
        with pytest.raises(InvalidRequest, match="waits for a moderator"):
            await operations.act("resolve", {"job_id": job.id, "how": how})
    bot.chat.before_post = lambda _: DeliveryUnavailable("Not now.")
    await bot.studio.reviews.decide(job.id, "post", actor=MIA)
    await bot.until(job.id, JobState.DELIVERING)
    await bot.app.database.write(park)
    with pytest.raises(InvalidRequest, match="was charged before"):
        await operations.act("resolve", {"job_id": job.id, "how": "release"})
    bot.chat.before_post = lambda _: None
    await operations.unpark(job.id, actor="operator")
    assert (await bot.delivered(job.id)).cost == job.cost
    await bot.check_books()


async def test_a_rejected_film_stays_charged_and_is_not_bought_again_by_others(
    bot: RunningBot,
) -> None:
    film, shots = await filmed(bot, "rejected film", "gus")
    await asked(bot, film)
    await bot.studio.reviews.decide(film, "reject", actor=MIA)
    assert all([(await bot.job(shot.id)).cost for shot in shots])
    with pytest.raises(InvalidRequest, match="was charged"):
        await bot.studio.retries.retry(film, actor=MIA, dedupe_key="desk:film")
    found = await bot.app.database.read(lambda conn: desk_acts.job(conn, film))
    assert found is not None
    assert not can_retry(found.job, found.charged)


async def test_moderators_keep_their_channel_while_clips_wait_for_them(bot: RunningBot) -> None:
    admin = bot.studio.admin
    with pytest.raises(InvalidRequest, match="Set review to off first"):
        await admin.set_policy(HERE, {"moderators_channel": ""}, actor=MIA)
    assert (await admin.rules(HERE)).policy["moderators_channel"] == "mods"


async def test_a_restart_loses_no_clip_and_posts_it_once(
    simulator: Simulator, tmp_path: Path
) -> None:
    chat, clock, config = RecordingAdapter(), MovableClock(), to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock) as bot:
        with pytest.raises(InvalidRequest, match="Set moderators_channel"):
            await bot.studio.admin.set_policy(HERE, {"review": "before_post"}, actor=MIA)
        assert (await bot.studio.admin.rules(HERE)).policy == {}
        await let_review(bot)
        job = await made(bot, "before")
        await asked(bot, job.id)
    async with running(config, simulator, chat, clock) as bot:
        assert (await bot.job(job.id)).state is JobState.REVIEWING
        await bot.studio.reviews.decide(job.id, "post", actor=MIA)
    async with running(config, simulator, chat, clock) as bot:
        await bot.delivered(job.id)
        assert (await bot.studio.reviews.decide(job.id, "reject", actor=MIA)).verdict == "post"
        with pytest.raises(InvalidRequest, match="decided already: it is posted"):
            await bot.app.operations.act("review", {"job_id": job.id, "how": "reject"})
        await chat.until(lambda: isinstance(last(bot, job.id, "review"), Reviewed))
        assert len(chat.clips(job.id)) == 1
        assert len(posts(bot, job.id, "review")) == 1
        await bot.check_books()
