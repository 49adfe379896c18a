"""Which image a mention means: its own, its thread's, a clip of ours, another organisation's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bot.request import ImageFrame, to_video
from bot.simulator import Faults, Simulator, SimulatorSettings
from tests import rendered
from tests.adapters.slack.conftest import Lane
from tests.adapters.slack.test_dialogues import PNG, generations, job_of


@pytest.mark.parametrize("tells_files", [True, False])
async def test_a_mention_takes_its_own_image(lane: Lane, *, tells_files: bool) -> None:
    lane.slack.tells_files = tells_files
    said = await lane.ana.say(f"{lane.team.mention} slow zoom in", lane.general, files=[PNG])
    clip = await lane.clip()
    assert clip.thread_ts == said.ts
    job = await lane.house.delivered(job_of(await lane.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)
    assert job.work.prompt == "slow zoom in"


async def test_a_mention_in_the_thread_of_an_image_sets_it_in_motion(lane: Lane) -> None:
    image = await lane.ben.say("look", lane.general, files=[PNG])
    await lane.ana.say(f"{lane.team.mention} slow zoom in", lane.general, thread=image)
    clip = await lane.clip()
    assert clip.thread_ts == image.ts
    job = await lane.house.delivered(job_of(await lane.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_a_mention_takes_the_latest_image_of_a_thread_that_begins_with_words(
    lane: Lane,
) -> None:
    parent = await lane.ben.say("ideas?", lane.general)
    for name in ("old.png", "new.png"):
        await lane.ben.say("here", lane.general, thread=parent, files=[(name, PNG[1], PNG[2])])
    await lane.ana.say(f"{lane.team.mention} zoom", lane.general, thread=parent)
    await lane.clip()
    work = (await lane.house.delivered(job_of(await lane.status()))).work
    frame = to_video(work).start_frame
    assert isinstance(frame, ImageFrame)
    assert frame.attachment.filename == "new.png"


async def test_a_mention_in_a_clips_thread_goes_on_from_that_clip(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    await lane.clip()
    status = await lane.status("Delivered")
    first = job_of(status)
    await lane.house.delivered(first)
    await lane.ben.say(f"{lane.team.mention} now it runs", lane.general, thread=status)
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2)
    [second] = [
        each for each in lane.slack.said(lane.general) if each.metadata and each is not status
    ]
    work = to_video((await lane.house.delivered(job_of(second))).work)
    assert getattr(work.start_frame, "job_id", "") == first
    assert lane.clips()[1].thread_ts == status.ts


async def test_a_name_is_nothing_that_is_asked(lane: Lane) -> None:
    eve = lane.slack.person("forget me yes", lane.team, lane.general)
    await lane.ana.say(f"{lane.team.mention} {eve.mention}", lane.general)
    await lane.ana.wait_ephemeral(lambda each: "Say what you want to see" in each.plain)
    assert generations(lane) == []
    await lane.ana.say(f"{lane.team.mention} a fox beside {eve.mention}", lane.general)
    await lane.clip()
    job = await lane.house.delivered(job_of(await lane.status()))
    assert job.work.prompt == "a fox beside forget me yes"


async def test_an_image_in_a_thread_that_began_with_a_paper_is_taken(lane: Lane) -> None:
    paper = ("brief.pdf", b"%PDF", "application/pdf")
    parent = await lane.ben.say("the brief", lane.general, files=[paper])
    await lane.ben.say("a sketch", lane.general, thread=parent, files=[PNG])
    await lane.ana.say(f"{lane.team.mention} bring it to life", lane.general, thread=parent)
    job = await lane.house.delivered(job_of(await lane.status("Delivered")))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def no_picture(lane: Lane) -> None:
    """This starts nothing, and Ana reads how to ask for it."""
    await lane.ana.wait_ephemeral(lambda each: "There is no picture in that message" in each.plain)
    assert generations(lane) == []


VIDEO = ("fox.mp4", b"a video", "video/mp4")


@pytest.mark.parametrize("tells_files", [True, False])
async def test_a_video_with_a_mention_buys_no_clip_of_words_alone(
    lane: Lane, *, tells_files: bool
) -> None:
    lane.slack.tells_files = tells_files
    await lane.ana.say(f"{lane.team.mention} make it snow", lane.general, files=[VIDEO])
    await no_picture(lane)


async def test_a_video_in_a_thread_is_not_taken_for_an_image_before_it(lane: Lane) -> None:
    parent = await lane.ben.say("ideas?", lane.general)
    await lane.ben.say("a cat", lane.general, thread=parent, files=[PNG])
    await lane.ben.say("a fox", lane.general, thread=parent, files=[VIDEO])
    await lane.ana.say(f"{lane.team.mention} make it snow", lane.general, thread=parent)
    await no_picture(lane)


async def test_papers_in_a_thread_are_no_reason_to_refuse_words(lane: Lane) -> None:
    parent = await lane.ben.say("ideas?", lane.general)
    paper = ("plan.pdf", b"%PDF", "application/pdf")
    await lane.ben.say("the plan", lane.general, thread=parent, files=[paper])
    await lane.ana.say(f"{lane.team.mention} a red fox", lane.general, thread=parent)
    await lane.clip()


async def test_a_mention_in_the_thread_of_a_video_buys_no_clip_of_words_alone(lane: Lane) -> None:
    parent = await lane.ben.say("a fox", lane.general, files=[VIDEO])
    await lane.ana.say(f"{lane.team.mention} make it snow", lane.general, thread=parent)
    await no_picture(lane)


async def test_a_mention_in_the_thread_of_a_job_without_a_clip_buys_none_of_words_alone(
    lane: Lane,
) -> None:
    lane.house.simulator.faults.slow(100_000)
    await lane.ben.slash("/ray", "a fox", lane.general)
    status = await lane.status("Generating")
    await lane.ana.say(f"{lane.team.mention} make it snow", lane.general, thread=status)
    await lane.ana.wait_ephemeral(lambda each: "There is no picture in that message" in each.plain)
    assert len(generations(lane)) == 1


async def test_words_that_name_their_picture_need_none_beside_them(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    await lane.clip()
    first = job_of(await lane.status("Delivered"))
    words = f"{lane.team.mention} make it snow --start {first}"
    await lane.ana.say(words, lane.general, files=[VIDEO])
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2)


async def test_what_another_organisation_shares_is_asked_for(lane: Lane) -> None:
    eve = lane.slack.person("Eve", lane.team, lane.general, team_id="T999999999")
    image = await eve.say("look", lane.general, files=[PNG])
    assert image.files[0].is_stub, "of it Slack tells only where to ask"
    await lane.ana.say(f"{lane.team.mention} zoom", lane.general, thread=image)
    clip = await lane.clip()
    assert clip.thread_ts == image.ts
    job = await lane.house.delivered(job_of(await lane.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_what_another_organisation_shares_can_be_animated(lane: Lane) -> None:
    eve = lane.slack.person("Eve", lane.team, lane.general, team_id="T999999999")
    image = await eve.say("look", lane.general, files=[PNG])
    asked = await lane.ana.shortcut("animate_with_ray", image)
    await lane.ana.submit(await asked.wait_view(), {"prompt": "zoom"})
    assert (await lane.clip()).thread_ts == image.ts


async def test_a_photograph_of_a_phone_is_read(lane: Lane) -> None:
    photo = ("fox.heic", rendered.drawn("HEIF"), "image/heic")
    image = await lane.ben.say("look", lane.general, files=[photo])
    await lane.ana.say(f"{lane.team.mention} zoom", lane.general, thread=image)
    await lane.clip()
    job = await lane.house.delivered(job_of(await lane.status()))
    assert job.work.aspect_ratio == "4:3"


async def test_a_direct_message_with_an_image_sets_it_in_motion(
    open_lane: Callable[..., Any],
) -> None:
    lane = await open_lane(access={"direct_messages": True})
    said = await lane.ana.say("zoom", lane.ana.direct, files=[PNG])
    assert (await lane.clip(lane.ana.direct)).thread_ts == said.ts
    status = await lane.status(channel=lane.ana.direct)
    job = await lane.house.delivered(job_of(status))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_a_thread_that_cannot_be_read_is_said(lane: Lane) -> None:
    image = await lane.ben.say("look", lane.general, files=[PNG])
    lane.slack.faults.fail("conversations.replies", "missing_scope")
    await lane.ana.say(f"{lane.team.mention} zoom", lane.general, thread=image)
    await lane.ana.wait_ephemeral(lambda each: "Animate with Ray" in each.plain)
    assert generations(lane) == []


@pytest.fixture
async def far_away() -> AsyncIterator[Simulator]:
    """A service that fetches links, and cannot reach this machine by itself."""
    luma = Simulator(SimulatorSettings(same_clip=True, full_size=False), Faults())
    await luma.start("127.0.0.2")
    try:
        yield luma
    finally:
        await luma.stop()


async def test_without_a_public_address_a_service_of_links_costs_one_clear_sentence(
    open_lane: Callable[..., Any], far_away: Simulator
) -> None:
    lane = await open_lane(luma={"base_url": far_away.base_url})
    image = await lane.ben.say("look", lane.general, files=[PNG])
    await lane.ana.say(f"{lane.team.mention} zoom", lane.general, thread=image)
    told = await lane.ana.wait_ephemeral()
    assert "fetches images by a public link" in told.plain
    assert "public_url" in told.plain
    await lane.hurry(
        lambda: (
            not [
                each
                for each in lane.slack.said(lane.general)
                if each.metadata and not each.deleted
            ]
        )
    )
    assert not far_away.generations
    await lane.house.check_books()
