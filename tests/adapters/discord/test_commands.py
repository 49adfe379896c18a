"""What people do with commands in a server, over the wire of a local Discord."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import select

from bot.job import Job
from bot.refs import JobId
from bot.request import ClipFrame, to_video
from bot.store import jobs, schema
from tests.adapters.discord.conftest import Street, Town, picture
from tests.discord_server import Channel, Kind, Message, Permission, Person, Pings

OpenStreet = Callable[..., Awaitable[Street]]


async def all_jobs(street: Street) -> list[Job]:
    """Every job of Ana's, newest first."""
    person = f"discord:{street.guild.id}:{street.ana.id}"
    read = street.house.app.database.read
    return list(await read(lambda conn: jobs.of_person(conn, person, search="", page=1)))


def job_of(message: Message) -> JobId:
    """The job that a message names."""
    found = re.search(r"`(r-[0-9a-z]+)`", message.content)
    assert found
    return JobId(found[1])


async def finished(street: Street, channel: Channel | None = None) -> Message:
    """The next clip in a channel, once its job is delivered for good."""
    clip = await street.clip(channel)
    await street.house.delivered(job_of(clip))
    return clip


def deliver_again(street: Street) -> None:
    """Send the gateway's last event once more."""
    for session in street.discord.gateway.connected:
        assert session.connection is not None
        session.connection.put(session.log[-1][1])


# ---- asking ------------------------------------------------------------------------------------


async def test_a_prompt_becomes_a_clip_in_the_channel(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a red fox in snow")
    answer = await street.ana.answer(asked)
    clip = await street.clip()
    assert answer.is_ephemeral
    assert "a red fox in snow" in clip.content
    assert clip.attachments[0].filename.endswith(".mp4")
    assert clip.pings.users == {street.ana.id}
    [status] = [each for each in street.discord.said(street.general) if not each.attachments]
    assert f"/{status.id}" in answer.content
    await street.house.check_books()


async def test_what_is_under_way_says_who_asked_and_calls_nobody(street: Street) -> None:
    street.house.simulator.faults.slow(100_000)

    async def ask(person: Person) -> None:
        await person.slash("ray create", prompt="a red fox")
        who = f"<@{person.id}>"
        status = await street.discord.wait_message(
            street.general, lambda each: who in each.content
        )
        first = status.content
        await street.hurry(lambda: status.content != first)
        assert who in status.content
        assert status.pings.users == set()

    await ask(street.ana)
    await ask(street.ben)


async def test_whom_and_what_a_command_names_is_in_the_prompt_by_name(street: Street) -> None:
    street.guild.members[street.ben.id].nick = "Benny"
    role = street.guild.bot_role
    words = f"{street.ben.mention} and <@&{role.id}> ride <:red_fox:77>"
    await street.ana.slash("ray create", prompt=words)
    await street.clip()
    [job] = await all_jobs(street)
    assert job.work.prompt == f"Benny and {role.name} ride red fox"


async def test_a_picture_is_animated(street: Street) -> None:
    await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    clip = await street.clip()
    assert "16\\:9, the nearest to your image" in clip.content


async def test_every_option_counts(street: Street) -> None:
    await street.ana.slash(
        "ray create",
        prompt="from dusk to dawn",
        start_frame=picture(colour="navy"),
        end_frame=picture(colour="white"),
        model="ray-2",
        aspect_ratio="9:16",
        resolution="540p",
        duration="9s",
        loop=False,
        camera="zoom_in",
    )
    await street.clip()
    [job] = await all_jobs(street)
    work = to_video(job.work)
    assert (work.model, work.aspect_ratio, work.resolution) == ("ray-2", "9:16", "540p")
    assert (work.duration, work.loop, work.concepts) == ("9s", False, ("zoom_in",))
    assert job.plan is not None
    assert job.plan.start_frame is not None
    assert job.plan.end_frame is not None


async def test_flags_among_the_words_are_read_as_in_a_message(street: Street) -> None:
    words = "a red fox -- in snow --ar 9:16 --dur 9s"
    await street.ana.slash("ray create", prompt=words, resolution="540p", duration="9s")
    await street.clip()
    [job] = await all_jobs(street)
    work = to_video(job.work)
    assert (work.prompt, work.aspect_ratio) == ("a red fox -- in snow", "9:16")
    assert (work.duration, work.resolution) == ("9s", "540p")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": "a red fox --seed 4"}, "belongs to other tools"),
        ({"prompt": "a red fox --arr 16:9"}, "Did you mean --ar?"),
        (
            {"prompt": "a red fox --ar 16:9", "aspect_ratio": "1:1"},
            "The aspect ratio in the prompt is another than the one beside it",
        ),
        ({"prompt": "a red fox --loop", "loop": False}, "The loop in the prompt is another"),
    ],
)
async def test_a_flag_that_cannot_be_followed_is_not_paid(
    street: Street, given: dict[str, object], says: str
) -> None:
    answer = await street.ana.answer(await street.ana.slash("ray create", **given))
    assert answer.is_ephemeral
    assert says in answer.content
    assert await all_jobs(street) == []


async def test_choices_are_what_the_provider_can_do(street: Street) -> None:
    [ray] = [each for each in street.discord.commands.all() if each["name"] == "ray"]
    [create] = [each for each in ray["options"] if each["name"] == "create"]
    offered = {
        each["name"]: [choice["value"] for choice in each["choices"]]
        for each in create["options"]
        if each.get("choices")
    }
    assert set(offered["model"]) == {
        each.model for each in street.house.studio.preferences.models()
    }
    assert set(offered["duration"]) == {"5s", "9s"}
    assert "21:9" in offered["aspect_ratio"]


async def test_camera_moves_are_suggested_while_they_are_typed(street: Street) -> None:
    found = await street.ana.autocomplete("ray create", "camera", "orbit l", prompt="a fox")
    assert found == [{"name": "orbit left", "value": "orbit_left"}]
    everything = await street.ana.autocomplete("ray create", "camera", "", prompt="a fox")
    assert len(everything) == 25


async def test_a_clip_goes_on_from_an_earlier_one(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a fox wakes")
    first = job_of(await street.clip())
    await street.ana.slash("ray create", prompt="it runs away", start_frame_url=first)
    await street.discord.wait_message(
        street.general, lambda each: each.attachments and "runs away" in each.content, seconds=15
    )
    newest, _ = await all_jobs(street)
    assert to_video(newest.work).start_frame == ClipFrame(job_id=first)


async def test_a_link_to_a_private_address_is_refused_in_private(street: Street) -> None:
    asked = await street.ana.slash(
        "ray create", prompt="a fox", start_frame_url="http://127.0.0.1/fox.png"
    )
    answer = await street.ana.answer(asked)
    assert answer.is_ephemeral
    assert "public address" in answer.content
    assert street.discord.said(street.general) == []


async def test_an_image_and_a_link_for_one_end_are_not_mixed(street: Street) -> None:
    asked = await street.ana.slash(
        "ray create",
        prompt="a fox",
        start_frame=picture(),
        start_frame_url="https://example.org/fox.png",
    )
    assert "not both" in (await street.ana.answer(asked)).content
    assert await all_jobs(street) == []


async def test_what_people_write_calls_nobody_and_forms_nothing(street: Street) -> None:
    prompt = f"@everyone <@{street.ben.id}> **bold** ||no|| [x](https://example.org) `code`"
    await street.ana.slash("ray create", prompt=prompt)
    await street.clip()
    assert street.discord.pinged() == Pings(users={street.ana.id})


# ---- where the answer goes ----------------------------------------------------------------------


async def test_in_a_thread_the_clip_comes_into_the_thread(street: Street) -> None:
    said = await street.ana.say(street.general, "let us see")
    thread = await street.ana.open_thread(said, "foxes")
    await street.ana.slash("ray create", thread, prompt="a fox")
    await street.clip(thread)
    assert street.discord.said(street.general) == []


async def test_in_a_forum_post_the_clip_comes_into_the_post(street: Street) -> None:
    forum = street.discord.channel(street.guild, "ideas", Kind.FORUM)
    post = await street.ana.post(forum, "A fox", "please")
    await street.ana.slash("ray create", post, prompt="a fox")
    await street.clip(post)


async def test_a_request_may_have_a_thread_of_its_own(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"})
    asked = await street.ana.slash("ray create", prompt="a red fox in snow")
    answer = await street.ana.answer(asked)
    [thread] = [each for each in street.guild.channels.values() if each.is_thread]
    assert (thread.name, thread.kind) == ("a red fox in snow", Kind.PUBLIC_THREAD)
    clip = await street.clip(thread)
    [status] = [each for each in street.discord.said(thread) if each is not clip]
    assert f"/{thread.id}/{status.id}" in answer.content
    assert street.discord.said(street.general) == []
    # Under a clip in its thread the next one comes into the same.
    await street.ana.click(clip, "Variation")
    await street.discord.wait_for(lambda: len(street.clips(thread)) == 2, 15)


async def test_only_channels_that_ask_for_it_have_threads(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new", "thread_channels": [1]})
    await street.ana.slash("ray create", prompt="a red fox in snow")
    await street.clip(street.general)
    assert not any(each.is_thread for each in street.guild.channels.values())


async def test_a_mention_has_its_thread_at_its_message(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"})
    said = await street.ana.say(street.general, f"{street.discord.app.bot.mention} a fox")
    thread = await street.discord.wait_for(lambda: said.thread)
    assert thread is not None
    assert (thread.id, thread.name) == (said.id, "a fox")
    await street.clip(thread)
    assert street.discord.said(street.general) == []


async def test_a_thread_that_was_opened_unheard_is_used(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"})
    street.discord.faults.drop("POST", "/threads$", when="after")
    said = await street.ana.say(street.general, f"{street.discord.app.bot.mention} a fox")
    thread = await street.discord.wait_for(lambda: said.thread)
    assert thread is not None
    await street.hurry(lambda: street.clips(thread))
    codes = [each.code for each in street.discord.requests_to("POST", "/threads$")]
    assert codes[1:] == [160004]
    assert street.discord.said(street.general) == []


async def test_a_restart_finds_the_thread_again(town: Town) -> None:
    async with town.street({"thread": "new"}) as street:
        town.simulator.faults.slow(100_000)
        await street.ana.answer(await street.ana.slash("ray create", prompt="a fox"))
        await town.simulator.wait_for_creates(1)
        [thread] = [each for each in street.guild.channels.values() if each.is_thread]
    async with town.street({"thread": "new"}) as street:
        [generation] = town.simulator.generations.values()
        await town.simulator.finish(generation.id)
        await street.clip(thread)
        assert len(street.discord.requests_to("POST", "/threads$")) == 1


async def remembered(street: Street) -> list[str]:
    """What is kept about jobs for the adapter."""
    scopes = select(schema.settings.c.scope).where(schema.settings.c.scope.startswith("job:"))
    return list(
        await street.house.app.database.read(lambda conn: conn.execute(scopes).scalars().all())
    )


async def test_the_thread_of_a_job_is_remembered_until_it_has_ended(town: Town) -> None:
    async with town.street({"thread": "new"}) as street:
        town.simulator.faults.slow(1_000_000)
        await street.ana.answer(await street.ana.slash("ray create", prompt="a fox"))
        await town.simulator.wait_for_creates(1)
        [thread] = [each for each in street.guild.channels.values() if each.is_thread]
        street.later(days=4)
    async with town.street({"thread": "new"}) as street:
        street.later(hours=2)
        assert len(await remembered(street)) == 1
        [generation] = town.simulator.generations.values()
        await town.simulator.finish(generation.id)
        await street.hurry(lambda: street.clips(thread), minutes=5)
        await finished(street, thread)
        street.later(days=4)
        async with asyncio.timeout(15):
            while await remembered(street):
                # A round that had begun before those days began forgets nothing yet.
                street.later(hours=2)
                await asyncio.sleep(0.05)
        assert len(street.discord.requests_to("POST", "/threads$")) == 1


async def test_the_thread_of_a_spoiler_tells_nothing(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"})
    secret = ("SPOILER_end.png", picture())
    asked = await street.ana.slash("ray animate", image=secret, prompt="the fox dies")
    await street.ana.answer(asked)
    [thread] = [each for each in street.guild.channels.values() if each.is_thread]
    assert thread.name.startswith("r-")


async def test_a_refused_request_opens_no_thread(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"}, limits={"clips_per_person_per_day": 0})
    asked = await street.ana.slash("ray create", prompt="a fox")
    assert "limit" in (await street.ana.answer(asked)).content
    assert not any(each.is_thread for each in street.guild.channels.values())


async def test_where_no_thread_can_be_opened_the_channel_takes_it(open_street: OpenStreet) -> None:
    street = await open_street({"thread": "new"})
    street.guild.most_active_threads = 0
    await street.ana.slash("ray create", prompt="a fox")
    await street.clip()
    no_threads = Permission.CREATE_PUBLIC_THREADS
    street.discord.overwrite(street.general, street.discord.app.bot, deny=no_threads)
    await street.ana.slash("ray create", prompt="another fox")
    await street.discord.wait_for(lambda: len(street.clips()) == 2, 15)
    [refused] = street.discord.requests_to("POST", "/threads$")
    assert refused.code == 160006


# ---- pages --------------------------------------------------------------------------------------


async def test_jobs_are_listed_with_the_way_to_each(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    listed = await street.ana.answer(await street.ana.slash("ray jobs"))
    assert listed.is_ephemeral
    assert job_of(clip) in listed.content
    assert f"/{clip.id}" in listed.content
    other = await street.ana.answer(await street.ana.slash("ray jobs", search="whale"))
    assert job_of(clip) not in other.content


async def test_show_brings_the_clip_again(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    shown = await street.ana.answer(await street.ana.slash("ray show", id=job_of(clip)))
    assert shown.is_ephemeral
    assert list(shown.files.values()) == list(clip.files.values())
    # The post goes first and what is kept of it then: only the answer comes after both.
    told = await street.delete(street.ana, shown)
    assert "is deleted" in told.content
    assert clip.is_deleted
    gone = await street.ana.answer(await street.ana.slash("ray show", id=job_of(clip)))
    assert gone.files == {}


async def test_a_clip_too_large_for_an_answer_is_still_told_of(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    clip = await finished(street)
    street.discord.faults.error("PATCH", "/@original$", 413, 40005)
    shown = await street.ana.answer(await street.ana.slash("ray show", id=job_of(clip)))
    assert shown.files == {}
    assert "too large" in shown.content


async def test_an_id_that_is_none_is_told_so(street: Street) -> None:
    for typed, says in (("whatever", "looks like"), ("r-00000zzzz", "no job")):
        answer = await street.ana.answer(await street.ana.slash("ray show", id=typed))
        assert says in answer.content
        answer = await street.ana.answer(await street.ana.slash("ray cancel", id=typed))
        assert says in answer.content


async def test_usage_counts_what_was_made(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    await street.clip()
    answer = await street.ana.answer(await street.ana.slash("ray usage"))
    assert answer.is_ephemeral
    assert "Your usage" in answer.content
    assert re.search(r"delivered, <t:\d+:f>, \$", answer.content)


async def test_own_settings_win_over_the_channels_and_are_taken_back(street: Street) -> None:
    shown = await street.ana.answer(
        await street.ana.slash("ray settings", setting="aspect_ratio", value="9:16")
    )
    assert re.search(r"aspect_ratio +9:16 +you", shown.content)
    await street.ana.slash("ray create", prompt="a red fox")
    assert "9:16" in (await street.clip()).content.replace("\\", "")
    shown = await street.ana.answer(await street.ana.slash("ray settings", setting="aspect_ratio"))
    assert re.search(r"aspect_ratio +1:1 +the operator", shown.content)
    wrong = await street.ana.answer(
        await street.ana.slash("ray settings", setting="duration", value="7s")
    )
    assert wrong.is_ephemeral
    assert "7s is not possible" in wrong.content
    assert "charged" not in wrong.content


async def test_help_names_commands_that_can_be_clicked(street: Street) -> None:
    answer = await street.ana.answer(await street.ana.slash("ray help"))
    [ray] = [each for each in street.discord.commands.all() if each["name"] == "ray"]
    assert f"</ray create:{ray['id']}>" in answer.content
    assert "Apps → Animate with Ray" in answer.content
    assert "--ar" in answer.content
    assert "--private" not in answer.content, "here it is an option of the commands"
    assert "forget me" in answer.content, "the last of it has room, too"


# ---- what goes wrong on the wire ----------------------------------------------------------------


async def test_an_answer_that_came_too_late_starts_nothing(street: Street) -> None:
    street.discord.faults.error("POST", "/callback$", 404, 10062)
    await street.ana.slash("ray create", prompt="a fox")
    await street.discord.wait_request("POST", "/callback$")
    await street.ana.answer(await street.ana.slash("ray usage"))
    assert await all_jobs(street) == []


async def test_who_answers_second_starts_nothing(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a fox")
    deliver_again(street)
    await street.ana.answer(asked)
    await street.clip()
    again = await street.discord.wait_request("POST", "/callback$", count=2)
    assert again.code == 40060
    assert len(await all_jobs(street)) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 50027), (404, 10015), (404, 10008), (404, 10003), (403, 50001), (400, 50083)],
)
async def test_an_answer_that_cannot_be_ended_spoils_nothing(
    street: Street, caplog: pytest.LogCaptureFixture, status: int, code: int
) -> None:
    street.discord.faults.error("PATCH", "/@original$", status, code)
    await street.ana.slash("ray create", prompt="a fox")
    await finished(street)
    assert len(street.discord.requests_to("PATCH", "/@original$")) == 1
    assert "discord.fault" not in caplog.text
    await street.house.check_books()


async def test_a_lost_connection_while_answering_starts_nothing(street: Street) -> None:
    street.discord.faults.drop("POST", "/callback$", when="after")
    lost = await street.ana.slash("ray create", prompt="a fox")
    await street.discord.wait_for(lambda: lost.answer)
    await street.ana.answer(await street.ana.slash("ray usage"))
    assert await all_jobs(street) == []
