"""Pictures in Discord: asked for, shown with their buttons, and set in motion."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from PIL import Image

from bot.request import ClipFrame, ImageWork, to_video
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.luma_agents import FACE
from tests.adapters.discord.conftest import Community
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.discord_server import Message

OpenCommunity = Callable[..., Awaitable[Community]]
KEY = "luma-api-0123456789abcdef0123456789"


@pytest.fixture
async def studio_community(open_community: OpenCommunity) -> AsyncIterator[Community]:
    """Beside Luma's own clips, its Agents API makes stills here."""
    settings = SimulatorSettings(
        api_key=KEY, min_seconds=0.1, max_seconds=0.1, same_clip=True, full_size=False
    )
    async with Simulator(settings, Faults(), face=FACE) as agents:
        table = {
            "api_key": KEY,
            "base_url": agents.base_url,
            "first_look_seconds": 0,
            "look_seconds": 0.05,
        }
        yield await open_community(
            defaults={"providers": ["luma_agents", "luma"]}, providers={"luma_agents": table}
        )


async def drawn(community: Community, **options: Any) -> Message:
    await community.ana.slash("ray still", prompt="a red fox", **options)
    return await finished(community)


async def test_a_still_is_posted_with_what_can_be_done_next(studio_community: Community) -> None:
    community = studio_community
    shown = await drawn(community, aspect_ratio="16:9", model="uni-1-max")
    [attached] = shown.attachments
    assert attached.filename.endswith(".jpg")
    with Image.open(io.BytesIO(attached.content)) as picture:
        assert picture.size == (512, 288)
    assert list(shown.buttons) == ["Animate", "Variation", "Remix", "Delete"]
    assert "Your picture is ready" in shown.content
    assert "AI-generated" in shown.content
    assert attached.description is not None
    assert attached.description.startswith("AI-generated picture: a red fox (uni-1-max · still")
    [job] = await all_jobs(community)
    assert isinstance(job.work, ImageWork)
    status = [each for each in community.discord.said(community.general) if not each.attachments]
    await community.discord.wait_for(lambda: "Go to the picture" in status[0].content, 30)
    await community.bot.check_books()


async def test_a_picture_is_set_in_motion_by_its_button(studio_community: Community) -> None:
    community = studio_community
    shown = await drawn(community)
    asked = await community.ana.click(shown, "Animate")
    modal = await community.ana.modal(asked)
    assert [each["label"] for each in modal["components"]] == [
        "Prompt",
        "Length and size",
        "Flags",
        "End frame",
    ]
    sent = await community.ana.submit_modal(asked, {"Prompt": "it looks around"})
    await community.ana.answer(sent)
    clip = await community.discord.wait_message(
        community.general, lambda each: each.attachments and "looks" in each.content
    )
    assert clip.attachments[0].filename.endswith(".mp4")
    newest = (await all_jobs(community))[0]
    frame = ClipFrame(job_id=job_of(shown), is_still=True)
    assert to_video(newest.work).start_frame == frame
    await community.bot.check_books()


async def test_remix_of_a_picture_is_a_picture(studio_community: Community) -> None:
    community = studio_community
    shown = await drawn(community, aspect_ratio="16:9")
    asked = await community.ben.click(shown, "Remix")
    modal = await community.ben.modal(asked)
    filled = {each["label"]: each["component"] for each in modal["components"]}
    assert list(filled) == ["Prompt", "Flags"]
    assert filled["Flags"]["value"] == "--ar 16:9"
    await community.ben.submit_modal(asked, {"Prompt": "a blue fox"})
    second = await community.discord.wait_message(
        community.general, lambda each: each.attachments and "blue" in each.content
    )
    job = await community.bot.job(job_of(second))
    assert (job.work.kind, job.work.aspect_ratio) == ("image", "16:9")
    assert job.retry_of == job_of(shown)


async def test_a_picture_is_asked_for_again_shown_again_and_deleted(
    studio_community: Community,
) -> None:
    community = studio_community
    shown = await drawn(community)
    await community.ana.answer(await community.ana.click(shown, "Variation"))
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    page = await community.ana.answer(await community.ana.slash("ray show", id=job_of(shown)))
    assert page.attachments[0].filename.endswith(".jpg")
    answer = await community.delete(community.ana, shown)
    assert answer.content == f"The picture of `{job_of(shown)}` is deleted."
    await community.discord.wait_for(lambda: len(community.clips()) == 1, 30)


async def test_a_mention_asks_for_a_still_by_a_flag_and_a_reply_moves_it(
    studio_community: Community,
) -> None:
    community = studio_community
    await community.ana.say(
        community.general, f"{community.discord.app.bot.mention} a red fox --still"
    )
    shown = await finished(community)
    assert shown.attachments[0].filename.endswith(".jpg")
    mention = f"{community.discord.app.bot.mention} it looks around"
    await community.ana.say(community.general, mention, reply_to=shown)
    await community.discord.wait_message(
        community.general, lambda each: each.attachments and "looks" in each.content
    )
    frame = to_video((await all_jobs(community))[0].work).start_frame
    assert frame == ClipFrame(job_id=job_of(shown), is_still=True)


async def test_help_names_stills_where_there_are_some(studio_community: Community) -> None:
    page = await studio_community.ana.answer(await studio_community.ana.slash("ray help"))
    assert "still" in page.content
    assert "a picture from words" in page.content


async def test_without_a_maker_of_stills_there_is_no_such_command(
    open_community: OpenCommunity,
) -> None:
    table = {"api_key": "r8_0123456789", "base_url": "http://127.0.0.1:9"}
    community = await open_community(
        defaults={"providers": ["replicate"]}, providers={"replicate": table}
    )
    page = await community.ana.answer(await community.ana.slash("ray help"))
    assert "a picture from words" not in page.content
    await community.ana.say(
        community.general, f"{community.discord.app.bot.mention} a fox --still"
    )
    said = await community.discord.wait_message(
        community.general, lambda each: "add luma" in each.content
    )
    assert "No video service here makes stills" in said.content
