"""Clips that moderators look at before they are posted, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.desk.acts import can_retry
from bot.errors import DeliveryUnavailable, InvalidRequest, JobNotFound, NotAllowed
from bot.job import Job, JobState
from bot.notices import Delivered, Done, Failed, Notice, Reviewed, Reviewing, ReviewNeeded
from bot.refs import JobId, MessageRef, ThreadRef, money
from bot.request import ClipFrame, StoryWork
from bot.simulator import Simulator
from bot.store import desk_acts, jobs, schema, settings, stories
from bot.store.database import Tx
from bot.text import describe, describe_audit
from tests.bot.lasting import simulator
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE, MIA, ANA = "recording:local", to_requester("mia"), to_requester("ana")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    limits = {"running_per_person": 1}
    config = to_test_config(tmp_path_factory.mktemp("reviews"), simulator, limits=limits)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        await let_review(opened)
        yield opened


async def let_review(house: House) -> None:
    admin = house.studio.admin
    await admin.set_policy(HERE, {"moderators_channel": "mods"}, actor=MIA)
    await admin.set_policy(HERE, {"review": "before_post"}, actor=MIA, channel="class")


async def made(house: House, key: str, user: str = "ana") -> Job:
    """A clip that waits for a moderator."""
    request = to_request("a red fox", key=key, user=user)
    there = request.thread.model_copy(update={"channel": "class"})
    receipt = await house.studio.submit(request.model_copy(update={"thread": there}))
    job = await house.until(receipt.job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await house.simulator.finish(job.generation_id)
    return await house.until(job.id, JobState.REVIEWING)


def posts(house: House, job_id: JobId, what: str) -> list[Post]:
    return [each for each in house.chat.posts if each.key.startswith(f"{job_id}:{what}")]


def last(house: House, job_id: JobId, what: str) -> Notice | None:
    found = posts(house, job_id, what)
    return found[-1].notices[-1] if found else None


async def asked(house: House, job_id: JobId) -> Post:
    await house.chat.until(lambda: bool(posts(house, job_id, "review")))
    return posts(house, job_id, "review")[0]


async def acts(house: House, job_id: JobId) -> list[tuple[str, str]]:
    rows = select(schema.audit_log).where(schema.audit_log.c.target == job_id)
    found = await house.app.database.read(lambda conn: conn.execute(rows).all())
    return [(row.actor, row.act) for row in found]


async def test_a_clip_is_posted_once_a_moderator_says_so(house: House) -> None:
    job, reviews = await made(house, "post"), house.studio.reviews
    assert job.cost > 0
    post = await asked(house, job.id)
    assert post.ref.thread.channel == "mods"
    assert isinstance(post.notices[0], ReviewNeeded)
    assert Path(post.notices[0].path).stat().st_size == post.notices[0].bytes
    await house.chat.until(lambda: isinstance(last(house, job.id, "status"), Reviewing))
    assert house.chat.clips(job.id) == []
    await house.check_books()
    done = await asyncio.gather(*(reviews.decide(job.id, "post", actor=MIA) for _ in range(3)))
    assert {each.verdict for each in done} == {"post"}
    await house.delivered(job.id)
    await house.chat.until(lambda: isinstance(last(house, job.id, "status"), Done))
    await house.chat.until(lambda: isinstance(last(house, job.id, "review"), Reviewed))
    said = last(house, job.id, "review")
    assert isinstance(said, Reviewed)
    assert (said.verdict, said.decided_by) == ("post", "mia")
    assert len(house.chat.clips(job.id)) == 1
    assert await acts(house, job.id) == [(MIA.person, "review post")]
    other = await reviews.decide(job.id, "reject", actor=to_requester("moe"))
    assert (other.verdict, other.decided_by) == ("post", "mia")
    assert (await house.job(job.id)).cost == job.cost
    await house.check_books()


async def test_a_charged_clip_whose_file_somebody_removed_is_told_as_charged(
    house: House,
) -> None:
    job = await made(house, "removed", user="rae")
    await asked(house, job.id)
    [kept] = Path(house.config.bot.data_dir).rglob(f"{job.id}.mp4")
    kept.unlink()
    await house.studio.reviews.decide(job.id, "post", actor=MIA)
    lost = await house.until(job.id, JobState.FAILED)
    assert (lost.cost, house.chat.clips(job.id)) == (job.cost, [])
    assert lost.failure is not None
    assert "It was charged before" in lost.failure.sentence
    told = await house.app.database.read(settings.untold)
    [note] = [each.sentence for each in told if each.job_id == job.id]
    assert f"was charged {money(job.cost)}" in note
    await house.check_books()


async def test_what_waits_counts_as_charged_for_its_person_and_for_its_place(house: House) -> None:
    job = await made(house, "sum", user="sue")
    own = await house.studio.usage(to_requester("sue"))
    now = house.clock.now()
    rows = await house.studio.admin.usage(HERE, now - timedelta(days=1), now + timedelta(days=1))
    [theirs] = [row for row in rows if row.label == "sue"]
    assert own.month.charged == theirs.charged == job.cost > 0
    house.chat.before_post = lambda _: DeliveryUnavailable("Not now.")
    await house.studio.reviews.decide(job.id, "post", actor=MIA)
    await house.until(job.id, JobState.DELIVERING)
    rows = await house.studio.admin.usage(HERE, now - timedelta(days=1), now + timedelta(days=1))
    own = await house.studio.usage(to_requester("sue"))
    [theirs] = [row for row in rows if row.label == "sue"]
    assert own.month.charged == theirs.charged == job.cost
    house.chat.before_post = lambda _: None


async def test_a_rejected_clip_is_paid_and_only_its_person_is_told(house: House) -> None:
    job, reviews = await made(house, "reject", "bo"), house.studio.reviews
    await asked(house, job.id)
    await reviews.decide(job.id, "reject", actor=MIA, reason="Too  scary,\nsorry.")
    await house.chat.until(lambda: isinstance(last(house, job.id, "status"), Failed))
    await house.chat.until(lambda: last(house, job.id, "why") is not None)
    status, letter = last(house, job.id, "status"), posts(house, job.id, "why")[0]
    assert letter.ref.thread.channel == "dm-bo"
    told = str(describe(letter.notices[0]))
    assert "A moderator looked at your clip" in told
    assert "They say: “Too scary, sorry.”" in told
    assert "stays charged" in told
    assert status is not None
    assert "moderator" not in str(describe(status))
    assert "red fox" not in str(describe(status))
    assert "scary" not in str(describe(status))
    audit = describe_audit(await house.studio.admin.audit(HERE))
    assert any("of bo: Too scary, sorry." in row for row in audit.table)
    assert (await reviews.decide(job.id, "post", actor=MIA)).verdict == "reject"
    assert house.chat.clips(job.id) == []
    assert (await house.job(job.id)).cost == job.cost > 0
    shown = await house.studio.show(job.id, to_requester("bo"))
    assert isinstance(shown.notice, Failed)
    assert "moderator" in str(describe(shown.notice))
    others = await house.studio.show(job.id, ANA)
    assert "moderator" not in str(describe(others.notice))
    await house.check_books()


async def test_what_was_asked_for_is_not_told_by_a_rejected_clips_family(house: House) -> None:
    job, jon = await made(house, "family", "jon"), to_requester("jon")
    await house.studio.reviews.decide(job.id, "post", actor=MIA)
    await house.delivered(job.id)
    again = await house.studio.retry(
        job.id, jon, dedupe_key="family again", thread=job.request.thread
    )
    child = await house.until(again.job_id, JobState.GENERATING)
    assert child.generation_id is not None
    await house.simulator.finish(child.generation_id)
    await house.until(child.id, JobState.REVIEWING)
    await house.studio.reviews.decide(child.id, "reject", actor=MIA)
    for reader, prompt in ((ANA, ""), (jon, "a red fox")):
        (relative,) = (await house.studio.show(job.id, reader)).children
        assert relative.prompt == prompt
    # Another try would say it, too.
    thread = job.request.thread
    with pytest.raises(NotAllowed, match="Only who asked"):
        await house.studio.retry(child.id, ANA, dedupe_key="theirs", thread=thread)
    with pytest.raises(NotAllowed, match="Only who asked"):
        await house.studio.works.follow(child.id, "retry", ANA, dedupe_key="too", thread=thread)


async def test_what_is_said_elsewhere_of_a_forgotten_clip_goes_and_its_thread_is_unnamed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed = list[MessageRef]()

    async def note(asked: ThreadRef, message: MessageRef) -> None:
        unnamed.append(message)

    monkeypatch.setattr(house.chat, "clear_thread_title", note)
    job = await made(house, "unnamed", "hal")
    await asked(house, job.id)
    await house.studio.reviews.decide(job.id, "reject", actor=MIA)
    await house.chat.until(lambda: last(house, job.id, "why") is not None)
    (status,) = posts(house, job.id, "status")
    await house.studio.erasure.forget(to_requester("hal"), is_confirmed=True)
    await house.chat.until(lambda: not posts(house, job.id, ""))
    await house.studio.erasure.carry_on()
    assert set(unnamed) == {status.ref}


async def test_what_waits_is_shown_to_nobody_and_used_for_nothing(house: House) -> None:
    job = await made(house, "hidden")
    shown = await house.studio.show(job.id, ANA)
    assert not isinstance(shown.notice, Delivered)
    with pytest.raises(InvalidRequest, match="a moderator has not let it be"):
        await house.studio.submit(to_request(key="on", start_frame=ClipFrame(job_id=job.id)))
    with pytest.raises(InvalidRequest, match="has no clip"):
        await house.studio.gallery.star(job.id, MIA)
    # Its slot is free: one at a time is allowed here.
    second = await house.studio.submit(to_request(key="second"))
    await house.until(second.job_id, JobState.GENERATING)
    await house.studio.cancel(second.job_id, ANA)
    await house.studio.cancel(job.id, ANA)
    await house.chat.until(lambda: isinstance(last(house, job.id, "review"), Reviewed))
    assert (await house.studio.reviews.decide(job.id, "post", actor=MIA)).verdict is None
    with pytest.raises(InvalidRequest, match="waits for no moderator"):
        await house.studio.reviews.decide(second.job_id, "post", actor=MIA)
    assert (await house.job(job.id)).cost == job.cost
    shown = await house.studio.show(job.id, ANA)
    assert not isinstance(shown.notice, Delivered)
    told = describe(shown.notice).lines
    assert "The clip was already made, so it stays charged; it is not posted." in told
    shown = await house.studio.show(second.job_id, ANA)
    assert "already made" not in " ".join(describe(shown.notice).lines)
    await house.check_books()


async def filmed(house: House, key: str, user: str) -> tuple[JobId, list[Job]]:
    """A film that waits for a moderator, and its shots."""
    request = to_request(key=key, user=user).model_copy(
        update={"work": StoryWork(shots=("a fox wakes", "it runs"))}
    )
    there = request.thread.model_copy(update={"channel": "class"})
    film = (await house.studio.submit(request.model_copy(update={"thread": there}))).job_id
    shots = list[Job]()
    for at in range(2):
        shots = await house.app.database.read(lambda conn: stories.shots(conn, film))
        shot = await house.until(shots[at].id, JobState.GENERATING)
        assert shot.generation_id is not None
        await house.simulator.finish(shot.generation_id)
        await house.delivered(shot.id)
    await house.until(film, JobState.REVIEWING)
    return film, shots


async def test_a_film_waits_as_a_whole_and_its_shots_with_it(house: House) -> None:
    fay = to_requester("fay")
    film, shots = await filmed(house, "film", "fay")
    for each in (film, *(shot.id for shot in shots)):
        assert not isinstance((await house.studio.show(each, fay)).notice, Delivered)
    await house.check_books()
    await asked(house, film)
    await house.studio.reviews.decide(film, "post", actor=MIA)
    await house.delivered(film)
    assert isinstance((await house.studio.show(shots[0].id, fay)).notice, Delivered)
    assert len(house.chat.clips(film)) == 1
    await house.check_books()


async def test_a_film_that_waits_is_taken_back_and_forgotten_like_a_clip(house: House) -> None:
    eve = to_requester("eve")
    film, shots = await filmed(house, "back", "eve")
    await asked(house, film)
    await house.studio.cancel(film, eve)
    assert (await house.job(film)).state is JobState.CANCELLED
    told = describe((await house.studio.show(film, eve)).notice).lines
    assert "The film was already made, so it stays charged; it is not posted." in told
    await house.chat.until(lambda: isinstance(last(house, film, "review"), Reviewed))
    assert (await house.studio.reviews.decide(film, "post", actor=MIA)).verdict is None
    for each in (film, *(shot.id for shot in shots)):
        assert not isinstance((await house.studio.show(each, eve)).notice, Delivered)
    other, _ = await filmed(house, "forgotten", "eve")
    post = await asked(house, other)
    # It is made and paid, so it waits for its place to come back.
    await house.studio.departures.left(HERE)
    await house.studio.erasure.carry_on()
    assert (await house.job(other)).state is JobState.REVIEWING
    await house.studio.departures.returned(HERE)
    await house.studio.erasure.forget(eve, is_confirmed=True)
    await house.until(other, JobState.CANCELLED)
    await house.chat.until(lambda: post not in house.chat.posts)
    await house.check_books()


async def test_shots_of_a_film_that_cannot_be_joined_are_not_said_to_be_there(
    house: House,
) -> None:
    request = to_request(key="torn", user="kay").model_copy(
        update={"work": StoryWork(shots=("a fox wakes", "it runs"))}
    )
    there = request.thread.model_copy(update={"channel": "class"})
    film = (await house.studio.submit(request.model_copy(update={"thread": there}))).job_id
    first, last_shot = await house.app.database.read(lambda conn: stories.shots(conn, film))
    for each in (first, last_shot):
        shot = await house.until(each.id, JobState.GENERATING)
        assert shot.generation_id is not None
        if each is last_shot:
            [kept] = Path(house.config.bot.data_dir).rglob(f"{first.id}.mp4")
            kept.unlink()
        await house.simulator.finish(shot.generation_id)
        await house.delivered(shot.id)
    async with asyncio.timeout(10):
        while (await house.job(film)).state is not JobState.FAILED:
            house.clock.move(minutes=1)
            await asyncio.sleep(0.02)
    kay = to_requester("kay")
    said = str(describe((await house.studio.show(film, kay)).notice))
    assert "Its shots could not be joined" in said
    assert not isinstance((await house.studio.show(last_shot.id, kay)).notice, Delivered)
    assert "kept by its own id" not in said
    assert "no moderator has looked at its shots" in said
    await house.studio.admin.set_policy(HERE, {"review": "off"}, actor=MIA, channel="class")
    assert isinstance((await house.studio.show(last_shot.id, kay)).notice, Delivered)
    await let_review(house)
    await house.check_books()


async def test_what_waits_cannot_be_reported_and_so_not_removed(house: House) -> None:
    job = await made(house, "reported", "gil")
    with pytest.raises(InvalidRequest, match="no clip to report"):
        await house.studio.care.report(job.id, MIA)
    values = {"job_id": job.id, "how": "reject", "reason": "Not here."}
    assert (await house.app.operations.act("review", values))["state"] == "failed"
    shown = await house.studio.show(job.id, to_requester("gil"))
    assert "They say: “Not here.”" in str(describe(shown.notice))
    with pytest.raises(InvalidRequest, match="no clip to report"):
        await house.studio.care.report(job.id, MIA)


async def test_what_the_operator_decides_is_shown_at_once(house: House) -> None:
    job = await made(house, "operator", "ned")
    await asked(house, job.id)
    await house.app.operations.act("review", {"job_id": job.id, "how": "reject"})
    await house.chat.until(lambda: isinstance(last(house, job.id, "review"), Reviewed))
    await house.chat.until(lambda: last(house, job.id, "why") is not None)


async def test_moderators_of_other_places_decide_nothing(house: House) -> None:
    job = await made(house, "foreign", "cem")
    stranger = to_requester("zoe", workspace="elsewhere")
    with pytest.raises(JobNotFound):
        await house.studio.reviews.decide(job.id, "post", actor=stranger)
    outside = MIA.model_copy(update={"is_direct": True})
    with pytest.raises(NotAllowed):
        await house.studio.reviews.decide(job.id, "post", actor=outside)
    assert (await house.job(job.id)).state is JobState.REVIEWING


async def test_moderators_are_asked_again_and_the_operator_helps_out(house: House) -> None:
    job = await made(house, "slow", "dee")
    await asked(house, job.id)
    house.clock.move(days=1, seconds=5)
    await house.chat.until(lambda: len(posts(house, job.id, "review")) == 2)
    again = last(house, job.id, "review")
    assert isinstance(again, ReviewNeeded)
    assert again.is_reminder
    values = {"job_id": job.id, "how": "post"}
    assert (await house.app.operations.act("review", values))["state"] == "delivering"
    await house.delivered(job.id)
    house.clock.move(minutes=2)
    await house.chat.until(
        lambda: all(
            isinstance(each.notices[-1], Reviewed) for each in posts(house, job.id, "review")
        )
    )
    assert len(house.chat.clips(job.id)) == 1


async def test_what_was_put_aside_while_it_waits_is_reviewed_first_and_charged_once(
    house: House,
) -> None:
    job, operations = await made(house, "aside", "ivo"), house.app.operations
    await asked(house, job.id)

    def park(tx: Tx) -> None:
        now = house.clock.now()
        jobs.change(tx, jobs.get(tx.conn, job.id), parked_at=now, next_at=None)

    await house.app.database.write(park)
    for how in ("charge", "release"):
        with pytest.raises(InvalidRequest, match="waits for a moderator"):
            await operations.act("resolve", {"job_id": job.id, "how": how})
    house.chat.before_post = lambda _: DeliveryUnavailable("Not now.")
    await house.studio.reviews.decide(job.id, "post", actor=MIA)
    await house.until(job.id, JobState.DELIVERING)
    await house.app.database.write(park)
    with pytest.raises(InvalidRequest, match="was charged before"):
        await operations.act("resolve", {"job_id": job.id, "how": "release"})
    house.chat.before_post = lambda _: None
    await operations.unpark(job.id, actor="operator")
    assert (await house.delivered(job.id)).cost == job.cost
    await house.check_books()


async def test_a_rejected_film_stays_charged_and_is_not_bought_again_by_others(
    house: House,
) -> None:
    film, shots = await filmed(house, "rejected film", "gus")
    await asked(house, film)
    await house.studio.reviews.decide(film, "reject", actor=MIA)
    assert all([(await house.job(shot.id)).cost for shot in shots])
    with pytest.raises(InvalidRequest, match="was charged"):
        await house.studio.retries.retry(film, actor=MIA, dedupe_key="desk:film")
    found = await house.app.database.read(lambda conn: desk_acts.job(conn, film))
    assert found is not None
    assert not can_retry(found.job, found.charged)


async def test_moderators_keep_their_channel_while_clips_wait_for_them(house: House) -> None:
    admin = house.studio.admin
    with pytest.raises(InvalidRequest, match="Set review to off first"):
        await admin.set_policy(HERE, {"moderators_channel": ""}, actor=MIA)
    assert (await admin.rules(HERE)).policy["moderators_channel"] == "mods"


async def test_a_restart_loses_no_clip_and_posts_it_once(
    simulator: Simulator, tmp_path: Path
) -> None:
    chat, clock, config = RecordingAdapter(), MovableClock(), to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock) as house:
        with pytest.raises(InvalidRequest, match="Set moderators_channel"):
            await house.studio.admin.set_policy(HERE, {"review": "before_post"}, actor=MIA)
        assert (await house.studio.admin.rules(HERE)).policy == {}
        await let_review(house)
        job = await made(house, "before")
        await asked(house, job.id)
    async with running(config, simulator, chat, clock) as house:
        assert (await house.job(job.id)).state is JobState.REVIEWING
        await house.studio.reviews.decide(job.id, "post", actor=MIA)
    async with running(config, simulator, chat, clock) as house:
        await house.delivered(job.id)
        assert (await house.studio.reviews.decide(job.id, "reject", actor=MIA)).verdict == "post"
        with pytest.raises(InvalidRequest, match="decided already: it is posted"):
            await house.app.operations.act("review", {"job_id": job.id, "how": "reject"})
        await chat.until(lambda: isinstance(last(house, job.id, "review"), Reviewed))
        assert len(chat.clips(job.id)) == 1
        assert len(posts(house, job.id, "review")) == 1
        await house.check_books()
