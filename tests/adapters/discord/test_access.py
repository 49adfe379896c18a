"""Who may ask where: closed by default, and a stranger can never spend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from bot.request import to_video
from bot.store import jobs
from tests.adapters.discord.conftest import GUILD, Community, LocalDiscord, picture
from tests.adapters.discord.test_commands import all_jobs, finished
from tests.adapters.discord.test_private import private_clip
from tests.discord_server import Channel, Intent, Message, Permission, Person

OpenCommunity = Callable[..., Awaitable[Community]]
EVER = datetime(2025, 1, 1, tzinfo=UTC)
OPEN = {"servers": [str(GUILD)], "user_installs": True, "direct_messages": True}


async def nothing_was_spent(community: Community) -> None:
    """No job, no hold, nothing at the video service."""
    everything = await community.bot.app.database.read(lambda conn: jobs.worth_showing(conn, EVER))
    assert list(everything) == []
    assert community.bot.simulator.generations == {}
    await community.bot.check_books()


async def refused(community: Community, person: Person, channel: Channel) -> Message:
    """What somebody is told who may not ask there."""
    asked = await person.slash("ray create", channel, prompt="a fox")
    answer = await person.answer(asked)
    assert answer.is_ephemeral
    return answer


# ---- people who bring the bot along ------------------------------------------------------------


def abroad(community: Community, person: Person) -> Channel:
    """A channel of a server that does not have the bot, where this person is a member."""
    guild = community.discord.guild("Wolves", has_bot=False)
    community.discord.world.join(guild, person.user)
    person.install_app()
    return next(iter(guild.channels.values()))


async def test_a_personal_install_is_closed_by_default(community: Community) -> None:
    there = abroad(community, community.ana)
    answer = await refused(community, community.ana, there)
    assert "no requests as a personal app" in answer.content
    await nothing_was_spent(community)


async def test_an_open_personal_install_answers_its_person_alone(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    there = abroad(community, community.ana)
    asked = await community.ana.slash("ray create", there, prompt="a fox", start_frame=picture())
    clip = await private_clip(community, asked)
    assert clip.is_ephemeral
    [job] = await all_jobs(community)
    assert job.request.requester.tenant == f"discord:{GUILD}"
    assert community.discord.said(there) == []
    # Discord takes five further answers from such an app, and we send none.
    assert community.discord.requests_to("POST", "^/webhooks/") == []
    await community.bot.delivered(job.id)
    await community.bot.check_books()


async def test_the_menu_works_abroad_too(open_community: OpenCommunity) -> None:
    community = await open_community(access=OPEN)
    there = abroad(community, community.ana)
    shown = await community.ana.say(there, files=[picture()])
    asked = await community.ana.message_command("Animate with Ray", shown)
    await community.ana.modal(asked)
    sent = await community.ana.submit_modal(asked, {"Prompt": "it turns"})
    assert (await private_clip(community, sent)).is_ephemeral
    # Nobody gives us that message again, so that the copy of its image is not soon swept.
    media = community.bot.config.bot.data_dir / "media"
    assert len(list(media.glob("uploads/*/*.jpg"))) == 1


async def test_in_a_conversation_of_others_the_answer_is_private(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    community.ana.install_app()
    with_ben = community.discord.world.direct(community.ana.user, community.ben.user)
    asked = await community.ana.slash("ray create", with_ben, prompt="a fox")
    assert (await private_clip(community, asked)).is_ephemeral
    assert community.discord.said(with_ben) == []


async def test_a_stranger_with_a_personal_install_spends_nothing(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    eve = community.discord.person("Eve")
    there = abroad(community, eve)
    for _ in range(2):
        answer = await refused(community, eve, there)
        assert "only members of a place" in answer.content
    await nothing_was_spent(community)


async def test_who_left_the_home_is_a_stranger(open_community: OpenCommunity) -> None:
    community = await open_community(access=OPEN)
    there = abroad(community, community.ana)
    asked = await community.ana.slash("ray create", there, prompt="a fox")
    await private_clip(community, asked)
    del community.guild.members[community.ana.id]
    answer = await refused(community, community.ana, there)
    assert "only members of a place" in answer.content


async def test_rights_held_abroad_are_none_at_home(open_community: OpenCommunity) -> None:
    community = await open_community(access=OPEN)
    community.ana.install_app()
    guild = community.discord.guild("Wolves", has_bot=False)
    community.discord.world.join(guild, community.ana.user)
    rights = Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES
    community.discord.role(guild, "wolf", community.ana, allows=rights)
    there = next(iter(guild.channels.values()))
    refusal = await community.ana.answer(await community.ana.slash("ray-admin pause", there))
    assert "only in the place itself" in refusal.content
    await community.ben.slash("ray create", prompt="Ben's fox")
    clip = await finished(community)
    [job] = await community.bot.app.database.read(lambda conn: jobs.worth_showing(conn, EVER))
    refusal = await community.ana.answer(await community.ana.slash("ray cancel", there, id=job))
    assert "somebody else's" in refusal.content
    assert not clip.is_deleted


async def test_time_at_home_counts_for_who_asks_from_abroad(local_discord: LocalDiscord) -> None:
    newcomer = local_discord.discord.person("Nia", local_discord.guild, member_days=1)
    async with local_discord.community(access=OPEN, limits={"min_member_days": 7}) as community:
        answer = await refused(community, newcomer, abroad(community, newcomer))
        assert "7 days after you joined" in answer.content
        await nothing_was_spent(community)


# ---- direct messages ---------------------------------------------------------------------------


async def test_direct_messages_are_closed_by_default(community: Community) -> None:
    await community.ana.say(community.ana.dm, "a red fox")
    told = await community.discord.wait_message(community.ana.dm)
    assert "no requests in direct messages" in told.content
    assert "in a server or workspace that has me." in told.content
    assert "operator" not in told.content
    answer = await refused(community, community.ana, community.ana.dm)
    assert "no requests in direct messages" in answer.content
    await nothing_was_spent(community)


async def test_in_an_open_direct_message_no_mention_is_needed(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    await community.ana.say(community.ana.dm, "slow zoom --dur 9s", files=[("fox.png", picture())])
    clip = await finished(community, community.ana.dm)
    [job] = await all_jobs(community)
    assert (job.work.prompt, to_video(job.work).duration) == ("slow zoom", "9s")
    await community.ana.say(community.ana.dm, "it runs away", reply_to=clip)
    await community.discord.wait_for(lambda: len(community.clips(community.ana.dm)) == 2, 30)
    assert to_video((await all_jobs(community))[0].work).start_frame is not None


async def test_a_picture_forwarded_to_the_bot_is_animated(open_community: OpenCommunity) -> None:
    community = await open_community(access=OPEN)
    shown = await community.ben.say(community.general, files=[("fox.png", picture())])
    await community.ana.forward(shown, community.ana.dm)
    await community.clip(community.ana.dm)


async def test_commands_work_in_an_open_direct_message(open_community: OpenCommunity) -> None:
    community = await open_community(access=OPEN)
    asked = await community.ana.slash("ray create", community.ana.dm, prompt="a fox")
    answer = await community.ana.answer(asked)
    clip = await finished(community, community.ana.dm)
    assert "/channels/@me/" in answer.content
    await community.ana.click(clip, "Variation")
    await community.discord.wait_for(lambda: len(community.clips(community.ana.dm)) == 2, 30)


async def test_a_clip_can_be_shown_again_in_a_direct_message(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    await community.ana.say(community.ana.dm, "a red fox")
    await finished(community, community.ana.dm)
    [job] = await all_jobs(community)
    await community.ana.say(community.ana.dm, f"show {job.id}")
    await community.discord.wait_for(lambda: len(community.clips(community.ana.dm)) == 2)


async def test_a_stranger_in_a_direct_message_spends_nothing(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    eve = community.discord.person("Eve")
    await eve.say(eve.dm, "a red fox")
    told = await community.discord.wait_message(eve.dm)
    assert "only members of a place" in told.content
    await nothing_was_spent(community)


async def test_a_home_is_looked_for_in_several_servers_at_once(
    local_discord: LocalDiscord,
) -> None:
    wolves = local_discord.discord.guild("Wolves")
    eve = local_discord.discord.person("Eve", wolves)
    access = {**OPEN, "servers": [str(GUILD), str(wolves.id)]}
    async with local_discord.community(access=access) as community:
        members = ("GET", rf"^/guilds/\d+/members/{eve.id}$")
        gates = [community.discord.faults.hold(*members) for _ in range(2)]
        await eve.say(eve.dm, "usage")
        for gate in gates:
            await asyncio.wait_for(gate.reached.wait(), 30)
        for gate in gates:
            gate.open()
        told = await community.discord.wait_message(eve.dm)
        assert "Your usage" in told.content


async def test_a_form_that_a_long_look_holds_up_is_asked_for_again(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    look = community.discord.faults.hold("GET", rf"^/guilds/\d+/members/{community.ana.id}$")
    asked = await community.ana.slash("ray story", community.ana.dm)
    await asyncio.wait_for(look.reached.wait(), 30)
    await community.bot.clock.let_pass(seconds=2)
    await community.discord.wait_for(lambda: asked.answer is not None)
    look.open()
    assert "Please do that again" in (await community.ana.answer(asked)).content
    await community.ana.modal(await community.ana.slash("ray story", community.ana.dm))


async def test_a_stranger_for_whom_is_looked_long_is_refused_all_the_same(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(access=OPEN)
    eve = community.discord.person("Eve")
    look = community.discord.faults.hold("GET", rf"^/guilds/\d+/members/{eve.id}$")
    asked = await eve.slash("ray more", eve.dm, id="r-0000000000", act="remix")
    await asyncio.wait_for(look.reached.wait(), 30)
    await community.bot.clock.let_pass(seconds=2)
    await community.discord.wait_for(lambda: asked.answer is not None)
    look.open()
    assert "There is no job" in (await eve.answer(asked)).content


async def test_a_server_that_cannot_be_asked_hides_no_home_in_another(
    local_discord: LocalDiscord,
) -> None:
    wolves = local_discord.discord.guild("Wolves")
    access = {**OPEN, "servers": [str(GUILD), str(wolves.id)]}
    async with local_discord.community(access=access) as community:
        community.discord.faults.drop("GET", rf"^/guilds/{wolves.id}/members/", times=9)
        await community.ana.say(community.ana.dm, "usage")
        told = await community.discord.wait_message(community.ana.dm)
        assert "Your usage" in told.content


# ---- refusals ----------------------------------------------------------------------------------


async def test_a_closed_server_answers_mentions_too(open_community: OpenCommunity) -> None:
    community = await open_community(access={"servers": []})
    await community.ana.say(community.general, f"{community.discord.app.bot.mention} a fox")
    told = await community.discord.wait_message(community.ana.dm)
    assert "not set up for Raybot" in told.content
    assert community.discord.said(community.general) == []
    await nothing_was_spent(community)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"limits": {"clips_per_person_per_day": 0}}, "limit"),
        ({"limits": {"usd_per_person_per_day": 0.01}}, "limit"),
        ({"limits": {"min_member_days": 365}}, "365 days after you joined"),
        ({"moderation": {"require_age_restricted": True}}, "age-restricted channels"),
    ],
)
async def test_rules_refuse_in_private(
    open_community: OpenCommunity, tables: dict[str, dict[str, object]], says: str
) -> None:
    community = await open_community(**tables)
    answer = await refused(community, community.ana, community.general)
    assert says in answer.content
    assert community.discord.said(community.general) == []
    assert community.bot.simulator.generations == {}
    await community.bot.check_books()


async def test_an_age_restricted_channel_and_its_threads_may(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(moderation={"require_age_restricted": True})
    adults = community.discord.channel(community.guild, "adults", is_age_restricted=True)
    said = await community.ana.say(adults, "let us see")
    thread = await community.ana.open_thread(said, "foxes")
    await community.ana.slash("ray create", adults, prompt="a fox")
    await community.clip(adults)
    await community.ana.slash("ray create", thread, prompt="a fox")
    await community.clip(thread)


@pytest.mark.parametrize(
    ("denied", "name"),
    [
        (Permission.VIEW_CHANNEL, "View Channel"),
        (Permission.SEND_MESSAGES, "Send Messages"),
        (Permission.ATTACH_FILES, "Attach Files"),
    ],
)
async def test_a_missing_permission_is_named_before_anything_begins(
    community: Community, denied: Permission, name: str
) -> None:
    community.discord.overwrite(community.general, community.discord.app.bot, deny=denied)
    answer = await refused(community, community.ana, community.general)
    assert name in answer.content
    await nothing_was_spent(community)


async def test_in_a_thread_its_own_permission_counts(community: Community) -> None:
    said = await community.ana.say(community.general, "let us see")
    thread = await community.ana.open_thread(said, "foxes")
    denied = Permission.SEND_MESSAGES_IN_THREADS
    community.discord.overwrite(community.general, community.discord.app.bot, deny=denied)
    answer = await refused(community, community.ana, thread)
    assert "Send Messages in Threads" in answer.content
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()


async def test_the_intent_changes_nothing_about_who_may(local_discord: LocalDiscord) -> None:
    local_discord.discord.app.granted = Intent.MESSAGE_CONTENT
    async with local_discord.community() as community:
        eve = community.discord.person("Eve")
        await eve.say(eve.dm, "a red fox")
        await community.discord.wait_message(eve.dm)
        await nothing_was_spent(community)
