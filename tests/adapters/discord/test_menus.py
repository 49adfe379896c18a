"""Apps → Animate with Ray, on whatever a message shows, and the form that it opens."""

from __future__ import annotations

from typing import Any

from bot.request import ClipFrame, ImageFrame, to_video
from tests.adapters.discord.conftest import Community, picture
from tests.adapters.discord.test_commands import all_jobs, job_of
from tests.discord_server import Interaction, Message, Upload

MENU = "Animate with Ray"


async def animated(community: Community, message: Message, values: dict[str, Any]) -> Interaction:
    """Ana fills in the form for this message."""
    asked = await community.ana.message_command(MENU, message)
    await community.ana.modal(asked)
    return await community.ana.submit_modal(asked, values)


def labels(modal: dict[str, Any]) -> list[str]:
    return [each["label"] for each in modal["components"]]


async def start_of(community: Community) -> str:
    """The file name of the newest job's start frame."""
    start = to_video((await all_jobs(community))[0].work).start_frame
    assert isinstance(start, ImageFrame)
    return start.attachment.filename


async def test_somebody_elses_picture_is_animated_without_any_intent(community: Community) -> None:
    assert not community.discord.app.reads_content
    shown = await community.ben.say(community.general, "look", files=[("fox.png", picture())])
    asked = await community.ana.message_command(MENU, shown)
    modal = await community.ana.modal(asked)
    assert labels(modal) == ["Prompt", "Length and size", "Flags", "End frame"]
    sent = await community.ana.submit_modal(
        asked, {"Prompt": "it turns", "Flags": "--camera zoom_in"}
    )
    answer = await community.ana.answer(sent)
    clip = await community.clip()
    assert answer.is_ephemeral
    assert "it turns" in clip.content
    assert await start_of(community) == "fox.png"
    assert to_video((await all_jobs(community))[0].work).concepts == ("zoom_in",)


async def test_length_and_size_are_offered_with_their_prices(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[picture()])
    asked = await community.ana.message_command(MENU, shown)
    modal = await community.ana.modal(asked)
    [sizes] = [each for each in modal["components"] if each["label"] == "Length and size"]
    options = sizes["component"]["options"]
    assert all("$" in each["label"] for each in options)
    sent = await community.ana.submit_modal(asked, {"Length and size": ["9s 540p"]})
    await community.ana.answer(sent)
    assert to_video((await all_jobs(community))[0].work).duration == "9s"


async def test_of_several_images_one_is_chosen_and_another_may_end_the_clip(
    community: Community,
) -> None:
    files = [("dusk.png", picture(colour="navy")), ("dawn.png", picture(colour="white"))]
    shown = await community.ben.say(community.general, files=files)
    asked = await community.ana.message_command(MENU, shown)
    modal = await community.ana.modal(asked)
    assert labels(modal)[0] == "Which image?"
    values = {
        "Which image?": ["2. dawn.png"],
        "Prompt": "slowly",
        "End frame": [Upload(name="night.png", content=picture(colour="black"))],
    }
    await community.ana.submit_modal(asked, values)
    await community.clip()
    assert await start_of(community) == "dawn.png"
    [job] = await all_jobs(community)
    end = to_video(job.work).end_frame
    assert isinstance(end, ImageFrame)
    assert end.attachment.filename == "night.png"


async def test_an_image_in_an_embed_is_animated(community: Community) -> None:
    other = community.discord.other_bot("Painter", community.guild)
    seen = await community.ben.say(community.general, files=[("art.png", picture())])
    url = community.discord.payloads.message(seen)["attachments"][0]["url"]
    shown = await other.say(
        community.general, embeds=[{"type": "rich", "image": {"url": url, "proxy_url": url}}]
    )
    await animated(community, shown, {"Prompt": "it moves"})
    await community.clip()
    assert await start_of(community) == "art.png"


async def test_an_image_in_new_components_is_animated(community: Community) -> None:
    other = community.discord.other_bot("Painter", community.guild)
    seen = await community.ben.say(community.general, files=[("art.png", picture())])
    url = community.discord.payloads.message(seen)["attachments"][0]["url"]
    media = {"url": url, "proxy_url": url, "content_type": "image/png", "width": 8, "height": 8}
    gallery = {"type": 12, "id": 2, "items": [{"media": media, "spoiler": False}]}
    inside = {"type": 17, "id": 1, "components": [gallery], "spoiler": False}
    shown = await other.say(community.general, components=[inside])
    await animated(community, shown, {"Prompt": "it moves"})
    await community.clip()
    assert await start_of(community) == "art.png"


async def test_a_forwarded_image_is_animated(community: Community) -> None:
    elsewhere = community.discord.channel(community.guild, "elsewhere")
    seen = await community.ben.say(elsewhere, files=[("art.png", picture())])
    shown = await community.ben.forward(seen, community.general)
    await animated(community, shown, {})
    await community.clip()
    assert await start_of(community) == "art.png"


async def test_one_of_our_clips_goes_on(community: Community) -> None:
    await community.ben.slash("ray create", prompt="a fox wakes")
    clip = await community.clip()
    await animated(community, clip, {"Prompt": "it runs"})
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    assert to_video((await all_jobs(community))[0].work).start_frame == ClipFrame(
        job_id=job_of(clip)
    )


async def test_a_message_without_an_image_is_told_so(community: Community) -> None:
    shown = await community.ben.say(
        community.general, "no picture", files=[("notes.txt", b"words")]
    )
    answer = await community.ana.answer(await community.ana.message_command(MENU, shown))
    assert answer.is_ephemeral
    assert "no image in that message" in answer.content


async def test_flags_that_are_none_start_nothing(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[picture()])
    sent = await animated(community, shown, {"Prompt": "it turns", "Flags": "--seed 5"})
    answer = await community.ana.answer(sent)
    assert answer.is_ephemeral
    assert "seed" in answer.content
    assert await all_jobs(community) == []


async def test_what_only_calls_itself_an_image_is_refused(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[("fox.png", b"no picture at all")])
    answer = await community.ana.answer(await animated(community, shown, {"Prompt": "it turns"}))
    assert answer.is_ephemeral
    assert "image" in answer.content
    assert community.discord.said(community.general) == []
    await community.bot.check_books()


async def test_a_spoilers_clip_is_a_spoiler(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[("SPOILER_end.png", picture())])
    await animated(community, shown, {"Prompt": "the end"})
    clip = await community.clip()
    assert clip.attachments[0].filename.startswith("SPOILER_")
    assert "|| the end ||" in clip.content


async def test_a_form_that_cannot_be_opened_any_more_leaves_no_trace(community: Community) -> None:
    shown = await community.ben.say(community.general, files=[picture()])
    community.discord.faults.error("POST", "/callback$", 404, 10062)
    await community.ana.message_command(MENU, shown)
    await community.discord.wait_request("POST", "/callback$")
    await community.ana.answer(await community.ana.slash("ray usage"))
    assert community.discord.said(community.general) == []
