"""Which image a mention means: its own, its thread's, a clip of ours, another organisation's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bot.request import ImageFrame, to_video
from bot.simulator import Faults, Simulator, SimulatorSettings
from tests import rendered
from tests.adapters.slack.conftest import Community
from tests.adapters.slack.test_dialogues import PNG, generations, job_of


@pytest.mark.parametrize("tells_files", [True, False])
async def test_a_mention_takes_its_own_image(community: Community, *, tells_files: bool) -> None:
    community.slack.tells_files = tells_files
    said = await community.ana.say(
        f"{community.team.mention} slow zoom in", community.general, files=[PNG]
    )
    clip = await community.clip()
    assert clip.thread_ts == said.ts
    job = await community.bot.delivered(job_of(await community.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)
    assert job.work.prompt == "slow zoom in"


async def test_a_mention_in_the_thread_of_an_image_sets_it_in_motion(community: Community) -> None:
    image = await community.ben.say("look", community.general, files=[PNG])
    await community.ana.say(
        f"{community.team.mention} slow zoom in", community.general, thread=image
    )
    clip = await community.clip()
    assert clip.thread_ts == image.ts
    job = await community.bot.delivered(job_of(await community.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_a_mention_takes_the_latest_image_of_a_thread_that_begins_with_words(
    community: Community,
) -> None:
    parent = await community.ben.say("ideas?", community.general)
    for name in ("old.png", "new.png"):
        await community.ben.say(
            "here", community.general, thread=parent, files=[(name, PNG[1], PNG[2])]
        )
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=parent)
    await community.clip()
    work = (await community.bot.delivered(job_of(await community.status()))).work
    frame = to_video(work).start_frame
    assert isinstance(frame, ImageFrame)
    assert frame.attachment.filename == "new.png"


@pytest.mark.parametrize("has_buttons", [True, False])
async def test_a_mention_in_a_clips_thread_goes_on_from_that_clip(
    community: Community, has_buttons: bool
) -> None:
    """Where Slack refused its buttons, its file's name tells of which job it is."""
    if not has_buttons:
        community.slack.faults.fail("files.completeUploadExternal", "invalid_blocks")
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    status = await community.status("Delivered")
    first = job_of(status)
    await community.bot.delivered(first)
    await community.ben.say(
        f"{community.team.mention} now it runs", community.general, thread=status
    )
    await community.slack.wait_for(lambda: len(community.clips()) == 2)
    [second] = [
        each
        for each in community.slack.said(community.general)
        if each.metadata and each is not status
    ]
    work = to_video((await community.bot.delivered(job_of(second))).work)
    assert getattr(work.start_frame, "job_id", "") == first
    assert community.clips()[1].thread_ts == status.ts


async def test_a_name_is_nothing_that_is_asked(community: Community) -> None:
    eve = community.slack.person("forget me yes", community.team, community.general)
    await community.ana.say(f"{community.team.mention} {eve.mention}", community.general)
    await community.ana.wait_ephemeral(lambda each: "Say what you want to see" in each.plain)
    assert generations(community) == []
    await community.ana.say(
        f"{community.team.mention} a fox beside {eve.mention}", community.general
    )
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert job.work.prompt == "a fox beside forget me yes"


async def test_an_image_in_a_thread_that_began_with_a_paper_is_taken(community: Community) -> None:
    paper = ("brief.pdf", b"%PDF", "application/pdf")
    parent = await community.ben.say("the brief", community.general, files=[paper])
    await community.ben.say("a sketch", community.general, thread=parent, files=[PNG])
    await community.ana.say(
        f"{community.team.mention} bring it to life", community.general, thread=parent
    )
    job = await community.bot.delivered(job_of(await community.status("Delivered")))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def no_picture(community: Community) -> None:
    """This starts nothing, and Ana reads how to ask for it."""
    await community.ana.wait_ephemeral(
        lambda each: "There is no picture in that message" in each.plain
    )
    assert generations(community) == []


VIDEO = ("fox.mp4", b"a video", "video/mp4")


@pytest.mark.parametrize("tells_files", [True, False])
async def test_a_video_with_a_mention_buys_no_clip_of_words_alone(
    community: Community, *, tells_files: bool
) -> None:
    community.slack.tells_files = tells_files
    await community.ana.say(
        f"{community.team.mention} make it snow", community.general, files=[VIDEO]
    )
    await no_picture(community)


async def test_a_video_in_a_thread_is_not_taken_for_an_image_before_it(
    community: Community,
) -> None:
    parent = await community.ben.say("ideas?", community.general)
    await community.ben.say("a cat", community.general, thread=parent, files=[PNG])
    await community.ben.say("a fox", community.general, thread=parent, files=[VIDEO])
    await community.ana.say(
        f"{community.team.mention} make it snow", community.general, thread=parent
    )
    await no_picture(community)


async def test_papers_in_a_thread_are_no_reason_to_refuse_words(community: Community) -> None:
    parent = await community.ben.say("ideas?", community.general)
    paper = ("plan.pdf", b"%PDF", "application/pdf")
    await community.ben.say("the plan", community.general, thread=parent, files=[paper])
    await community.ana.say(
        f"{community.team.mention} a red fox", community.general, thread=parent
    )
    await community.clip()


async def test_a_mention_in_the_thread_of_a_video_buys_no_clip_of_words_alone(
    community: Community,
) -> None:
    parent = await community.ben.say("a fox", community.general, files=[VIDEO])
    await community.ana.say(
        f"{community.team.mention} make it snow", community.general, thread=parent
    )
    await no_picture(community)


async def test_a_mention_in_the_thread_of_a_job_without_a_clip_buys_none_of_words_alone(
    community: Community,
) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ben.slash("/ray", "a fox", community.general)
    status = await community.status("Generating")
    await community.bot.simulator.wait_for_creates(1)
    await community.ana.say(
        f"{community.team.mention} make it snow", community.general, thread=status
    )
    await community.ana.wait_ephemeral(
        lambda each: "There is no picture in that message" in each.plain
    )
    assert len(generations(community)) == 1


async def test_words_that_name_their_picture_need_none_beside_them(community: Community) -> None:
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    first = job_of(await community.status("Delivered"))
    words = f"{community.team.mention} make it snow --start {first}"
    await community.ana.say(words, community.general, files=[VIDEO])
    await community.slack.wait_for(lambda: len(community.clips()) == 2)


async def test_what_another_organisation_shares_is_asked_for(community: Community) -> None:
    eve = community.slack.person("Eve", community.team, community.general, team_id="T999999999")
    image = await eve.say("look", community.general, files=[PNG])
    assert image.files[0].is_stub, "of it Slack tells only where to ask"
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=image)
    clip = await community.clip()
    assert clip.thread_ts == image.ts
    job = await community.bot.delivered(job_of(await community.status()))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_what_another_organisation_shares_can_be_animated(community: Community) -> None:
    eve = community.slack.person("Eve", community.team, community.general, team_id="T999999999")
    image = await eve.say("look", community.general, files=[PNG])
    asked = await community.ana.shortcut("animate_with_ray", image)
    await community.ana.submit(await asked.wait_view(), {"prompt": "zoom"})
    assert (await community.clip()).thread_ts == image.ts


async def test_a_photograph_of_a_phone_is_read(community: Community) -> None:
    photo = ("fox.heic", rendered.drawn("HEIF"), "image/heic")
    image = await community.ben.say("look", community.general, files=[photo])
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=image)
    await community.clip()
    job = await community.bot.delivered(job_of(await community.status()))
    assert job.work.aspect_ratio == "4:3"


async def test_a_direct_message_with_an_image_sets_it_in_motion(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(access={"direct_messages": True})
    said = await community.ana.say("zoom", community.ana.direct, files=[PNG])
    assert (await community.clip(community.ana.direct)).thread_ts == said.ts
    status = await community.status(channel=community.ana.direct)
    job = await community.bot.delivered(job_of(status))
    assert isinstance(to_video(job.work).start_frame, ImageFrame)


async def test_a_thread_that_cannot_be_read_is_said(community: Community) -> None:
    image = await community.ben.say("look", community.general, files=[PNG])
    community.slack.faults.fail("conversations.replies", "missing_scope")
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=image)
    await community.ana.wait_ephemeral(lambda each: "Animate with Ray" in each.plain)
    assert generations(community) == []


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
    open_community: Callable[..., Any], far_away: Simulator
) -> None:
    community = await open_community(luma={"base_url": far_away.base_url})
    image = await community.ben.say("look", community.general, files=[PNG])
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=image)
    told = await community.ana.wait_ephemeral()
    assert "fetches images by a public link" in told.plain
    assert "public_url" in told.plain
    await community.hurry(
        lambda: (
            not [
                each
                for each in community.slack.said(community.general)
                if each.metadata and not each.deleted
            ]
        )
    )
    assert not far_away.generations
    await community.bot.check_books()
