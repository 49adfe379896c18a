"""Forgetting people, and places that left, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.errors import DeliveryUnavailable, InvalidRequest, NotAllowed, ThreadGone
from bot.job import Job, JobState
from bot.notices import Gallery, Letter, Reported
from bot.overview import Belongings
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import GenerationRequest, ImageFrame, Requester, StoryWork, VideoWork
from bot.simulator import Simulator
from bot.store import erasing, jobs, messages, places, schema, stories
from bot.store.transaction import Tx
from bot.text import describe_forgetting
from tests.bot.module_simulator import simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_requester
from tests.rendered import png

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET, BOAT, TENT = "my red house in Oslo", "a blue boat", "a white tent"
ANA, BEN, MIA = to_requester("ana"), to_requester("ben"), to_requester("mia")
#: The same person in another place.
ABROAD = to_requester("ana", workspace="abroad")
HERE, THERE = ANA.tenant, ABROAD.tenant
BOTH: dict[str, Any] = {"access": {"servers": ["abroad"]}, "limits": {"confirm_above_usd": 1.2}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    config = to_test_config(tmp_path_factory.mktemp("erasure"), simulator, **BOTH)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        rules = {"gallery_channel": "gallery", "gallery_stars": "1", "moderators_channel": "mods"}
        await opened.studio.admin.set_policy(HERE, rules, actor=MIA)
        yield opened


async def ask(
    bot: RunningBot,
    who: Requester,
    prompt: str = SECRET,
    *,
    work: StoryWork | None = None,
    **typed: Any,
) -> JobId:
    request = GenerationRequest(
        dedupe_key=f"{who.person}:{len(bot.jobs)}",
        requester=who,
        thread=ThreadRef(adapter="recording", workspace=who.workspace, channel="general"),
        work=work
        or VideoWork.model_validate({"prompt": prompt, **typed, "typed": {"prompt", *typed}}),
    )
    job_id = (await bot.studio.submit(request)).job_id
    bot.jobs.append(job_id)
    return job_id


async def clip_of(bot: RunningBot, who: Requester, prompt: str = SECRET, **work: Any) -> Job:
    job_id = await ask(bot, who, prompt, **work)
    await finish(bot, job_id)
    return await bot.delivered(job_id)


async def finish(bot: RunningBot, job_id: JobId) -> None:
    job = await bot.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await bot.simulator.finish(job.generation_id)


async def rows(bot: RunningBot, *, but: str = "") -> str:
    """Everything in the book, as one text."""

    def read(conn: Any) -> str:
        tables = [each for each in schema.metadata.sorted_tables if each.name != but]
        return repr([tuple(row) for each in tables for row in conn.execute(select(each))])

    return await bot.app.database.read(read)


async def money(bot: RunningBot) -> list[tuple[Any, ...]]:
    query = select(schema.ledger_entries).order_by(schema.ledger_entries.c.id)
    return [tuple(row) for row in await bot.app.database.read(lambda c: c.execute(query).all())]


async def forgotten(bot: RunningBot, seconds: float = 20) -> None:
    """Wait until nothing more is to be removed."""
    async with asyncio.timeout(seconds):
        while await bot.app.database.read(
            lambda conn: conn.execute(
                select(schema.erasures.c.job_id).union(
                    select(schema.errands.c.key).where(schema.errands.c.due_at.is_not(None))
                )
            ).all()
        ):
            await bot.clock.let_pass(minutes=1)


def seen(bot: RunningBot, kind: type) -> list[MessageRef]:
    return [each.ref for each in bot.chat.posts if isinstance(each.notices[0], kind)]


def media(bot: RunningBot) -> str:
    folder = bot.config.bot.data_dir / "media"
    return " ".join(str(each) for each in folder.rglob("*") if each.is_file())


async def _settle_in(bot: RunningBot) -> tuple[Job, Job, Job]:
    """Clips of Ana, of Ben, and of Ana in another place, and all that people do with them."""
    studio = bot.studio
    bot.chat.images["face"] = png()
    face = Attachment(adapter="recording", id="face", filename="face.png")
    job = await clip_of(bot, ANA, start_frame=ImageFrame(attachment=face))
    other, abroad = await clip_of(bot, BEN, BOAT), await clip_of(bot, ABROAD, TENT)
    await studio.preferences.change(ANA, {"aspect_ratio": "9:16"})
    await studio.preferences.change(ABROAD, {"aspect_ratio": "4:3"})
    await studio.care.report(other.id, ANA, "It is my boat")
    await studio.care.report(job.id, BEN, "Not nice")
    await studio.gallery.star(other.id, ANA)
    await studio.gallery.star(job.id, BEN)
    await studio.gallery.send(other.id, ANA)
    await studio.gallery.send(job.id, BEN)
    await bot.chat.until(lambda: [len(seen(bot, e)) for e in (Gallery, Reported)] == [2, 2])
    return job, other, abroad


async def test_a_person_is_forgotten_but_for_the_sums_and_nobody_else(bot: RunningBot) -> None:
    erasure, (job, other, abroad) = bot.studio.erasure, await _settle_in(bot)
    waiting = await ask(bot, ANA)
    await bot.until(waiting, JobState.GENERATING)
    before = await money(bot)
    page = await erasure.forget(ANA)
    assert page.what == Belongings(
        requests=2, under_way=1, images=1, clips=1, settings=1, stars=1, reasons=1, letters=1
    )
    assert not page.is_begun
    assert "backups" in str(describe_forgetting(page).table)
    assert SECRET in await rows(bot)

    assert (await erasure.forget(ANA, is_confirmed=True)).is_begun
    await finish(bot, waiting)
    await bot.until(waiting, JobState.CANCELLED)
    await forgotten(bot)
    await _check_that_only_theirs_is_gone(bot, job, (other, abroad))
    gone = {each.id for each in bot.simulator.generations.values() if each.is_deleted}
    assert gone == {job.generation_id, (await bot.job(waiting)).generation_id}
    assert (await money(bot))[: len(before)] == before
    assert (await bot.studio.usage(ANA)).month.charged > job.cost
    await bot.check_books()

    assert not (await erasure.forget(ANA, is_confirmed=True)).is_begun
    fresh = await clip_of(bot, ANA, "a green hill")
    assert [each.job_id for each in await bot.studio.jobs(ANA)] == [fresh.id]
    bot.clock.move(hours=1)
    await forgotten(bot)
    assert bot.chat.clips(fresh.id)


async def _check_that_only_theirs_is_gone(
    bot: RunningBot, job: Job, others: Sequence[Job]
) -> None:
    kept, said = await rows(bot), [repr(each.notices[-1]) for each in bot.chat.posts]
    for secret in (SECRET, "It is my boat", "face.png"):
        assert secret not in kept
        assert not [each for each in said if secret in each]
    for theirs in (BOAT, TENT, "Not nice"):
        assert theirs in kept
        assert [each for each in said if theirs in each]
    assert job.id not in media(bot)
    for their in others:
        assert their.id in media(bot)
        assert bot.chat.clips(their.id)
        assert await bot.job(their.id) == their
    assert await bot.studio.preferences.own(ANA) == {}
    assert await bot.studio.preferences.own(ABROAD) == {"aspect_ratio": "4:3"}
    assert (seen(bot, Letter), len(seen(bot, Gallery))) == ([], 1)


async def test_a_name_is_shown_no_more_from_the_moment_it_is_to_be_forgotten(
    bot: RunningBot,
) -> None:
    zoe, yan = (
        to_requester(name.lower()).model_copy(update={"display_name": name})
        for name in ("Zoe Q", "Yan Q")
    )
    asked = [await ask(bot, who, BOAT) for who in (zoe, yan)]
    for job_id in asked:
        await bot.until(job_id, JobState.GENERATING)

    async def shown() -> str:
        now, admin = bot.clock.now(), bot.studio.admin
        span = (now - timedelta(days=1), now + timedelta(days=1))
        csv, used = await admin.usage_csv(HERE, *span), await admin.usage(HERE, *span)
        return f"{csv} {used} {await admin.queue(HERE)}"

    assert (await shown()).count("Zoe Q") == 3
    await bot.app.database.write(lambda tx: erasing.begin(tx, zoe.person, bot.clock.now()))
    after = await shown()
    assert "Zoe Q" not in after
    assert after.count("Yan Q") == 3
    for job_id in asked:
        await finish(bot, job_id)
    await forgotten(bot)


async def test_a_film_is_forgotten_with_its_shots(bot: RunningBot) -> None:
    eva = to_requester("eva")
    work = StoryWork(shots=(f"{SECRET} one", f"{SECRET} two"))
    film = await ask(bot, eva, work=work)
    shots = await bot.app.database.read(lambda conn: stories.shots(conn, film))
    await bot.until(shots[0].id, JobState.GENERATING)
    assert (await bot.studio.erasure.forget(eva)).what.requests == 1
    await bot.studio.erasure.forget(eva, is_confirmed=True)
    await bot.until(film, JobState.CANCELLED)
    await finish(bot, shots[0].id)
    await forgotten(bot)
    assert SECRET not in await rows(bot)
    assert [each.key for each in bot.chat.posts if film in each.key] == []
    assert (await bot.job(shots[0].id)).cost > 0
    await bot.check_books()


async def test_shots_stay_until_their_film_was_put_together(bot: RunningBot) -> None:
    gus, database, now = to_requester("gus"), bot.app.database, bot.clock.now()
    film = await ask(bot, gus, work=StoryWork(shots=(f"{SECRET} one", f"{SECRET} two")))
    shots = await database.read(lambda conn: stories.shots(conn, film))

    def put_aside(tx: Tx) -> None:
        job = jobs.change(tx, jobs.get(tx.conn, film), parked_at=now)
        jobs.move(tx, job, JobState.FETCHING, now, next_at=None)

    await finish(bot, shots[0].id)
    await bot.until(shots[1].id, JobState.GENERATING)
    await database.write(put_aside)
    await finish(bot, shots[1].id)
    await bot.delivered(shots[1].id)
    await bot.studio.erasure.forget(gus, is_confirmed=True)
    await bot.studio.erasure.carry_on()
    assert (await bot.job(shots[0].id)).clip is not None
    await bot.app.operations.unpark(film, actor="operator")
    await bot.until(film, JobState.DELIVERED)
    await forgotten(bot)
    assert (await bot.job(shots[0].id)).clip is None
    assert [each.key for each in bot.chat.posts if film in each.key] == []


async def test_shots_begun_while_their_film_goes_are_forgotten_and_what_is_asked_then_stays(
    bot: RunningBot,
) -> None:
    ida, database = to_requester("ida"), bot.app.database
    film = await ask(bot, ida, work=StoryWork(shots=(SECRET, SECRET)))
    shots = await database.read(lambda conn: stories.shots(conn, film))
    first = await bot.until(shots[0].id, JobState.GENERATING)
    # It was going when its shots were written down.
    going = {"job_id": film, "is_gone": False}
    await database.write(lambda tx: tx.conn.execute(schema.erasures.insert().values(going)))
    later = await ask(bot, ida, BOAT)
    await bot.studio.erasure.carry_on()
    await bot.until(film, JobState.CANCELLED)
    await finish(bot, first.id)
    await finish(bot, later)
    await forgotten(bot)
    assert SECRET not in await rows(bot)
    assert (await bot.delivered(later)).request.work.prompt == BOAT
    page = await bot.studio.erasure.forget(ida, is_confirmed=True)
    assert "What you ask for from now on is new, and stays." in str(describe_forgetting(page))
    await forgotten(bot)
    await bot.check_books()


async def test_a_clip_that_trips_the_chat_keeps_no_other_from_going(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pia, delete = to_requester("pia"), bot.chat.delete
    other, clip = await clip_of(bot, pia, TENT), await clip_of(bot, pia, TENT)

    async def trip(message: MessageRef) -> None:
        if message == clip.message:
            raise RuntimeError("The library tripped.")
        await delete(message)

    monkeypatch.setattr(bot.chat, "delete", trip)
    await bot.studio.erasure.forget(pia, is_confirmed=True)
    query = select(schema.erasures.c.job_id)
    async with asyncio.timeout(30):
        while await bot.app.database.read(lambda c: c.execute(query).scalars().all()) != [clip.id]:
            await bot.clock.let_pass(minutes=1)
    assert not bot.chat.clips(other.id)
    monkeypatch.undo()
    await forgotten(bot)
    assert not bot.chat.clips(clip.id)


async def follow(bot: RunningBot, job: Job, act: Any, who: Requester, **more: Any) -> JobId:
    key = f"{who.person}:{len(bot.jobs)}"
    thread = job.request.thread
    receipts = await bot.studio.works.follow(
        job.id, act, who, dedupe_key=key, thread=thread, **more
    )
    bot.jobs.append(receipts[0].job_id)
    return receipts[0].job_id


async def test_what_others_made_of_a_forgotten_clip_is_theirs_and_goes_on(bot: RunningBot) -> None:
    job = await clip_of(bot, ANA)
    longer = await follow(bot, job, "extend", BEN, prompt="it opens")
    await finish(bot, longer)
    await bot.delivered(longer)
    wider = await follow(bot, job, "reframe", BEN, choice="21:9")
    await bot.studio.gallery.send(job.id, BEN)
    await bot.until(wider, JobState.GENERATING)
    before = [await bot.job(each) for each in (longer, wider)]
    await bot.studio.erasure.forget(ANA, is_confirmed=True)
    async with asyncio.timeout(30):
        while (await bot.job(job.id)).erased_at is None:
            await asyncio.sleep(0.02)
    assert await bot.app.database.read(lambda conn: erasing.leaning(conn, job.id)) == "now"
    await bot.chat.until(lambda: seen(bot, Letter) == [])
    assert [await bot.job(each) for each in (longer, wider)] == before

    shown = await bot.studio.show(longer, BEN)
    assert [(each.state, each.prompt) for each in shown.parents] == [("deleted", "")]
    await finish(bot, wider)
    await bot.delivered(wider)
    await forgotten(bot)
    # What was made of it there may go by its name.
    assert not is_deleted(bot, job)
    again = await follow(bot, await bot.job(longer), "extend", BEN, prompt="it closes")
    await bot.until(again, JobState.GENERATING)
    for act in ("extend", "retry", "remix", "variation"):
        with pytest.raises(InvalidRequest):
            await follow(bot, job, act, BEN)
    await bot.check_books()


def is_deleted(bot: RunningBot, job: Job) -> bool:
    found = [each for each in bot.simulator.generations.values() if each.id == job.generation_id]
    return found[0].is_deleted


async def test_a_restart_goes_on_with_forgetting(simulator: Simulator, tmp_path: Path) -> None:
    chat, clock, config = RecordingAdapter(), MovableClock(), to_test_config(tmp_path, simulator)
    delete = chat.delete
    async with running(config, simulator, chat, clock) as bot:
        job = await clip_of(bot, ANA)
        chat.delete = refuse  # type: ignore[method-assign]  # the platform is out of reach
        await bot.studio.erasure.forget(ANA, is_confirmed=True)
        async with asyncio.timeout(30):
            while (await bot.job(job.id)).erased_at is None:
                await asyncio.sleep(0.02)
        assert SECRET not in await rows(bot)
        assert (await bot.studio.erasure.forget(ANA)).what.going == 1
        assert chat.posts
    chat.delete = delete  # type: ignore[method-assign]  # and is back
    async with running(config, simulator, chat, clock) as bot:
        await chat.until(lambda: not chat.posts)
        await forgotten(bot)
        assert is_deleted(bot, job)
        assert (await bot.job(job.id)).state is JobState.DELIVERED
        await bot.check_books()


async def test_what_was_just_being_posted_goes_too_and_what_stays_is_told(bot: RunningBot) -> None:
    chat, uma = bot.chat, to_requester("uma")
    job_id = await ask(bot, uma, resolution="1080p", model="ray-2", duration="9s")
    await chat.until(lambda: chat.status(job_id) is not None)
    status = next(each for each in chat.posts if each.key.startswith(job_id))
    await bot.studio.erasure.forget(uma, is_confirmed=True)
    await forgotten(bot)
    assert status not in chat.posts
    # Its platform answers only now.
    chat.posts.append(status)
    key = messages.clip_key(job_id)
    await bot.app.database.write(lambda tx: messages.put(tx, key, job_id, status.ref, "late"))
    delete, chat.delete = chat.delete, refuse  # type: ignore[method-assign]  # out of reach
    await bot.studio.erasure.carry_on()
    assert status in chat.posts
    bot.clock.move(days=8)
    await forgotten(bot)
    chat.delete = delete  # type: ignore[method-assign]
    notes = await rows(bot)
    assert f"{job_id} is forgotten, but something of it could not be removed" in notes


async def test_a_post_that_its_platform_keeps_is_the_operators_to_remove(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, lea = bot.chat, to_requester("lea")
    job = await clip_of(bot, lea)

    async def keep(message: MessageRef) -> None:
        raise ThreadGone("The channel is closed to Raybot.")

    monkeypatch.setattr(chat, "delete", keep)
    await bot.studio.erasure.forget(lea, is_confirmed=True)
    await forgotten(bot)
    assert chat.clips(job.id)
    assert (await rows(bot)).count("closed to Raybot") == 1, "told once for the channel"


async def test_a_copy_goes_too_whose_platform_has_not_answered(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, ida = bot.chat, to_requester("ida")
    job, post = await clip_of(bot, ida), chat.post

    async def unanswered(thread: ThreadRef, notice: Any, **more: Any) -> MessageRef:
        await post(thread, notice, **more)
        raise DeliveryUnavailable("No answer.", retry_after=3600)

    monkeypatch.setattr(chat, "post", unanswered)
    await bot.studio.gallery.star(job.id, BEN)
    await chat.until(lambda: any(each.key == f"{job.id}:gallery" for each in chat.posts))
    monkeypatch.undo()
    await bot.studio.erasure.forget(ida, is_confirmed=True)
    await forgotten(bot)
    assert not [each.key for each in chat.posts if each.key.startswith(job.id)]


async def test_a_status_goes_too_whose_platform_has_not_answered(
    bot: RunningBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, kai = bot.chat, to_requester("kai")
    post = chat.post

    async def unanswered(thread: ThreadRef, notice: Any, *, memo: Any, **more: Any) -> MessageRef:
        await memo.put("first_try", "now")
        await post(thread, notice, memo=memo, **more)
        raise DeliveryUnavailable("No answer.", retry_after=90)

    monkeypatch.setattr(chat, "post", unanswered)
    job_id = await ask(bot, kai)
    await chat.until(lambda: chat.status(job_id) is not None)
    await bot.until(job_id, JobState.GENERATING)
    await bot.studio.erasure.forget(kai, is_confirmed=True)
    await finish(bot, job_id)
    await bot.until(job_id, JobState.CANCELLED)
    await bot.studio.erasure.carry_on()
    monkeypatch.undo()
    await forgotten(bot)
    assert chat.status(job_id) is None


async def refuse(message: MessageRef) -> None:
    raise DeliveryUnavailable("Not now.")


async def test_who_runs_a_place_has_somebody_forgotten_there_and_lifts_no_block(
    bot: RunningBot,
) -> None:
    admin, erasure = bot.studio.admin, bot.studio.erasure
    eve = to_requester("eve")
    job_id = await ask(bot, eve, f"{SECRET} again")
    await bot.until(job_id, JobState.GENERATING)
    await admin.block(HERE, "eve", actor=MIA)
    stranger = to_requester("zoe", workspace="abroad")
    with pytest.raises(NotAllowed):
        await erasure.forget_other(HERE, "eve", actor=stranger, is_confirmed=True)
    assert (await erasure.forget_other(HERE, "eve", actor=MIA)).what.requests == 1
    await erasure.forget_other(HERE, "eve", actor=MIA, is_confirmed=True)
    await finish(bot, job_id)
    await bot.until(job_id, JobState.CANCELLED)
    await forgotten(bot)
    assert f"{SECRET} again" not in await rows(bot)
    assert (await bot.job(job_id)).cost > 0
    with pytest.raises(NotAllowed):
        await ask(bot, eve)
    line = next(each for each in await admin.audit(HERE) if each.act == "forget")
    assert (line.actor, line.target) == (MIA.person, eve.person)


async def test_what_a_place_had_goes_seven_days_after_it_left(bot: RunningBot) -> None:
    departures, clock = bot.studio.departures, bot.clock
    await bot.studio.admin.set_policy(THERE, {"remix": "own"}, actor=ABROAD)
    job = await clip_of(bot, ABROAD, "a white bear")
    here = await clip_of(bot, BEN, "a grey boat")
    asked = await ask(bot, ABROAD, "a tall bear", resolution="1080p", model="ray-2", duration="9s")
    assert (await bot.job(asked)).state is JobState.RECEIVED
    await departures.left(THERE)
    # Nobody is there to confirm it.
    await bot.until(asked, JobState.CANCELLED)
    clock.move(days=6)
    await forgotten(bot)
    assert "a white bear" in await rows(bot)
    await departures.returned(THERE)
    clock.move(days=2)
    await bot.studio.erasure.carry_on()
    assert (await bot.job(job.id)).clip is not None

    await departures.present("recording", {HERE})
    later = await ask(bot, ABROAD, "a late bear")
    await bot.studio.erasure.carry_on()
    assert await away(bot) == [], "who asks there is there"
    await bot.until(later, JobState.GENERATING)
    await finish(bot, later)
    await bot.delivered(later)

    await departures.present("recording", {HERE})
    posts = len(bot.chat.posts)
    clock.move(days=8)
    async with asyncio.timeout(30):
        while "bear" in await rows(bot) or THERE in await away(bot):
            await clock.let_pass(hours=1)
    assert job.id not in media(bot)
    assert len(bot.chat.posts) == posts
    assert (await bot.studio.admin.rules(THERE)).policy == {}
    assert (await bot.job(job.id)).cost == job.cost
    assert (await bot.job(here.id)).clip == here.clip
    assert await bot.studio.serves(THERE)
    await bot.check_books()


async def away(bot: RunningBot) -> list[str]:
    return await bot.app.database.read(places.away)
