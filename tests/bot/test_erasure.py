"""Forgetting people, and places that left, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.job import Job, JobState
from bot.notices import Gallery, Letter, Reported
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import GenerationRequest, ImageFrame, Requester, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import schema
from bot.text import describe_forgetting
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_requester
from tests.rendered import png

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET, BOAT, TENT = "my red house in Oslo", "a blue boat", "a white tent"
ANA, BEN, MIA = to_requester("ana"), to_requester("ben"), to_requester("mia")
#: The same person in another place.
ABROAD = to_requester("ana", workspace="abroad")
HERE, THERE = ANA.tenant, ABROAD.tenant
BOTH: dict[str, Any] = {"access": {"servers": ["abroad"]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    options = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
    )
    async with Simulator(options, Faults()) as running_simulator:
        yield running_simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    config = to_test_config(tmp_path_factory.mktemp("erasure"), simulator, **BOTH)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as opened:
        rules = {"gallery_channel": "gallery", "gallery_stars": "1", "moderators_channel": "mods"}
        await opened.studio.admin.set_policy(HERE, rules, actor=MIA)
        yield opened


async def ask(house: House, who: Requester, prompt: str = SECRET, **work: Any) -> JobId:
    request = GenerationRequest(
        dedupe_key=f"{who.person}:{len(house.jobs)}",
        requester=who,
        thread=ThreadRef(adapter="recording", workspace=who.workspace, channel="general"),
        work=VideoWork(prompt=prompt, **work),
    )
    job_id = (await house.studio.submit(request)).job_id
    house.jobs.append(job_id)
    return job_id


async def clip_of(house: House, who: Requester, prompt: str = SECRET, **work: Any) -> Job:
    job_id = await ask(house, who, prompt, **work)
    await finish(house, job_id)
    return await house.delivered(job_id)


async def finish(house: House, job_id: JobId) -> None:
    job = await house.until(job_id, JobState.GENERATING)
    assert job.generation_id is not None
    await house.simulator.finish(job.generation_id)


async def rows(house: House, *, but: str = "") -> str:
    """Everything in the book, as one text."""

    def read(conn: Any) -> str:
        tables = [each for each in schema.metadata.sorted_tables if each.name != but]
        return repr([tuple(row) for each in tables for row in conn.execute(select(each))])

    return await house.app.database.read(read)


async def money(house: House) -> list[tuple[Any, ...]]:
    query = select(schema.ledger_entries).order_by(schema.ledger_entries.c.id)
    return [tuple(row) for row in await house.app.database.read(lambda c: c.execute(query).all())]


async def forgotten(house: House, seconds: float = 10) -> None:
    """Wait until nothing more is to be removed."""
    async with asyncio.timeout(seconds):
        while await house.app.database.read(
            lambda conn: conn.execute(
                select(schema.erasures.c.job_id).union(
                    select(schema.errands.c.key).where(schema.errands.c.due_at.is_not(None))
                )
            ).all()
        ):
            house.clock.move(minutes=1)
            await asyncio.sleep(0.02)


def seen(house: House, kind: type) -> list[MessageRef]:
    return [each.ref for each in house.chat.posts if isinstance(each.notices[0], kind)]


def media(house: House) -> str:
    folder = house.config.bot.data_dir / "media"
    return " ".join(str(each) for each in folder.rglob("*") if each.is_file())


async def test_a_person_is_forgotten_but_for_the_sums_and_nobody_else(house: House) -> None:
    house.chat.images["face"] = png()
    face = Attachment(adapter="recording", id="face", filename="face.png")
    job = await clip_of(house, ANA, start_frame=ImageFrame(attachment=face))
    other, abroad = await clip_of(house, BEN, BOAT), await clip_of(house, ABROAD, TENT)
    studio = house.studio
    await studio.preferences.change(ANA, {"aspect_ratio": "9:16"})
    await studio.preferences.change(ABROAD, {"aspect_ratio": "4:3"})
    await studio.care.report(other.id, ANA, "It is my boat")
    await studio.care.report(job.id, BEN, "Not nice")
    await studio.gallery.star(other.id, ANA)
    await studio.gallery.star(job.id, BEN)
    await studio.gallery.send(other.id, ANA)
    await studio.gallery.send(job.id, BEN)
    await house.chat.until(lambda: [len(seen(house, e)) for e in (Gallery, Reported)] == [2, 2])
    waiting = await ask(house, ANA)
    await house.until(waiting, JobState.GENERATING)
    before = await money(house)
    used = await studio.usage(ANA)

    page = await studio.erasure.forget(ANA)
    assert not page.is_begun
    what = page.what
    assert (what.requests, what.under_way, what.images, what.clips) == (2, 1, 1, 1)
    assert (what.settings, what.stars, what.reasons, what.letters) == (1, 1, 1, 1)
    assert "backups" in str(describe_forgetting(page).table)
    assert SECRET in await rows(house)

    assert (await studio.erasure.forget(ANA, is_confirmed=True)).is_begun
    await house.until(job.id, JobState.DELIVERED)
    await finish(house, waiting)
    await house.until(waiting, JobState.CANCELLED)
    await forgotten(house)

    kept = await rows(house)
    for secret in (SECRET, "It is my boat", "face.png"):
        assert secret not in kept
    for theirs in (BOAT, TENT, "Not nice"):
        assert theirs in kept
    said = [repr(each.notices[-1]) for each in house.chat.posts]
    assert not [each for each in said if SECRET in each or "my boat" in each]
    assert len([each for each in said if "Not nice" in each]) == 1
    assert job.id not in media(house)
    for their in (other, abroad):
        assert their.id in media(house)
        assert house.chat.clips(their.id)
        assert await house.job(their.id) == their
    assert await studio.preferences.own(ANA) == {}
    assert await studio.preferences.own(ABROAD) == {"aspect_ratio": "4:3"}
    assert (seen(house, Letter), len(seen(house, Gallery))) == ([], 1)
    gone = {each.id for each in house.simulator.generations.values() if each.is_deleted}
    assert gone == {job.generation_id, (await house.job(waiting)).generation_id}
    assert (await money(house))[: len(before)] == before
    assert (await studio.usage(ANA)).today.charged >= used.today.charged
    assert await studio.jobs(ANA) == ()
    await house.check_books()

    assert not (await studio.erasure.forget(ANA, is_confirmed=True)).is_begun
    fresh = await clip_of(house, ANA, "a green hill")
    house.clock.move(hours=1)
    await forgotten(house)
    assert house.chat.clips(fresh.id)
