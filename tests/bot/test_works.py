"""What people make of a finished clip, on the true program against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot import pricing
from bot.acts import Act
from bot.errors import InvalidRequest, JobNotFound, NotAllowed, QuotaExceeded
from bot.job import Job, JobState
from bot.notices import Accepted, ConfirmNeeded, Done
from bot.refs import JobId, Price, ThreadRef
from bot.request import ClipFrame, VideoWork
from bot.simulator import Faults, Simulator
from bot.studio import Receipt
from bot.text import describe, family_lines, option_line
from bot.works import Given
from tests.conftest import MANUAL, House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
GENERAL = ThreadRef(adapter="recording", workspace="local", channel="general")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One bot for all tests here; each comes with persons of its own."""
    async with Simulator(MANUAL, Faults()) as simulator:
        config = to_test_config(
            tmp_path_factory.mktemp("inn"),
            simulator,
            access={"workspaces": ["elsewhere"]},
            luma={"running_limit": 1000},
            limits={"confirm_above_usd": 0.5, "usd_per_person_per_day": 1.35},
        )
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as house:
            yield house


async def made(house: House, user: str, prompt: str = "a red fox in snow", **work: Any) -> Job:
    """A finished clip of somebody's."""
    return await house.finish(await house.ask(prompt, key=f"{user}:{prompt}", user=user, **work))


async def follow(
    house: House, job: Job, act: Act, user: str, *, key: str = "", **given: Any
) -> tuple[Receipt, ...]:
    return await house.studio.works.follow(
        job.id,
        act,
        to_requester(user),
        dedupe_key=key or f"{user}:{act}:{job.id}",
        thread=GENERAL,
        **given,
    )


def clip_frames(job: Job) -> tuple[JobId | None, JobId | None]:
    work = job.work
    assert isinstance(work, VideoWork)
    start, end = work.start_frame, work.end_frame
    return (
        start.job_id if isinstance(start, ClipFrame) else None,
        end.job_id if isinstance(end, ClipFrame) else None,
    )


async def test_a_clip_goes_on_has_a_past_and_is_joined(inn: House) -> None:
    first = await made(inn, "eva", aspect_ratio="16:9", model="ray-2")
    (extended,) = await follow(inn, first, "extend", "otto")
    second = await inn.finish(extended.job_id)
    assert clip_frames(second) == (first.id, None)
    assert isinstance(second.work, VideoWork)
    kept = (second.work.model, second.work.resolution, second.work.aspect_ratio)
    assert kept == ("ray-2", "540p", "16:9")
    assert second.work.prompt == first.work.prompt
    (clip,) = inn.chat.clips(second.id)
    assert clip.about.parent is not None
    assert (clip.about.parent.job_id, clip.about.parent.relation) == (first.id, "extend")
    assert clip.about.parent.message == first.message
    (before,) = await follow(inn, first, "prequel", "otto", prompt="a dark wood")
    assert clip_frames(await inn.job(before.job_id)) == (None, first.id)
    (joined,) = await follow(inn, first, "join", "eva", other=second.id)
    assert clip_frames(await inn.job(joined.job_id)) == (first.id, second.id)
    assert (await inn.job(joined.job_id)).parent == first.id


async def test_a_button_that_is_pressed_twice_at_once_buys_one_clip(inn: House) -> None:
    first = await made(inn, "uma")
    presses = [follow(inn, first, "variation", "ulf", key=f"press {each}") for each in "ab"]
    [[once], [twice]] = await asyncio.gather(*presses)
    assert twice.job_id == once.job_id
    (by_another,) = await follow(inn, first, "variation", "uma")
    inn.clock.move(seconds=2)
    (again,) = await follow(inn, first, "variation", "ulf", key="press c")
    assert len({once.job_id, by_another.job_id, again.job_id}) == 3
    await inn.check_books()


async def test_what_it_offers_stands_on_the_notice_with_prices(inn: House) -> None:
    job = await made(inn, "ora", is_draft=True)
    (clip,) = inn.chat.clips(job.id)
    acts = {each.act: each for each in clip.acts}
    assert list(acts)[:4] == ["extend", "variation", "remix", "loop"]
    assert list(acts)[-1] == "delete"
    assert [each.value for each in acts["final"].options] == ["720p", "1080p"]
    large = acts["final"].options[-1].price
    assert large is not None
    assert option_line(acts["final"], acts["final"].options[-1]) == "1080p · ≈ $0.55"
    assert job.clip is not None
    modified = pricing.settle_price(job.clip.width, job.clip.height, 5, 5440)
    assert acts["modify"].options[0].price == Price(micros=modified)
    assert [each.value for each in acts["variation"].options] == ["1", "2", "3", "4"]
    await inn.chat.until(lambda: isinstance(inn.chat.status(job.id), Done))
    done = inn.chat.status(job.id)
    assert isinstance(done, Done)
    assert done.acts == clip.acts
    assert await inn.studio.works.offered(job.id, to_requester("guest")) == clip.acts


async def test_a_draft_becomes_a_final_once_its_price_is_confirmed(inn: House) -> None:
    draft = await made(inn, "fay", is_draft=True, aspect_ratio="9:16")
    assert isinstance(draft.work, VideoWork)
    assert draft.work.resolution == "540p"
    (receipt,) = await follow(inn, draft, "final", "fay")
    assert isinstance(receipt.notice, ConfirmNeeded)
    await inn.studio.confirm(receipt.job_id, to_requester("fay"))
    final = await inn.job(receipt.job_id)
    assert isinstance(final.work, VideoWork)
    assert (final.work.resolution, final.work.is_draft) == ("1080p", False)
    assert final.work.prompt == draft.work.prompt
    assert final.work.aspect_ratio == "9:16"
    with pytest.raises(InvalidRequest, match="540p already"):
        await follow(inn, draft, "final", "fay", choice="540p", key="fay:540p")
    with pytest.raises(NotAllowed, match="4k is off here"):
        await follow(inn, draft, "final", "fay", choice="4k", key="fay:4k")


async def test_variations_are_held_for_all_at_once_and_asked_for_once(inn: House) -> None:
    job = await made(inn, "vic")
    three = await follow(inn, job, "variation", "vic", count=3)
    assert len({each.job_id for each in three}) == 3
    assert all(isinstance(each.notice, Accepted) for each in three)
    again = await follow(inn, job, "variation", "vic", count=3)
    assert [each.job_id for each in again] == [each.job_id for each in three]
    for each in three:
        assert (await inn.job(each.job_id)).parent == job.id
    with pytest.raises(InvalidRequest, match="1 to 4 variations"):
        await follow(inn, job, "variation", "vic", count=5, key="vic:5")
    await inn.check_books()


async def test_variations_without_room_for_all_are_refused_as_a_whole(inn: House) -> None:
    job = await made(inn, "max", model="ray-2")
    with pytest.raises(QuotaExceeded, match="room for 2 of these 4, so none") as refused:
        await follow(inn, job, "variation", "max", count=4, is_confirmed=True)
    assert "Ask for 2." in refused.value.sentence
    report = await inn.studio.usage(to_requester("max"))
    assert (report.month.delivered, report.month.refused) == (1, 4)
    await inn.check_books()


async def test_one_confirm_starts_all_and_one_cancel_takes_all_back(inn: House) -> None:
    job = await made(inn, "zoe", duration="9s")
    asked = await follow(inn, job, "variation", "zoe", count=3)
    notices = [each.notice for each in asked]
    assert all(isinstance(each, ConfirmNeeded) and each.batch_size == 3 for each in notices)
    assert describe(notices[0]).title == "These 3 clips cost about $0.74 together. Make them?"
    await inn.studio.confirm(asked[1].job_id, to_requester("zoe"))
    held = [await inn.job(each.job_id) for each in asked]
    assert all(each.accepted_at is not None for each in held)
    other = await made(inn, "ben", duration="9s")
    asked = await follow(inn, other, "variation", "ben", count=3)
    await inn.studio.cancel(asked[2].job_id, to_requester("ben"))
    ended = [await inn.job(each.job_id) for each in asked]
    assert {each.state for each in ended} == {JobState.CANCELLED}
    await inn.check_books()


async def test_a_page_tells_where_a_clip_comes_from_and_what_came_of_it(inn: House) -> None:
    first = await made(inn, "lia")
    (again,) = await follow(inn, first, "remix", "lia", prompt="a blue fox")
    second = await inn.finish(again.job_id)
    (looped,) = await follow(inn, second, "loop", "lia")
    hidden = await follow(inn, second, "variation", "kit", is_private=True)
    shown = await inn.studio.show(second.id, to_requester("lia"))
    assert [(each.job_id, each.relation) for each in shown.parents] == [(first.id, "remix")]
    assert [(each.job_id, each.relation) for each in shown.children] == [(looped.job_id, "loop")]
    assert shown.parents[0].message == first.message
    lines = " ".join(family_lines(shown))
    assert f"A remix of {first.id}" in lines
    assert f"{looped.job_id} · a loop" in lines
    below = await inn.studio.show(looped.job_id, to_requester("lia"))
    assert [each.job_id for each in below.parents] == [second.id, first.id]
    assert hidden[0].job_id not in lines


async def test_what_cannot_be_is_refused_and_nothing_is_written(inn: House) -> None:
    job = await made(inn, "sam")
    cases: tuple[tuple[str, Given], ...] = (
        ("elsewhere", {}),
        ("local", {"other": JobId("r-00000none0")}),
    )
    for place, given in cases:
        with pytest.raises(JobNotFound):
            await inn.studio.works.follow(
                job.id,
                "join" if given else "extend",
                to_requester("eve", workspace=place),
                dedupe_key=f"eve:{place}",
                thread=GENERAL,
                **given,
            )
    open_id = await inn.ask("a slow one", key="sam:open", user="sam")
    with pytest.raises(InvalidRequest, match="not finished yet"):
        await follow(inn, await inn.job(open_id), "extend", "sam")
    works, sam = inn.studio.works, to_requester("sam")
    assert (await works.offer(job.id, "reframe", sam)).options
    with pytest.raises(InvalidRequest, match="a known price for that"):
        await works.offer(job.id, "upscale", sam)
    with pytest.raises(InvalidRequest, match="cannot be done with the clip"):
        await works.offer(job.id, "animate", sam)
    with pytest.raises(InvalidRequest, match="not finished yet"):
        await works.offer(open_id, "extend", sam)
    await inn.studio.delete(job.id, to_requester("sam"))
    with pytest.raises(InvalidRequest, match="was deleted"):
        await follow(inn, job, "extend", "sam")
    for act in ("extend", "join", "final"):
        with pytest.raises(InvalidRequest, match="was deleted"):
            await works.offer(job.id, act, sam)
    assert [each.act for each in await inn.studio.works.offered(job.id, to_requester("sam"))] == [
        "remix",
        "retry",
    ]
    mine = await inn.ask("a secret", key="sam:own", user="sam")
    assert {each.job_id for each in await inn.studio.jobs(to_requester("sam"))} == {
        job.id,
        open_id,
        mine,
    }
