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
from tests.adapters.discord.conftest import Street, Town, picture
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


async def animated(street: Street, who: Person, **more: Any) -> JobId:
    """A job from two images that the video service has taken."""
    known = len(street.house.simulator.generations)
    image = more.pop("image", picture(colour="red"))
    asked = await who.slash("ray animate", more.pop("where", who.here), image=image, **more)
    await street.house.simulator.wait_for_creates(known + 1)
    if more.get("private"):
        [job_id] = await job_ids(street)
        return job_id
    answer = await who.answer(asked)
    found = re.search(r"r-[0-9a-z]{10}", answer.content)
    assert found is not None, answer.content
    return JobId(found[0])


async def job_ids(street: Street) -> list[JobId]:
    return list(await street.house.app.database.read(jobs.open_ids))


def frames_given(street: Street) -> dict[str, Any]:
    """What the video service was told of the images, last."""
    [*_, last] = street.house.simulator.generations.values()
    told: dict[str, Any] = last.request["keyframes"]
    return told


async def colour_at(link: str) -> tuple[int, int, int]:
    """What a link leads to, for whoever has it, as one pixel."""
    async with aiohttp.ClientSession() as session, session.get(link) as got:
        assert got.status == 200, link
        with Image.open(io.BytesIO(await got.read())) as image:
            red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]  # RGB
            return red // 100, green // 100, blue // 100


async def finish(street: Street, job_id: JobId) -> None:
    [*_, last] = street.house.simulator.generations.values()
    await street.house.simulator.finish(last.id)
    await street.house.until(job_id, JobState.DELIVERED, JobState.FAILED)


def letters(street: Street) -> list[Message]:
    """The direct messages to Ana that show images."""
    said = street.discord.said(street.ana.dm)
    return [each for each in said if "so that the video service" in each.content]


async def until_no_letter_is_kept(street: Street) -> None:
    """Wait until the book has no such message."""
    async with asyncio.timeout(15):
        while await street.house.app.database.read(messages.showing_images):
            await asyncio.sleep(0.01)


def status_of(street: Street, job_id: JobId) -> Message:
    said = street.discord.said(street.general)
    return next(each for each in said if job_id in each.content)


async def test_both_frames_are_shown_on_the_status_message_while_they_are_needed(
    street: Street,
) -> None:
    job_id = await animated(
        street, street.ana, end_frame=picture(colour="blue"), prompt="slow zoom"
    )
    given = frames_given(street)
    assert await colour_at(given["frame0"]["url"]) == (2, 0, 0)
    assert await colour_at(given["frame1"]["url"]) == (0, 0, 2)
    status = status_of(street, job_id)
    assert [each.filename for each in status.attachments] == ["start.jpg", "end.jpg"]
    assert street.discord.said(street.ana.dm) == []

    await finish(street, job_id)
    await street.hurry(lambda: not status.attachments)
    assert "Delivered" in status.content
    [clip] = [each for each in street.discord.said(street.general) if each.attachments]
    assert job_id in clip.attachments[0].filename
    await street.house.check_books()


async def test_no_signed_link_of_discord_is_in_the_book(street: Street) -> None:
    job_id = await animated(street, street.ana, prompt="slow zoom")
    link = frames_given(street)["frame0"]["url"]
    await finish(street, job_id)
    folder = street.house.config.bot.data_dir
    book = b"".join(each.read_bytes() for each in folder.glob("raybot.db*"))
    assert link.partition("?")[2].encode() not in book
    assert b"hm=" not in book


@pytest.mark.parametrize("how", ["private", "spoiler", "direct"])
async def test_what_is_not_for_everyone_is_shown_to_its_person_alone(
    open_street: Callable[..., Any], how: str
) -> None:
    access = {"servers": ["4242"], "direct_messages": True}
    street: Street = await open_street(access=access)
    more: dict[str, Any] = {"prompt": "slow zoom"}
    match how:
        case "private":
            more["private"] = True
        case "spoiler":
            name = "SPOILER_me.png"
            more["image"] = Upload(name=name, content=picture(colour="red"))
        case _:
            more["where"] = street.ana.dm
    job_id = await animated(street, street.ana, **more)
    assert await colour_at(frames_given(street)["frame0"]["url"]) == (2, 0, 0)
    assert not [each for each in street.discord.said(street.general) if each.attachments]
    [letter] = [each for each in street.discord.said(street.ana.dm) if each.attachments]
    assert job_id in letter.content
    assert street.discord.pinged().users <= {street.ana.id}

    await finish(street, job_id)
    await street.hurry(lambda: letter.is_deleted)
    assert (await street.house.job(job_id)).state is JobState.DELIVERED
    await street.house.check_books()


@pytest.mark.parametrize("how", ["private", "spoiler"])
async def test_another_process_takes_hidden_images_back(town: Town, how: str) -> None:
    async with town.street() as street:
        image = Upload(name="SPOILER_me.png", content=picture(colour="red"))
        job_id = await animated(
            street,
            street.ana,
            image=image if how == "spoiler" else picture(colour="red"),
            end_frame=picture(colour="blue"),
            prompt="slow zoom",
            private=how == "private",
        )
        [letter] = letters(street)
        assert [each.filename for each in letter.attachments] == ["start.jpg", "end.jpg"]
    async with town.street() as street:
        await finish(street, job_id)
        await street.hurry(lambda: letter.is_deleted)
        assert letters(street) == []
        await until_no_letter_is_kept(street)
        await street.house.check_books()


async def test_hidden_images_are_taken_back_when_discord_is_back(town: Town) -> None:
    async with town.street() as street:
        job_id = await animated(street, street.ana, prompt="slow zoom", private=True)
        [letter] = letters(street)
        removal = "DELETE", f"/messages/{letter.id}"
        town.discord.faults.add(*removal, status=503, times=100)
        await finish(street, job_id)
        await street.discord.wait_for(lambda: street.discord.requests_to(*removal), 15)
    town.clock.move(days=3)
    town.discord.clock.move(days=3)
    async with town.street() as street:
        assert not letter.is_deleted
        town.discord.faults.clear()
        await street.hurry(lambda: letter.is_deleted)
        assert (await street.house.job(job_id)).state is JobState.DELIVERED
        await until_no_letter_is_kept(street)


async def test_images_that_were_sent_twice_for_want_of_an_answer_are_one_message(
    street: Street,
) -> None:
    street.discord.faults.drop("POST", f"/channels/{street.ana.dm.id}/messages", when="after")
    asked = await street.ana.slash(
        "ray animate", image=picture(), prompt="slow zoom", private=True
    )
    await street.ana.answer(asked)
    await street.hurry(lambda: street.house.simulator.generations, seconds=2)
    [letter] = letters(street)
    [job_id] = await job_ids(street)
    await finish(street, job_id)
    await street.hurry(lambda: letter.is_deleted)


async def test_nobody_pays_where_the_image_can_be_shown_to_nobody(street: Street) -> None:
    street.ana.user.accepts_direct_messages = False
    hidden = Upload(name="SPOILER_me.png", content=picture())
    await street.ana.slash("ray animate", image=hidden, prompt="slow zoom")
    status = await street.discord.wait_message(street.general)
    await street.hurry(lambda: "closed for Raybot" in status.content)
    assert street.house.simulator.generations == {}
    await street.house.check_books()


@pytest.mark.parametrize("how", ["public", "spoiler"])
async def test_an_image_that_could_not_be_read_is_shown_anew_once(
    street: Street, how: str
) -> None:
    street.house.simulator.faults.refuse("create", status=400, detail=MODERATED)
    name = "SPOILER_me.png" if how == "spoiler" else "me.png"
    image = Upload(name=name, content=picture(colour="red"))
    job_id = await animated(street, street.ana, image=image, prompt="slow zoom")
    assert (await street.house.job(job_id)).attempt == 2
    shown = [each for each in street.discord.requests if each.files]
    assert [each.method for each in shown] == [
        "POST" if how == "spoiler" else "PATCH",
        "PATCH",
    ]
    links = [each.reply["attachments"][0]["url"].partition("?")[0] for each in shown]
    assert len(set(links)) == 2
    assert frames_given(street)["frame0"]["url"].partition("?")[0] == links[1]
    assert await colour_at(frames_given(street)["frame0"]["url"]) == (2, 0, 0)
    await finish(street, job_id)
    await street.house.check_books()


async def test_an_image_that_cannot_be_read_twice_ends_the_job(street: Street) -> None:
    street.house.simulator.faults.refuse("create", status=400, detail=MODERATED, times=9)
    await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    status = await street.discord.wait_message(street.general)
    await street.hurry(lambda: "could not fetch" in status.content)
    assert status.attachments == []
    assert street.house.simulator.generations == {}
    await street.house.check_books()


async def test_a_link_that_broke_while_generating_is_made_anew(street: Street) -> None:
    street.discord.faults.add("GET", "/attachments/", status=404)
    job_id = await animated(street, street.ana, prompt="slow zoom")
    [first] = street.house.simulator.generations.values()
    await street.house.simulator.finish(first.id)
    await street.house.simulator.wait_for_creates(2)
    assert await colour_at(frames_given(street)["frame0"]["url"]) == (2, 0, 0)
    await finish(street, job_id)
    assert (await street.house.job(job_id)).state is JobState.DELIVERED
    await street.house.check_books()


async def test_a_lost_answer_is_found_again_by_the_image_that_was_shown(street: Street) -> None:
    street.house.simulator.faults.drop("create", accepted=True)
    job_id = await animated(street, street.ana, prompt="slow zoom")
    await street.house.until(job_id, JobState.SUBMITTING)
    async with asyncio.timeout(15):
        while (await street.house.job(job_id)).state is JobState.SUBMITTING:
            street.later(seconds=10)
            await asyncio.sleep(0.05)
    await finish(street, job_id)
    assert (await street.house.job(job_id)).attempt == 1
    assert len(street.house.simulator.generations) == 1
    await street.house.check_books()


async def test_with_a_public_address_nothing_is_shown(open_street: Callable[..., Any]) -> None:
    street: Street = await open_street(bot={"public_url": "https://ray.example"})
    job_id = await animated(street, street.ana, prompt="slow zoom")
    assert frames_given(street)["frame0"]["url"].startswith("https://ray.example/frames/")
    assert status_of(street, job_id).attachments == []


async def test_hosting_can_be_switched_off(open_street: Callable[..., Any]) -> None:
    street: Street = await open_street({"hosting": "off"})
    asked = await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    answer = await street.ana.answer(asked)
    assert "link" in answer.content
    assert street.house.simulator.generations == {}
    assert [each for each in street.discord.said(street.general) if each.attachments] == []
