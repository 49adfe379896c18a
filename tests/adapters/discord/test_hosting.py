"""Images that a video service fetches from the chat, where the bot has no public address."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from PIL import Image

from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from bot.store import jobs, messages
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.conftest import MANUAL
from tests.discord_server import Message, Person
from tests.discord_server.cdn import Upload

MODERATED = "failed to moderate image"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator on an address that is not our own machine's usual one.

    So the bot does not take it for a neighbour that could be given a local link.
    """
    settings = MANUAL
    running = Simulator(settings, Faults())
    await running.start("127.0.0.2")
    yield running
    await running.stop()


async def animated(community: Community, who: Person, **more: Any) -> JobId:
    """A job from two images that the video service has taken."""
    known = len(community.bot.simulator.generations)
    image = more.pop("image", picture(colour="red"))
    asked = await who.slash("ray animate", more.pop("where", who.here), image=image, **more)
    await community.bot.simulator.wait_for_creates(known + 1)
    if more.get("private"):
        [job_id] = await job_ids(community)
        return job_id
    answer = await who.answer(asked)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None, answer.content
    return JobId(found[0])


async def job_ids(community: Community) -> list[JobId]:
    return list(await community.bot.app.database.read(jobs.open_ids))


def frames_given(community: Community) -> dict[str, Any]:
    """What the video service was told of the images, last."""
    [*_, last] = community.bot.simulator.generations.values()
    told: dict[str, Any] = last.request["keyframes"]
    return told


async def colour_at(link: str) -> tuple[int, int, int]:
    """What a link leads to, for whoever has it, as one pixel."""
    async with aiohttp.ClientSession() as session, session.get(link) as got:
        assert got.status == 200, link
        with Image.open(io.BytesIO(await got.read())) as image:
            red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]  # RGB
            return red // 100, green // 100, blue // 100


async def finish(community: Community, job_id: JobId) -> None:
    [*_, last] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(last.id)
    await community.bot.until(job_id, JobState.DELIVERED, JobState.FAILED)


def letters(community: Community) -> list[Message]:
    """The direct messages to Ana that show images."""
    said = community.discord.said(community.ana.dm)
    return [each for each in said if "so that the video service" in each.content]


async def until_no_letter_is_kept(community: Community) -> None:
    """Wait until the book has no such message."""
    async with asyncio.timeout(30):
        while await community.bot.app.database.read(messages.showing_images):
            await asyncio.sleep(0.01)


def status_of(community: Community, job_id: JobId) -> Message:
    said = community.discord.said(community.general)
    return next(each for each in said if job_id in each.content)


async def test_both_frames_are_shown_on_the_status_message_while_they_are_needed(
    community: Community,
) -> None:
    job_id = await animated(
        community, community.ana, end_frame=picture(colour="blue"), prompt="slow zoom"
    )
    given = frames_given(community)
    assert await colour_at(given["frame0"]["url"]) == (2, 0, 0)
    assert await colour_at(given["frame1"]["url"]) == (0, 0, 2)
    status = status_of(community, job_id)
    assert [each.filename for each in status.attachments] == ["start.jpg", "end.jpg"]
    assert community.discord.said(community.ana.dm) == []

    await finish(community, job_id)
    await community.hurry(lambda: not status.attachments)
    assert "Delivered" in status.content
    [clip] = [each for each in community.discord.said(community.general) if each.attachments]
    assert job_id in clip.attachments[0].filename
    await community.bot.check_books()


async def test_no_signed_link_of_discord_is_in_the_book(community: Community) -> None:
    job_id = await animated(community, community.ana, prompt="slow zoom")
    link = frames_given(community)["frame0"]["url"]
    await finish(community, job_id)
    folder = community.bot.config.bot.data_dir
    book = b"".join(each.read_bytes() for each in folder.glob("raybot.db*"))
    assert link.partition("?")[2].encode() not in book
    assert b"hm=" not in book


@pytest.mark.parametrize("how", ["private", "spoiler", "direct"])
async def test_what_is_not_for_everyone_is_shown_to_its_person_alone(
    open_community: Callable[..., Any], how: str
) -> None:
    access = {"servers": ["4242"], "direct_messages": True}
    community: Community = await open_community(access=access)
    more: dict[str, Any] = {"prompt": "slow zoom"}
    match how:
        case "private":
            more["private"] = True
        case "spoiler":
            name = "SPOILER_me.png"
            more["image"] = Upload(name=name, content=picture(colour="red"))
        case _:
            more["where"] = community.ana.dm
    job_id = await animated(community, community.ana, **more)
    assert await colour_at(frames_given(community)["frame0"]["url"]) == (2, 0, 0)
    assert not [each for each in community.discord.said(community.general) if each.attachments]
    [letter] = [each for each in community.discord.said(community.ana.dm) if each.attachments]
    assert job_id in letter.content
    assert community.discord.pinged().users <= {community.ana.id}

    await finish(community, job_id)
    await community.hurry(lambda: letter.is_deleted)
    assert (await community.bot.job(job_id)).state is JobState.DELIVERED
    await community.bot.check_books()


@pytest.mark.parametrize("how", ["private", "spoiler"])
async def test_another_process_takes_hidden_images_back(
    local_discord: LocalDiscord, how: str
) -> None:
    async with local_discord.community() as community:
        image = Upload(name="SPOILER_me.png", content=picture(colour="red"))
        job_id = await animated(
            community,
            community.ana,
            image=image if how == "spoiler" else picture(colour="red"),
            end_frame=picture(colour="blue"),
            prompt="slow zoom",
            private=how == "private",
        )
        [letter] = letters(community)
        assert [each.filename for each in letter.attachments] == ["start.jpg", "end.jpg"]
    async with local_discord.community() as community:
        await finish(community, job_id)
        await community.hurry(lambda: letter.is_deleted)
        assert letters(community) == []
        await until_no_letter_is_kept(community)
        await community.bot.check_books()


async def test_hidden_images_are_taken_back_when_discord_is_back(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        job_id = await animated(community, community.ana, prompt="slow zoom", private=True)
        [letter] = letters(community)
        removal = "DELETE", f"/messages/{letter.id}"
        local_discord.discord.faults.add(*removal, status=503, times=100)
        await finish(community, job_id)
        await community.discord.wait_for(lambda: community.discord.requests_to(*removal), 30)
    local_discord.clock.move(days=3)
    local_discord.discord.clock.move(days=3)
    async with local_discord.community() as community:
        assert not letter.is_deleted
        local_discord.discord.faults.clear()
        await community.hurry(lambda: letter.is_deleted)
        assert (await community.bot.job(job_id)).state is JobState.DELIVERED
        await until_no_letter_is_kept(community)


async def test_images_that_were_sent_twice_for_want_of_an_answer_are_one_message(
    community: Community,
) -> None:
    community.discord.faults.drop(
        "POST", f"/channels/{community.ana.dm.id}/messages", when="after"
    )
    asked = await community.ana.slash(
        "ray animate", image=picture(), prompt="slow zoom", private=True
    )
    await community.ana.answer(asked)
    await community.hurry(lambda: community.bot.simulator.generations, seconds=2)
    [letter] = letters(community)
    [job_id] = await job_ids(community)
    await finish(community, job_id)
    await community.hurry(lambda: letter.is_deleted)


async def test_nobody_pays_where_the_image_can_be_shown_to_nobody(community: Community) -> None:
    community.ana.user.accepts_direct_messages = False
    hidden = Upload(name="SPOILER_me.png", content=picture())
    await community.ana.slash("ray animate", image=hidden, prompt="slow zoom")
    status = await community.discord.wait_message(community.general)
    await community.hurry(lambda: "closed for Raybot" in status.content)
    assert community.bot.simulator.generations == {}
    await community.bot.check_books()


@pytest.mark.parametrize("how", ["public", "spoiler"])
async def test_an_image_that_could_not_be_read_is_shown_anew_once(
    community: Community, how: str
) -> None:
    community.bot.simulator.faults.refuse("create", status=400, detail=MODERATED)
    name = "SPOILER_me.png" if how == "spoiler" else "me.png"
    image = Upload(name=name, content=picture(colour="red"))
    job_id = await animated(community, community.ana, image=image, prompt="slow zoom")
    assert (await community.bot.job(job_id)).attempt == 2
    shown = [each for each in community.discord.requests if each.files]
    assert [each.method for each in shown] == [
        "POST" if how == "spoiler" else "PATCH",
        "PATCH",
    ]
    links = [each.reply["attachments"][0]["url"].partition("?")[0] for each in shown]
    assert len(set(links)) == 2
    assert frames_given(community)["frame0"]["url"].partition("?")[0] == links[1]
    assert await colour_at(frames_given(community)["frame0"]["url"]) == (2, 0, 0)
    await finish(community, job_id)
    await community.bot.check_books()


async def test_an_image_that_cannot_be_read_twice_ends_the_job(community: Community) -> None:
    community.bot.simulator.faults.refuse("create", status=400, detail=MODERATED, times=9)
    await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    status = await community.discord.wait_message(community.general)
    await community.hurry(lambda: "could not fetch" in status.content)
    assert status.attachments == []
    assert community.bot.simulator.generations == {}
    await community.bot.check_books()


async def test_a_link_that_broke_while_generating_is_made_anew(community: Community) -> None:
    community.discord.faults.add("GET", "/attachments/", status=404)
    job_id = await animated(community, community.ana, prompt="slow zoom")
    [first] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(first.id)
    await community.bot.simulator.wait_for_creates(2)
    assert await colour_at(frames_given(community)["frame0"]["url"]) == (2, 0, 0)
    await finish(community, job_id)
    assert (await community.bot.job(job_id)).state is JobState.DELIVERED
    await community.bot.check_books()


async def test_a_lost_answer_is_found_again_by_the_image_that_was_shown(
    community: Community,
) -> None:
    community.bot.simulator.faults.drop("create", accepted=True)
    job_id = await animated(community, community.ana, prompt="slow zoom")
    await community.bot.until(job_id, JobState.SUBMITTING)
    async with asyncio.timeout(30):
        while (await community.bot.job(job_id)).state is JobState.SUBMITTING:
            community.later(seconds=10)
            await asyncio.sleep(0.05)
    await finish(community, job_id)
    assert (await community.bot.job(job_id)).attempt == 1
    assert len(community.bot.simulator.generations) == 1
    await community.bot.check_books()


async def test_with_a_public_address_nothing_is_shown(open_community: Callable[..., Any]) -> None:
    community: Community = await open_community(bot={"public_url": "https://ray.example"})
    job_id = await animated(community, community.ana, prompt="slow zoom")
    assert frames_given(community)["frame0"]["url"].startswith("https://ray.example/frames/")
    assert status_of(community, job_id).attachments == []


async def test_hosting_can_be_switched_off(open_community: Callable[..., Any]) -> None:
    community: Community = await open_community({"hosting": "off"})
    asked = await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    answer = await community.ana.answer(asked)
    assert "link" in answer.content
    assert community.bot.simulator.generations == {}
    assert [each for each in community.discord.said(community.general) if each.attachments] == []
