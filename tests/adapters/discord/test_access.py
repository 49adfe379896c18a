"""Who may ask where: closed by default, and a stranger can never spend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from bot.request import to_video
from bot.store import jobs
from tests.adapters.discord.conftest import GUILD, Street, Town, picture
from tests.adapters.discord.test_commands import all_jobs, finished
from tests.adapters.discord.test_private import private_clip
from tests.discord_server import Channel, Intent, Message, Permission, Person

OpenStreet = Callable[..., Awaitable[Street]]
EVER = datetime(2025, 1, 1, tzinfo=UTC)
OPEN = {"servers": [str(GUILD)], "user_installs": True, "direct_messages": True}


async def nothing_was_spent(street: Street) -> None:
    """No job, no hold, nothing at the video service."""
    everything = await street.house.app.database.read(lambda conn: jobs.worth_showing(conn, EVER))
    assert list(everything) == []
    assert street.house.simulator.generations == {}
    await street.house.check_books()


async def refused(street: Street, person: Person, channel: Channel) -> Message:
    """What somebody is told who may not ask there."""
    asked = await person.slash("ray create", channel, prompt="a fox")
    answer = await person.answer(asked)
    assert answer.is_ephemeral
    return answer


# ---- people who bring the bot along ------------------------------------------------------------


def abroad(street: Street, person: Person) -> Channel:
    """A channel of a server that does not have the bot, where this person is a member."""
    guild = street.discord.guild("Wolves", has_bot=False)
    street.discord.world.join(guild, person.user)
    person.install_app()
    return next(iter(guild.channels.values()))


async def test_a_personal_install_is_closed_by_default(street: Street) -> None:
    there = abroad(street, street.ana)
    answer = await refused(street, street.ana, there)
    assert "no requests as a personal app" in answer.content
    await nothing_was_spent(street)


async def test_an_open_personal_install_answers_its_person_alone(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    there = abroad(street, street.ana)
    asked = await street.ana.slash("ray create", there, prompt="a fox", start_frame=picture())
    clip = await private_clip(street, asked)
    assert clip.is_ephemeral
    [job] = await all_jobs(street)
    assert job.request.requester.tenant == f"discord:{GUILD}"
    assert street.discord.said(there) == []
    # Discord takes five further answers from such an app, and we send none.
    assert street.discord.requests_to("POST", "^/webhooks/") == []
    await street.house.delivered(job.id)
    await street.house.check_books()


async def test_the_menu_works_abroad_too(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    there = abroad(street, street.ana)
    shown = await street.ana.say(there, files=[picture()])
    asked = await street.ana.message_command("Animate with Ray", shown)
    await street.ana.modal(asked)
    sent = await street.ana.submit_modal(asked, {"Prompt": "it turns"})
    assert (await private_clip(street, sent)).is_ephemeral
    # Nobody gives us that message again, so that the copy of its image is not soon swept.
    media = street.house.config.bot.data_dir / "media"
    assert len(list(media.glob("uploads/*/*.jpg"))) == 1


async def test_in_a_conversation_of_others_the_answer_is_private(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    street.ana.install_app()
    with_ben = street.discord.world.direct(street.ana.user, street.ben.user)
    asked = await street.ana.slash("ray create", with_ben, prompt="a fox")
    assert (await private_clip(street, asked)).is_ephemeral
    assert street.discord.said(with_ben) == []


async def test_a_stranger_with_a_personal_install_spends_nothing(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    eve = street.discord.person("Eve")
    there = abroad(street, eve)
    for _ in range(2):
        answer = await refused(street, eve, there)
        assert "only members of a place" in answer.content
    await nothing_was_spent(street)


async def test_who_left_the_home_is_a_stranger(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    there = abroad(street, street.ana)
    asked = await street.ana.slash("ray create", there, prompt="a fox")
    await private_clip(street, asked)
    del street.guild.members[street.ana.id]
    answer = await refused(street, street.ana, there)
    assert "only members of a place" in answer.content


async def test_rights_held_abroad_are_none_at_home(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    street.ana.install_app()
    guild = street.discord.guild("Wolves", has_bot=False)
    street.discord.world.join(guild, street.ana.user)
    rights = Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES
    street.discord.role(guild, "wolf", street.ana, allows=rights)
    there = next(iter(guild.channels.values()))
    refusal = await street.ana.answer(await street.ana.slash("ray-admin pause", there))
    assert "only in the place itself" in refusal.content
    await street.ben.slash("ray create", prompt="Ben's fox")
    clip = await finished(street)
    [job] = await street.house.app.database.read(lambda conn: jobs.worth_showing(conn, EVER))
    refusal = await street.ana.answer(await street.ana.slash("ray cancel", there, id=job))
    assert "somebody else's" in refusal.content
    assert not clip.is_deleted


async def test_time_at_home_counts_for_who_asks_from_abroad(town: Town) -> None:
    newcomer = town.discord.person("Nia", town.guild, member_days=1)
    async with town.street(access=OPEN, limits={"min_member_days": 7}) as street:
        answer = await refused(street, newcomer, abroad(street, newcomer))
        assert "7 days after you joined" in answer.content
        await nothing_was_spent(street)


# ---- direct messages ---------------------------------------------------------------------------


async def test_direct_messages_are_closed_by_default(street: Street) -> None:
    await street.ana.say(street.ana.dm, "a red fox")
    told = await street.discord.wait_message(street.ana.dm)
    assert "no requests in direct messages" in told.content
    assert "in a server or workspace that has me." in told.content
    assert "operator" not in told.content
    answer = await refused(street, street.ana, street.ana.dm)
    assert "no requests in direct messages" in answer.content
    await nothing_was_spent(street)


async def test_in_an_open_direct_message_no_mention_is_needed(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    await street.ana.say(street.ana.dm, "slow zoom --dur 9s", files=[("fox.png", picture())])
    clip = await finished(street, street.ana.dm)
    [job] = await all_jobs(street)
    assert (job.work.prompt, to_video(job.work).duration) == ("slow zoom", "9s")
    await street.ana.say(street.ana.dm, "it runs away", reply_to=clip)
    await street.discord.wait_for(lambda: len(street.clips(street.ana.dm)) == 2, 15)
    assert to_video((await all_jobs(street))[0].work).start_frame is not None


async def test_a_picture_forwarded_to_the_bot_is_animated(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    shown = await street.ben.say(street.general, files=[("fox.png", picture())])
    await street.ana.forward(shown, street.ana.dm)
    await street.clip(street.ana.dm)


async def test_commands_work_in_an_open_direct_message(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    asked = await street.ana.slash("ray create", street.ana.dm, prompt="a fox")
    answer = await street.ana.answer(asked)
    clip = await finished(street, street.ana.dm)
    assert "/channels/@me/" in answer.content
    await street.ana.click(clip, "Variation")
    await street.discord.wait_for(lambda: len(street.clips(street.ana.dm)) == 2, 15)


async def test_a_clip_can_be_shown_again_in_a_direct_message(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    await street.ana.say(street.ana.dm, "a red fox")
    await finished(street, street.ana.dm)
    [job] = await all_jobs(street)
    await street.ana.say(street.ana.dm, f"show {job.id}")
    await street.discord.wait_for(lambda: len(street.clips(street.ana.dm)) == 2)


async def test_a_stranger_in_a_direct_message_spends_nothing(open_street: OpenStreet) -> None:
    street = await open_street(access=OPEN)
    eve = street.discord.person("Eve")
    await eve.say(eve.dm, "a red fox")
    told = await street.discord.wait_message(eve.dm)
    assert "only members of a place" in told.content
    await nothing_was_spent(street)


# ---- refusals ----------------------------------------------------------------------------------


async def test_a_closed_server_answers_mentions_too(open_street: OpenStreet) -> None:
    street = await open_street(access={"servers": []})
    await street.ana.say(street.general, f"{street.discord.app.bot.mention} a fox")
    told = await street.discord.wait_message(street.ana.dm)
    assert "not set up for Raybot" in told.content
    assert street.discord.said(street.general) == []
    await nothing_was_spent(street)


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
    open_street: OpenStreet, tables: dict[str, dict[str, object]], says: str
) -> None:
    street = await open_street(**tables)
    answer = await refused(street, street.ana, street.general)
    assert says in answer.content
    assert street.discord.said(street.general) == []
    assert street.house.simulator.generations == {}
    await street.house.check_books()


async def test_an_age_restricted_channel_and_its_threads_may(open_street: OpenStreet) -> None:
    street = await open_street(moderation={"require_age_restricted": True})
    adults = street.discord.channel(street.guild, "adults", is_age_restricted=True)
    said = await street.ana.say(adults, "let us see")
    thread = await street.ana.open_thread(said, "foxes")
    await street.ana.slash("ray create", adults, prompt="a fox")
    await street.clip(adults)
    await street.ana.slash("ray create", thread, prompt="a fox")
    await street.clip(thread)


@pytest.mark.parametrize(
    ("denied", "name"),
    [
        (Permission.VIEW_CHANNEL, "View Channel"),
        (Permission.SEND_MESSAGES, "Send Messages"),
        (Permission.ATTACH_FILES, "Attach Files"),
    ],
)
async def test_a_missing_permission_is_named_before_anything_begins(
    street: Street, denied: Permission, name: str
) -> None:
    street.discord.overwrite(street.general, street.discord.app.bot, deny=denied)
    answer = await refused(street, street.ana, street.general)
    assert name in answer.content
    await nothing_was_spent(street)


async def test_in_a_thread_its_own_permission_counts(street: Street) -> None:
    said = await street.ana.say(street.general, "let us see")
    thread = await street.ana.open_thread(said, "foxes")
    denied = Permission.SEND_MESSAGES_IN_THREADS
    street.discord.overwrite(street.general, street.discord.app.bot, deny=denied)
    answer = await refused(street, street.ana, thread)
    assert "Send Messages in Threads" in answer.content
    await street.ana.slash("ray create", prompt="a fox")
    await street.clip()


async def test_the_intent_changes_nothing_about_who_may(town: Town) -> None:
    town.discord.app.granted = Intent.MESSAGE_CONTENT
    async with town.street() as street:
        eve = street.discord.person("Eve")
        await eve.say(eve.dm, "a red fox")
        await street.discord.wait_message(eve.dm)
        await nothing_was_spent(street)
