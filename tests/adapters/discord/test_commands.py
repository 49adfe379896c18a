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
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.discord_server import Channel, Kind, Message, Permission, Person, Pings

OpenCommunity = Callable[..., Awaitable[Community]]


async def all_jobs(community: Community) -> list[Job]:
    """Every job of Ana's, newest first."""
    person = f"discord:{community.guild.id}:{community.ana.id}"
    read = community.bot.app.database.read
    return list(await read(lambda conn: jobs.of_person(conn, person, search="", page=1)))


def job_of(message: Message) -> JobId:
    """The job that a message names."""
    found = re.search(r"`(r-[0-9a-z]+)`", message.content)
    assert found
    return JobId(found[1])


async def finished(community: Community, channel: Channel | None = None) -> Message:
    """The next clip in a channel, once its job is delivered for good."""
    clip = await community.clip(channel)
    await community.bot.delivered(job_of(clip))
    return clip


def deliver_again(community: Community) -> None:
    """Send the gateway's last event once more."""
    for session in community.discord.gateway.connected:
        assert session.connection is not None
        session.connection.put(session.log[-1][1])


# ---- asking ------------------------------------------------------------------------------------


async def test_a_prompt_becomes_a_clip_in_the_channel(community: Community) -> None:
    asked = await community.ana.slash("ray create", prompt="a red fox in snow")
    answer = await community.ana.answer(asked)
    clip = await community.clip()
    assert answer.is_ephemeral
    assert "a red fox in snow" in clip.content
    assert clip.attachments[0].filename.endswith(".mp4")
    assert clip.pings.users == {community.ana.id}
    [status] = [each for each in community.discord.said(community.general) if not each.attachments]
    assert f"/{status.id}" in answer.content
    await community.bot.check_books()


async def test_what_is_under_way_says_who_asked_and_calls_nobody(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)

    async def ask(person: Person) -> None:
        await person.slash("ray create", prompt="a red fox")
        who = f"<@{person.id}>"
        status = await community.discord.wait_message(
            community.general, lambda each: who in each.content
        )
        first = status.content
        await community.hurry(lambda: status.content != first)
        assert who in status.content
        assert status.pings.users == set()

    await ask(community.ana)
    await ask(community.ben)


async def test_whom_and_what_a_command_names_is_in_the_prompt_by_name(
    community: Community,
) -> None:
    community.guild.members[community.ben.id].nick = "Benny"
    role = community.guild.bot_role
    words = f"{community.ben.mention} and <@&{role.id}> ride <:red_fox:77>"
    await community.ana.slash("ray create", prompt=words)
    await community.clip()
    [job] = await all_jobs(community)
    assert job.work.prompt == f"Benny and {role.name} ride red fox"


async def test_a_picture_is_animated(community: Community) -> None:
    await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    clip = await community.clip()
    assert "16\\:9, the nearest to your image" in clip.content


async def test_every_option_counts(community: Community) -> None:
    await community.ana.slash(
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
    await community.clip()
    [job] = await all_jobs(community)
    work = to_video(job.work)
    assert (work.model, work.aspect_ratio, work.resolution) == ("ray-2", "9:16", "540p")
    assert (work.duration, work.loop, work.concepts) == ("9s", False, ("zoom_in",))
    assert job.plan is not None
    assert job.plan.start_frame is not None
    assert job.plan.end_frame is not None


async def test_flags_among_the_words_are_read_as_in_a_message(community: Community) -> None:
    words = "a red fox -- in snow --ar 9:16 --dur 9s"
    await community.ana.slash("ray create", prompt=words, resolution="540p", duration="9s")
    await community.clip()
    [job] = await all_jobs(community)
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
    community: Community, given: dict[str, object], says: str
) -> None:
    answer = await community.ana.answer(await community.ana.slash("ray create", **given))
    assert answer.is_ephemeral
    assert says in answer.content
    assert await all_jobs(community) == []


async def test_choices_are_what_the_provider_can_do(community: Community) -> None:
    [ray] = [each for each in community.discord.commands.all() if each["name"] == "ray"]
    [create] = [each for each in ray["options"] if each["name"] == "create"]
    offered = {
        each["name"]: [choice["value"] for choice in each["choices"]]
        for each in create["options"]
        if each.get("choices")
    }
    assert set(offered["model"]) == {
        each.model for each in community.bot.studio.preferences.models()
    }
    assert set(offered["duration"]) == {"5s", "9s"}
    assert "21:9" in offered["aspect_ratio"]


async def test_camera_moves_are_suggested_while_they_are_typed(community: Community) -> None:
    found = await community.ana.autocomplete("ray create", "camera", "orbit l", prompt="a fox")
    assert found == [{"name": "orbit left", "value": "orbit_left"}]
    everything = await community.ana.autocomplete("ray create", "camera", "", prompt="a fox")
    assert len(everything) == 25


async def test_a_clip_goes_on_from_an_earlier_one(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a fox wakes")
    first = job_of(await community.clip())
    await community.ana.slash("ray create", prompt="it runs away", start_frame_url=first)
    await community.discord.wait_message(
        community.general,
        lambda each: each.attachments and "runs away" in each.content,
    )
    newest, _ = await all_jobs(community)
    assert to_video(newest.work).start_frame == ClipFrame(job_id=first)


async def test_a_link_to_a_private_address_is_refused_in_private(community: Community) -> None:
    asked = await community.ana.slash(
        "ray create", prompt="a fox", start_frame_url="http://127.0.0.1/fox.png"
    )
    answer = await community.ana.answer(asked)
    assert answer.is_ephemeral
    assert "public address" in answer.content
    assert community.discord.said(community.general) == []


async def test_an_image_and_a_link_for_one_end_are_not_mixed(community: Community) -> None:
    asked = await community.ana.slash(
        "ray create",
        prompt="a fox",
        start_frame=picture(),
        start_frame_url="https://example.org/fox.png",
    )
    assert "not both" in (await community.ana.answer(asked)).content
    assert await all_jobs(community) == []


async def test_what_people_write_calls_nobody_and_forms_nothing(community: Community) -> None:
    prompt = f"@everyone <@{community.ben.id}> **bold** ||no|| [x](https://example.org) `code`"
    await community.ana.slash("ray create", prompt=prompt)
    await community.clip()
    assert community.discord.pinged() == Pings(users={community.ana.id})


# ---- where the answer goes ----------------------------------------------------------------------


async def test_in_a_thread_the_clip_comes_into_the_thread(community: Community) -> None:
    said = await community.ana.say(community.general, "let us see")
    thread = await community.ana.open_thread(said, "foxes")
    await community.ana.slash("ray create", thread, prompt="a fox")
    await community.clip(thread)
    assert community.discord.said(community.general) == []


async def test_in_a_forum_post_the_clip_comes_into_the_post(community: Community) -> None:
    forum = community.discord.channel(community.guild, "ideas", Kind.FORUM)
    post = await community.ana.post(forum, "A fox", "please")
    await community.ana.slash("ray create", post, prompt="a fox")
    await community.clip(post)


async def test_a_request_may_have_a_thread_of_its_own(open_community: OpenCommunity) -> None:
    community = await open_community({"thread": "new"})
    asked = await community.ana.slash("ray create", prompt="a red fox in snow")
    answer = await community.ana.answer(asked)
    [thread] = [each for each in community.guild.channels.values() if each.is_thread]
    assert (thread.name, thread.kind) == ("a red fox in snow", Kind.PUBLIC_THREAD)
    clip = await community.clip(thread)
    [status] = [each for each in community.discord.said(thread) if each is not clip]
    assert f"/{thread.id}/{status.id}" in answer.content
    assert community.discord.said(community.general) == []
    # Under a clip in its thread the next one comes into the same.
    await community.ana.click(clip, "Variation")
    await community.discord.wait_for(lambda: len(community.clips(thread)) == 2, 30)


async def test_only_channels_that_ask_for_it_have_threads(open_community: OpenCommunity) -> None:
    community = await open_community({"thread": "new", "thread_channels": [1]})
    await community.ana.slash("ray create", prompt="a red fox in snow")
    await community.clip(community.general)
    assert not any(each.is_thread for each in community.guild.channels.values())


async def test_a_mention_has_its_thread_at_its_message(open_community: OpenCommunity) -> None:
    community = await open_community({"thread": "new"})
    said = await community.ana.say(community.general, f"{community.discord.app.bot.mention} a fox")
    thread = await community.discord.wait_for(lambda: said.thread)
    assert thread is not None
    assert (thread.id, thread.name) == (said.id, "a fox")
    await community.clip(thread)
    assert community.discord.said(community.general) == []


def threads_of(community: Community) -> list[Channel]:
    return [each for each in community.guild.channels.values() if each.is_thread]


@pytest.mark.parametrize("status", [None, 503])
async def test_a_thread_that_was_opened_unheard_is_used(
    open_community: OpenCommunity, status: int | None
) -> None:
    community = await open_community({"thread": "new"})
    if status is None:
        community.discord.faults.drop("POST", "/threads$", when="after")
    else:
        community.discord.faults.add("POST", "/threads$", status=status, when="after")
    said = await community.ana.say(community.general, f"{community.discord.app.bot.mention} a fox")
    thread = await community.discord.wait_for(lambda: said.thread)
    assert thread is not None
    await community.hurry(lambda: community.clips(thread))
    codes = [each.code for each in community.discord.requests_to("POST", "/threads$")]
    assert codes[1:] == [160004]
    assert community.discord.said(community.general) == []


async def test_a_threads_answer_that_is_lost_opens_no_second_one(
    open_community: OpenCommunity,
) -> None:
    community = await open_community({"thread": "new"})
    await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    community.discord.faults.add("POST", "/threads$", status=502, when="after")
    await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_for(lambda: len(threads_of(community)) > 1)
    await community.hurry(lambda: all(community.clips(each) for each in threads_of(community)))
    assert len(threads_of(community)) == 2
    assert community.discord.said(community.general) == []


@pytest.mark.parametrize("is_mention", [False, True])
async def test_who_ask_alike_have_a_thread_each_although_an_answer_is_lost(
    open_community: OpenCommunity, is_mention: bool
) -> None:
    community = await open_community({"thread": "new"})
    opening = "POST", "/threads$"
    community.discord.faults.add(*opening, status=502, when="after")
    await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_for(lambda: threads_of(community))
    answer = community.discord.faults.hold(*opening, when="after")
    if is_mention:
        await community.ben.say(community.general, f"{community.discord.app.bot.mention} a fox")
    else:
        await community.ben.slash("ray create", prompt="a fox")
    await asyncio.wait_for(answer.reached.wait(), 30)
    # Ben's thread is there, and the bot does not know of it when it looks for Ana's.
    for _ in range(3):
        await community.bot.clock.let_pass(seconds=2)
    answer.open()
    await community.hurry(lambda: all(community.clips(each) for each in threads_of(community)))
    assert len(threads_of(community)) == 2


async def test_who_ask_alike_have_a_thread_each_although_the_process_ends(
    local_discord: LocalDiscord,
) -> None:
    faults = local_discord.discord.faults
    opening, saying = ("POST", "/threads$"), ("POST", r"^/channels/\d+/messages$")
    looking = "GET", "/threads/active$"
    async with local_discord.community({"thread": "new"}) as community:
        faults.add(*opening, status=503, when="after")
        faults.add(*looking, status=503, times=1000)
        await community.ana.slash("ray create", prompt="a fox")
        await community.discord.wait_for(lambda: threads_of(community))
        faults.add(*saying, status=503, times=1000)
        await community.ben.slash("ray create", prompt="a fox")
        await community.discord.wait_for(lambda: community.discord.requests_to(*saying))
    async with local_discord.community({"thread": "new"}) as community:
        # Ben's is remembered, and nothing is said in it yet when Ana's is looked for.
        faults.clear()
        faults.add(*saying, status=503, times=1000)
        await community.hurry(
            lambda: any(each.status == 200 for each in community.discord.requests_to(*looking))
        )
        faults.clear()
        await community.hurry(lambda: all(community.clips(each) for each in threads_of(community)))
        assert len(threads_of(community)) == 2


async def test_a_thread_that_discord_cannot_open_is_asked_for_ever_more_rarely(
    open_community: OpenCommunity,
) -> None:
    community = await open_community({"thread": "new"})
    asked = "POST", "/threads$"
    community.discord.faults.add(*asked, status=503, times=1000)
    await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_for(lambda: len(community.discord.requests_to(*asked)) > 0)
    for _ in range(15):
        await community.bot.clock.let_pass(seconds=2)
    assert len(community.discord.requests_to(*asked)) <= 12


async def test_a_restart_finds_the_thread_again(local_discord: LocalDiscord) -> None:
    async with local_discord.community({"thread": "new"}) as community:
        local_discord.simulator.faults.slow(100_000)
        await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
        await local_discord.simulator.wait_for_creates(1)
        [thread] = [each for each in community.guild.channels.values() if each.is_thread]
    async with local_discord.community({"thread": "new"}) as community:
        [generation] = local_discord.simulator.generations.values()
        await local_discord.simulator.finish(generation.id)
        await community.clip(thread)
        assert len(community.discord.requests_to("POST", "/threads$")) == 1


async def remembered(community: Community) -> list[str]:
    """What is kept about jobs for the adapter."""
    scopes = select(schema.settings.c.scope).where(schema.settings.c.scope.startswith("job:"))
    return list(
        await community.bot.app.database.read(lambda conn: conn.execute(scopes).scalars().all())
    )


async def test_the_thread_of_a_job_is_remembered_until_it_has_ended(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community({"thread": "new"}) as community:
        local_discord.simulator.faults.slow(1_000_000)
        await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
        await local_discord.simulator.wait_for_creates(1)
        [thread] = [each for each in community.guild.channels.values() if each.is_thread]
        community.later(days=4)
    async with local_discord.community({"thread": "new"}) as community:
        community.later(hours=2)
        assert len(await remembered(community)) == 1
        [generation] = local_discord.simulator.generations.values()
        await local_discord.simulator.finish(generation.id)
        await community.hurry(lambda: community.clips(thread), minutes=5)
        await finished(community, thread)
        community.later(days=4)
        async with asyncio.timeout(30):
            while await remembered(community):
                # A round that had begun before those days began forgets nothing yet.
                community.later(hours=2)
                await asyncio.sleep(0.05)
        assert len(community.discord.requests_to("POST", "/threads$")) == 1


async def test_the_thread_of_a_spoiler_tells_nothing(open_community: OpenCommunity) -> None:
    community = await open_community({"thread": "new"})
    secret = ("SPOILER_end.png", picture())
    asked = await community.ana.slash("ray animate", image=secret, prompt="the fox dies")
    await community.ana.answer(asked)
    [thread] = [each for each in community.guild.channels.values() if each.is_thread]
    assert thread.name.startswith("r-")


async def test_a_refused_request_opens_no_thread(open_community: OpenCommunity) -> None:
    community = await open_community({"thread": "new"}, limits={"clips_per_person_per_day": 0})
    asked = await community.ana.slash("ray create", prompt="a fox")
    assert "limit" in (await community.ana.answer(asked)).content
    assert not any(each.is_thread for each in community.guild.channels.values())


async def test_where_no_thread_can_be_opened_the_channel_takes_it(
    open_community: OpenCommunity,
) -> None:
    community = await open_community({"thread": "new"})
    community.guild.most_active_threads = 0
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()
    no_threads = Permission.CREATE_PUBLIC_THREADS
    community.discord.overwrite(community.general, community.discord.app.bot, deny=no_threads)
    await community.ana.slash("ray create", prompt="another fox")
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    [refused] = community.discord.requests_to("POST", "/threads$")
    assert refused.code == 160006


# ---- pages --------------------------------------------------------------------------------------


async def test_jobs_are_listed_with_the_way_to_each(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    listed = await community.ana.answer(await community.ana.slash("ray jobs"))
    assert listed.is_ephemeral
    assert job_of(clip) in listed.content
    assert f"/{clip.id}" in listed.content
    other = await community.ana.answer(await community.ana.slash("ray jobs", search="whale"))
    assert job_of(clip) not in other.content


async def test_show_brings_the_clip_again(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    shown = await community.ana.answer(await community.ana.slash("ray show", id=job_of(clip)))
    assert shown.is_ephemeral
    assert list(shown.files.values()) == list(clip.files.values())
    # The post goes first and what is kept of it then: only the answer comes after both.
    told = await community.delete(community.ana, shown)
    assert "is deleted" in told.content
    assert clip.is_deleted
    gone = await community.ana.answer(await community.ana.slash("ray show", id=job_of(clip)))
    assert gone.files == {}


async def test_a_clip_too_large_for_an_answer_is_still_told_of(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    clip = await finished(community)
    community.discord.faults.error("PATCH", "/@original$", 413, 40005)
    shown = await community.ana.answer(await community.ana.slash("ray show", id=job_of(clip)))
    assert shown.files == {}
    assert "too large" in shown.content


async def test_an_id_that_is_none_is_told_so(community: Community) -> None:
    for typed, says in (("whatever", "looks like"), ("r-00000zzzz", "no job")):
        answer = await community.ana.answer(await community.ana.slash("ray show", id=typed))
        assert says in answer.content
        answer = await community.ana.answer(await community.ana.slash("ray cancel", id=typed))
        assert says in answer.content


async def test_usage_counts_what_was_made(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    await finished(community)
    answer = await community.ana.answer(await community.ana.slash("ray usage"))
    assert answer.is_ephemeral
    assert "Your usage" in answer.content
    assert re.search(r"delivered, <t:\d+:f>, \$", answer.content)


async def test_own_settings_win_over_the_channels_and_are_taken_back(community: Community) -> None:
    shown = await community.ana.answer(
        await community.ana.slash("ray settings", setting="aspect_ratio", value="9:16")
    )
    assert re.search(r"aspect_ratio +9:16 +you", shown.content)
    await community.ana.slash("ray create", prompt="a red fox")
    assert "9:16" in (await community.clip()).content.replace("\\", "")
    shown = await community.ana.answer(
        await community.ana.slash("ray settings", setting="aspect_ratio")
    )
    assert re.search(r"aspect_ratio +1:1 +the operator", shown.content)
    wrong = await community.ana.answer(
        await community.ana.slash("ray settings", setting="duration", value="7s")
    )
    assert wrong.is_ephemeral
    assert "7s is not possible" in wrong.content
    assert "charged" not in wrong.content
    # Ten seconds are made elsewhere, and by no service that is here.
    wrong = await community.ana.answer(
        await community.ana.slash("ray create", prompt="a fox --12s")
    )
    assert "The nearest is 9s; all: 5s, 9s." in wrong.content


async def test_help_names_commands_that_can_be_clicked(community: Community) -> None:
    answer = await community.ana.answer(await community.ana.slash("ray help"))
    [ray] = [each for each in community.discord.commands.all() if each["name"] == "ray"]
    assert f"</ray create:{ray['id']}>" in answer.content
    assert "Apps → Animate with Ray" in answer.content
    assert "--ar" in answer.content
    assert "--private" not in answer.content, "here it is an option of the commands"
    assert "forget me" in answer.content, "the last of it has room, too"


# ---- what goes wrong on the wire ----------------------------------------------------------------


async def test_an_answer_that_came_too_late_starts_nothing(community: Community) -> None:
    community.discord.faults.error("POST", "/callback$", 404, 10062)
    await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_request("POST", "/callback$")
    await community.ana.answer(await community.ana.slash("ray usage"))
    assert await all_jobs(community) == []


async def test_who_answers_second_starts_nothing(community: Community) -> None:
    asked = await community.ana.slash("ray create", prompt="a fox")
    deliver_again(community)
    await community.ana.answer(asked)
    await community.clip()
    again = await community.discord.wait_request("POST", "/callback$", count=2)
    assert again.code == 40060
    assert len(await all_jobs(community)) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 50027), (404, 10015), (404, 10008), (404, 10003), (403, 50001), (400, 50083)],
)
async def test_an_answer_that_cannot_be_ended_spoils_nothing(
    community: Community, caplog: pytest.LogCaptureFixture, status: int, code: int
) -> None:
    community.discord.faults.error("PATCH", "/@original$", status, code)
    await community.ana.slash("ray create", prompt="a fox")
    await finished(community)
    assert len(community.discord.requests_to("PATCH", "/@original$")) == 1
    assert "discord.fault" not in caplog.text
    await community.bot.check_books()


@pytest.mark.parametrize("how", ["said to be an error", "cut off"])
async def test_nobody_is_left_thinking_where_only_the_answer_of_discord_was_lost(
    community: Community, how: str
) -> None:
    faults = community.discord.faults
    if how == "cut off":
        faults.drop("POST", "/callback$", when="after")
    else:
        faults.add("POST", "/callback$", status=502, when="after")
    lost = await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_for(lambda: lost.answer)
    if how != "cut off":
        again = await community.discord.wait_request("POST", "/callback$", count=2)
        assert again.code == 40060
    await community.hurry(lambda: lost.original and not lost.original.is_loading)
    assert lost.original is not None
    assert "nothing was started. Please ask again" in lost.original.content
    assert await all_jobs(community) == []


async def test_a_lost_connection_while_answering_starts_nothing(community: Community) -> None:
    community.discord.faults.drop("POST", "/callback$", when="after")
    lost = await community.ana.slash("ray create", prompt="a fox")
    await community.discord.wait_for(lambda: lost.answer)
    await community.ana.answer(await community.ana.slash("ray usage"))
    assert await all_jobs(community) == []
