"""What people make of a finished clip, on the true program against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
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
from bot.studio.works import Given
from bot.text import describe, family_lines, option_line
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
GENERAL = ThreadRef(adapter="recording", workspace="local", channel="general")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBot]:
    """One bot for all tests here; each comes with persons of its own."""
    async with Simulator(MANUAL, Faults()) as simulator:
        config = to_test_config(
            tmp_path_factory.mktemp("shared"),
            simulator,
            access={"workspaces": ["elsewhere"]},
            luma={"running_limit": 1000},
            limits={"confirm_above_usd": 0.5, "usd_per_person_per_day": 1.35},
        )
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
            yield bot


async def made(bot: RunningBot, user: str, prompt: str = "a red fox in snow", **work: Any) -> Job:
    """A finished clip of somebody's."""
    return await bot.finish(await bot.ask(prompt, key=f"{user}:{prompt}", user=user, **work))


async def follow(
    bot: RunningBot, job: Job, act: Act, user: str, *, key: str = "", **given: Any
) -> tuple[Receipt, ...]:
    return await bot.studio.works.follow(
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


async def test_a_clip_goes_on_has_a_past_and_is_joined(shared_bot: RunningBot) -> None:
    first = await made(shared_bot, "eva", aspect_ratio="16:9", model="ray-2")
    (extended,) = await follow(shared_bot, first, "extend", "otto")
    second = await shared_bot.finish(extended.job_id)
    assert clip_frames(second) == (first.id, None)
    assert isinstance(second.work, VideoWork)
    kept = (second.work.model, second.work.resolution, second.work.aspect_ratio)
    assert kept == ("ray-2", "540p", "16:9")
    assert second.work.prompt == first.work.prompt
    (clip,) = shared_bot.chat.clips(second.id)
    assert clip.about.parent is not None
    assert (clip.about.parent.job_id, clip.about.parent.relation) == (first.id, "extend")
    assert clip.about.parent.message == first.message
    (before,) = await follow(shared_bot, first, "prequel", "otto", prompt="a dark wood")
    assert clip_frames(await shared_bot.job(before.job_id)) == (None, first.id)
    (joined,) = await follow(shared_bot, first, "join", "eva", other=second.id)
    assert clip_frames(await shared_bot.job(joined.job_id)) == (first.id, second.id)
    assert (await shared_bot.job(joined.job_id)).parent == first.id


async def test_a_button_that_is_pressed_twice_at_once_buys_one_clip(
    shared_bot: RunningBot,
) -> None:
    first = await made(shared_bot, "uma")
    presses = [follow(shared_bot, first, "variation", "ulf", key=f"press {each}") for each in "ab"]
    [[once], [twice]] = await asyncio.gather(*presses)
    assert twice.job_id == once.job_id
    (by_another,) = await follow(shared_bot, first, "variation", "uma")
    shared_bot.clock.move(seconds=2)
    (again,) = await follow(shared_bot, first, "variation", "ulf", key="press c")
    assert len({once.job_id, by_another.job_id, again.job_id}) == 3
    await shared_bot.check_books()


async def test_a_second_press_that_is_carried_out_late_buys_no_clip(
    shared_bot: RunningBot,
) -> None:
    first, pressed = await made(shared_bot, "lea"), shared_bot.clock.now()

    async def press(key: str, *, after: float) -> JobId:
        at = pressed + timedelta(seconds=after)
        [receipt] = await follow(shared_bot, first, "loop", "lea", key=key, asked_at=at)
        return receipt.job_id

    once = await press("press 1", after=0)
    await shared_bot.finish(once)
    # As a process finds it that takes up what another one left.
    shared_bot.clock.move(minutes=9)
    assert await press("press 2", after=0.4) == once
    assert await press("press 3", after=9) != once
    await shared_bot.check_books()


async def test_what_it_offers_stands_on_the_notice_with_prices(shared_bot: RunningBot) -> None:
    job = await made(shared_bot, "ora", is_draft=True)
    (clip,) = shared_bot.chat.clips(job.id)
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
    await shared_bot.chat.until(lambda: isinstance(shared_bot.chat.status(job.id), Done))
    done = shared_bot.chat.status(job.id)
    assert isinstance(done, Done)
    assert done.acts == clip.acts
    assert await shared_bot.studio.works.offered(job.id, to_requester("guest")) == clip.acts


async def test_a_draft_becomes_a_final_once_its_price_is_confirmed(shared_bot: RunningBot) -> None:
    draft = await made(shared_bot, "fay", is_draft=True, aspect_ratio="9:16")
    assert isinstance(draft.work, VideoWork)
    assert draft.work.resolution == "540p"
    (receipt,) = await follow(shared_bot, draft, "final", "fay")
    assert isinstance(receipt.notice, ConfirmNeeded)
    await shared_bot.studio.confirm(receipt.job_id, to_requester("fay"))
    final = await shared_bot.job(receipt.job_id)
    assert isinstance(final.work, VideoWork)
    assert (final.work.resolution, final.work.is_draft) == ("1080p", False)
    assert final.work.prompt == draft.work.prompt
    assert final.work.aspect_ratio == "9:16"
    with pytest.raises(InvalidRequest, match="540p already"):
        await follow(shared_bot, draft, "final", "fay", choice="540p", key="fay:540p")
    with pytest.raises(NotAllowed, match="4k is off here"):
        await follow(shared_bot, draft, "final", "fay", choice="4k", key="fay:4k")


async def test_variations_are_held_for_all_at_once_and_asked_for_once(
    shared_bot: RunningBot,
) -> None:
    job = await made(shared_bot, "vic")
    three = await follow(shared_bot, job, "variation", "vic", count=3)
    assert len({each.job_id for each in three}) == 3
    assert all(isinstance(each.notice, Accepted) for each in three)
    again = await follow(shared_bot, job, "variation", "vic", count=3)
    assert [each.job_id for each in again] == [each.job_id for each in three]
    for each in three:
        assert (await shared_bot.job(each.job_id)).parent == job.id
    with pytest.raises(InvalidRequest, match="1 to 4 variations"):
        await follow(shared_bot, job, "variation", "vic", count=5, key="vic:5")
    await shared_bot.check_books()


async def test_variations_without_room_for_all_are_refused_as_a_whole(
    shared_bot: RunningBot,
) -> None:
    job = await made(shared_bot, "max", model="ray-2")
    with pytest.raises(QuotaExceeded, match="room for 2 of these 4, so none") as refused:
        await follow(shared_bot, job, "variation", "max", count=4, is_confirmed=True)
    assert "Ask for 2." in refused.value.sentence
    report = await shared_bot.studio.usage(to_requester("max"))
    assert (report.month.delivered, report.month.refused) == (1, 4)
    await shared_bot.check_books()


async def test_one_confirm_starts_all_and_one_cancel_takes_all_back(
    shared_bot: RunningBot,
) -> None:
    job = await made(shared_bot, "zoe", duration="9s")
    asked = await follow(shared_bot, job, "variation", "zoe", count=3)
    notices = [each.notice for each in asked]
    assert all(isinstance(each, ConfirmNeeded) and each.batch_size == 3 for each in notices)
    assert describe(notices[0]).title == "These 3 clips cost about $0.74 together. Make them?"
    await shared_bot.studio.confirm(asked[1].job_id, to_requester("zoe"))
    held = [await shared_bot.job(each.job_id) for each in asked]
    assert all(each.accepted_at is not None for each in held)
    other = await made(shared_bot, "ben", duration="9s")
    asked = await follow(shared_bot, other, "variation", "ben", count=3)
    await shared_bot.studio.cancel(asked[2].job_id, to_requester("ben"))
    ended = [await shared_bot.job(each.job_id) for each in asked]
    assert {each.state for each in ended} == {JobState.CANCELLED}
    await shared_bot.check_books()


async def test_a_page_tells_where_a_clip_comes_from_and_what_came_of_it(
    shared_bot: RunningBot,
) -> None:
    first = await made(shared_bot, "lia")
    (again,) = await follow(shared_bot, first, "remix", "lia", prompt="a blue fox")
    second = await shared_bot.finish(again.job_id)
    (looped,) = await follow(shared_bot, second, "loop", "lia")
    hidden = await follow(shared_bot, second, "variation", "kit", is_private=True)
    shown = await shared_bot.studio.show(second.id, to_requester("lia"))
    assert [(each.job_id, each.relation) for each in shown.parents] == [(first.id, "remix")]
    assert [(each.job_id, each.relation) for each in shown.children] == [(looped.job_id, "loop")]
    assert shown.parents[0].message == first.message
    lines = " ".join(family_lines(shown))
    assert f"A remix of {first.id}" in lines
    assert f"{looped.job_id} · a loop" in lines
    below = await shared_bot.studio.show(looped.job_id, to_requester("lia"))
    assert [each.job_id for each in below.parents] == [second.id, first.id]
    assert hidden[0].job_id not in lines


async def test_what_cannot_be_is_refused_and_nothing_is_written(shared_bot: RunningBot) -> None:
    job = await made(shared_bot, "sam")
    cases: tuple[tuple[str, Given], ...] = (
        ("elsewhere", {}),
        ("local", {"other": JobId("r-00000none0")}),
    )
    for place, given in cases:
        with pytest.raises(JobNotFound):
            await shared_bot.studio.works.follow(
                job.id,
                "join" if given else "extend",
                to_requester("eve", workspace=place),
                dedupe_key=f"eve:{place}",
                thread=GENERAL,
                **given,
            )
    open_id = await shared_bot.ask("a slow one", key="sam:open", user="sam")
    with pytest.raises(InvalidRequest, match="not finished yet"):
        await follow(shared_bot, await shared_bot.job(open_id), "extend", "sam")
    works, sam = shared_bot.studio.works, to_requester("sam")
    assert (await works.offer(job.id, "reframe", sam)).options
    with pytest.raises(InvalidRequest, match="a known price for that"):
        await works.offer(job.id, "upscale", sam)
    with pytest.raises(InvalidRequest, match="cannot be done with the clip"):
        await works.offer(job.id, "animate", sam)
    with pytest.raises(InvalidRequest, match="not finished yet"):
        await works.offer(open_id, "extend", sam)
    await shared_bot.studio.delete(job.id, to_requester("sam"))
    with pytest.raises(InvalidRequest, match="was deleted"):
        await follow(shared_bot, job, "extend", "sam")
    for act in ("extend", "join", "final"):
        with pytest.raises(InvalidRequest, match="was deleted"):
            await works.offer(job.id, act, sam)
    assert [
        each.act for each in await shared_bot.studio.works.offered(job.id, to_requester("sam"))
    ] == [
        "remix",
        "retry",
    ]
    mine = await shared_bot.ask("a secret", key="sam:own", user="sam")
    assert {each.job_id for each in await shared_bot.studio.jobs(to_requester("sam"))} == {
        job.id,
        open_id,
        mine,
    }
