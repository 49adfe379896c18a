"""`/ray-admin`, for who manages a server, and the buttons that only the operator may press."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

import pytest
from sqlalchemy import Connection

from bot.digest import last_due
from bot.job import Job, JobState
from bot.limits import settable
from bot.request import Requester
from bot.store import digests, places, settings
from tests.adapters.discord.conftest import GUILD, Community, LocalDiscord
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.discord_server import Kind, Message, NotPossible, Permission, Person

OpenCommunity = Callable[..., Awaitable[Community]]


@pytest.fixture
async def boss(community: Community) -> Person:
    return community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)


async def told(person: Person, command: str, **options: object) -> Message:
    """What a command answers; only its person sees it."""
    answer = await person.answer(await person.slash(f"ray-admin {command}", **options))
    assert answer.is_ephemeral
    return answer


def rows_of(content: bytes) -> list[dict[str, str]]:
    """A file of ours as a spreadsheet reads it."""
    return list(csv.DictReader(io.StringIO(content.decode())))


# ---- who manages a server ----------------------------------------------------------------------


async def test_usage_comes_as_a_table_and_as_a_file(community: Community, boss: Person) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    await finished(community)
    asked = await boss.slash("ray-admin usage", since="week")
    # Its first chart takes a process a while, and on a busy machine long.
    answer = await boss.answer(asked, seconds=45)
    assert answer.is_ephemeral
    assert "Ana" in answer.content
    files = dict(answer.files)
    chart = [files.pop(name) for name in answer.files if name.endswith(".png")]
    people, days = (rows_of(content) for content in files.values())
    assert [(row["name"], row["delivered"]) for row in people] == [("Ana", "1")]
    assert [row["delivered"] for row in days] == ["0"] * 6 + ["1"]
    if find_spec("matplotlib") is None:
        assert "Usage by day" in answer.content
    else:
        assert chart[0].startswith(b"\x89PNG")
        assert "Usage by day" not in answer.content


async def test_the_weekly_digest_is_turned_on_and_off(community: Community, boss: Person) -> None:
    answer = await told(boss, "digest", channel=community.general)
    assert f"comes in <#{community.general.id}>" in answer.content
    shown = await told(boss, "limits")
    assert f"Weekly digest in channel <#{community.general.id}>" in shown.content
    shelf = community.discord.channel(community.guild, "shelf", Kind.CATEGORY)
    assert "That is a category" in (await told(boss, "digest", channel=shelf)).content
    assert "nowhere any more" in (await told(boss, "digest")).content
    assert "Weekly digest" not in (await told(boss, "limits")).content


async def test_a_digest_is_found_by_the_process_after_the_one_that_posted_it(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
        await told(boss, "digest", channel=community.general)
        community.discord.faults.drop(
            "POST", rf"^/channels/{community.general.id}/messages$", when="after"
        )
        community.later(days=7)
        await community.discord.wait_for(lambda: community.discord.faults.left == 0)
    async with local_discord.community() as community:
        week = last_due(community.bot.clock.now(), "UTC")

        def is_due(conn: Connection) -> bool:
            return bool(digests.due(conn, week))

        # Only the bot's own round: another one beside it would not know what that one posts.
        async with asyncio.timeout(30):
            while await community.bot.app.database.read(is_due):
                community.later(minutes=1)
                await asyncio.sleep(0.02)
        [said] = community.discord.said(community.general)
        assert said.content.startswith("**The week with Raybot, ")
        assert "Nobody made a clip. Nothing was charged." in said.content
        community.later(days=7)
        await community.hurry(lambda: len(community.discord.said(community.general)) == 2)


async def test_every_limit_that_can_be_set_is_a_choice(community: Community) -> None:
    [admin] = [each for each in community.discord.commands.all() if each["name"] == "ray-admin"]
    [limit] = [each for each in admin["options"] if each["name"] == "limit"]
    offered = {each["value"] for each in limit["options"][0]["choices"]}
    assert offered == set(settable(channel="", role=""))


async def test_limits_and_rules_are_shown(community: Community, boss: Person) -> None:
    answer = await told(boss, "limits")
    assert "Limits here" in answer.content
    assert re.search(r"It ends <t:\d+:f>\.", answer.content)
    assert "Rules here" in answer.content


async def test_a_list_is_told_however_much_of_it_looks_like_markup(
    community: Community, boss: Person
) -> None:
    for each in range(60):
        mask = rf"\bf[\W_]*o[\W_]*x{each}[\W_]*\b"
        await told(boss, "words", kind="pattern", entry=mask)
    answer = await told(boss, "words", kind="word", entry="clown")
    assert "Patterns: " in answer.content
    assert len(answer.content) > 1900


async def test_a_community_is_run_from_its_server(community: Community, boss: Person) -> None:
    art = community.discord.channel(community.guild, "art")
    answer = await told(boss, "rule", name="remix", value="own", channel=art)
    assert f"Decided for <#{art.id}>: remix own." in answer.content
    answer = await told(boss, "rule", name="remix", value="mine")
    assert "remix is anyone or own" in answer.content
    answer = await told(boss, "words", entry="clown")
    assert "Blocked words: clown. Patterns: none." in answer.content
    refusal = await community.ana.answer(await community.ana.slash("ray create", prompt="a CL0WN"))
    assert "not allowed here" in refusal.content
    assert "Blocked words: none" in (await told(boss, "words", entry="clown")).content
    answer = await told(boss, "limit", name="clips_per_person_per_day", value="1")
    words = "clips\\_per\\_person\\_per\\_day (a person's clips per day) 1"
    assert f"Set here: {words}" in answer.content
    answer = await told(boss, "grant", member=community.ana.user, dollars=5.0)
    assert f"<@{community.ana.id}> can spend $5.00 more" in answer.content
    await community.ana.slash("ray create", prompt="a red fox")
    await finished(community)
    full = await community.ana.answer(await community.ana.slash("ray create", prompt="a red fox"))
    assert "1 of 1" in full.content
    assert "Nothing waits" in (await told(boss, "queue")).content
    audit = (await told(boss, "audit")).content
    assert all(act in audit for act in ("grant", "limits", "words", "policy"))
    assert f" · <@{boss.id}> · grant · <@{community.ana.id}> · " in audit
    assert "```" not in audit
    await told(boss, "pause", message="Back at noon.")
    paused = await community.ana.answer(
        await community.ana.slash("ray create", prompt="a red fox")
    )
    assert "Back at noon." in paused.content


async def test_a_channel_can_be_the_only_one(community: Community, boss: Person) -> None:
    studio = community.discord.channel(community.guild, "studio")
    await told(boss, "channel", channel=studio, allowed=True)
    refusal = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert refusal.is_ephemeral
    assert "studio" in refusal.content
    await community.ana.slash("ray create", studio, prompt="a fox")
    await community.clip(studio)
    kept = await told(boss, "channel", channel=studio, allowed=False)
    assert "Allow another one first" in kept.content
    assert "/ray-admin pause" in kept.content
    still = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert "studio" in still.content
    assert "every channel" in (await told(boss, "channel", allowed=True)).content
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()


async def test_of_very_many_channels_the_last_ones_are_told(
    community: Community, boss: Person
) -> None:
    actor = Requester(adapter="discord", workspace=str(GUILD), user=str(boss.id))
    ids = [str(10**19 + number) for number in range(198)]
    allowed = dict.fromkeys(ids, "studio")
    await community.bot.studio.admin.set_channels(actor.tenant, allowed, actor=actor)
    answer = await told(boss, "channel", channel=community.general, allowed=True)
    assert answer.content.startswith("Raybot can be used in <#")
    assert f"<#{ids[-1]}>, <#{community.general.id}>, and 139 more." in answer.content
    answer = await told(boss, "channel", channel=community.general, allowed=False)
    assert f"<#{ids[-1]}>, and 138 more." in answer.content


async def test_any_channel_can_be_picked_but_no_category(
    community: Community, boss: Person
) -> None:
    hidden = community.discord.channel(community.guild, "gallery", Kind.MEDIA)
    denied = Permission.VIEW_CHANNEL
    community.discord.overwrite(hidden, community.discord.app.bot, deny=denied)
    said = await community.ana.say(community.general, "let us see")
    thread = await community.ana.open_thread(said, "foxes")
    shelf = community.discord.channel(community.guild, "shelf", Kind.CATEGORY)
    await told(boss, "channel", channel=hidden, allowed=True)
    answer = await told(boss, "channel", channel=thread, allowed=True)
    assert answer.content == f"Raybot can be used in <#{hidden.id}>, <#{community.general.id}>."
    refusal = await told(boss, "channel", channel=shelf, allowed=True)
    assert "That is a category" in refusal.content


async def test_defaults_of_server_and_channel_hold_in_this_order(
    community: Community, boss: Person
) -> None:
    await told(boss, "defaults", setting="aspect_ratio", value="16:9")
    await told(boss, "defaults", setting="aspect_ratio", value="9:16", channel=community.general)
    said = await community.ana.say(community.general, "let us see")
    thread = await community.ana.open_thread(said, "foxes")
    shown = await community.ana.answer(await community.ana.slash("ray settings", thread))
    assert "9:16" in shown.content
    assert "this channel" in shown.content
    await told(boss, "defaults", setting="aspect_ratio", channel=community.general)
    shown = await community.ana.answer(await community.ana.slash("ray settings"))
    assert "16:9" in shown.content
    assert "this place" in shown.content
    wrong = await told(boss, "defaults", setting="duration", value="7s")
    assert "7s is not possible" in wrong.content
    assert "charged" not in wrong.content


async def test_somebody_is_blocked_and_let_in_again(community: Community, boss: Person) -> None:
    answer = await told(boss, "block", member=community.ana.user, days=3, reason="too many foxes")
    assert answer.content.endswith("taken back and costs nothing; what runs goes on.")
    refusal = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert "You cannot use Raybot here" in refusal.content
    assert await all_jobs(community) == []
    answer = await told(boss, "unblock", member=community.ana.user)
    assert not answer.pings
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()


async def test_a_pause_stops_what_is_new(community: Community, boss: Person) -> None:
    await told(boss, "pause")
    refusal = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert "paused" in refusal.content
    await told(boss, "resume")
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()


async def test_who_only_was_let_see_the_commands_may_not_use_them(community: Community) -> None:
    with pytest.raises(NotPossible):
        await community.ana.slash("ray-admin pause")
    [admin] = [each for each in community.discord.commands.all() if each["name"] == "ray-admin"]
    assert admin["default_member_permissions"] == int(Permission.MANAGE_GUILD)
    # A server's own settings may show them to anybody.
    admin["default_member_permissions"] = None
    refusal = await community.ana.answer(await community.ana.slash("ray-admin pause"))
    assert "manage this server" in refusal.content
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()


# ---- the operator ------------------------------------------------------------------------------


async def operators_community(
    local_discord: LocalDiscord, open_community: OpenCommunity, **tables: object
) -> Community:
    otto = local_discord.discord.person("Otto", local_discord.guild)
    return await open_community(operator={"discord_user": str(otto.id)}, **tables)


async def test_a_closed_server_gets_a_sentence_and_the_operator_a_button(
    local_discord: LocalDiscord, open_community: OpenCommunity
) -> None:
    community = await operators_community(local_discord, open_community, access={"servers": []})
    otto = community.discord.people["Otto"]
    refusals = []
    for _ in range(2):
        asked = await community.ana.slash("ray create", prompt="a fox")
        refusals.append(await community.ana.answer(asked))
    assert all("not set up for Raybot" in each.content for each in refusals)
    assert await all_jobs(community) == []
    community.bot.clock.move(seconds=11)
    notice = await community.discord.wait_message(otto.dm)
    assert f"Foxes (discord:{GUILD})" in notice.content.replace("\\", "")
    answer = await otto.answer(await otto.click(notice, "Approve"))
    assert "is served from now on" in answer.content
    await community.ana.slash("ray create", prompt="a fox")
    await community.clip()
    assert len(community.discord.said(otto.dm)) == 1
    await otto.answer(await otto.click(notice, "Close"))
    again = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert "not set up for Raybot" in again.content


async def test_the_operator_lets_in_a_place_of_another_platform(
    local_discord: LocalDiscord, open_community: OpenCommunity
) -> None:
    community = await operators_community(local_discord, open_community)
    otto, database, now = (
        community.discord.people["Otto"],
        community.bot.app.database,
        local_discord.clock.now,
    )
    asks = "Owls (slack:T0_A.BC) wants to use Raybot."
    await database.write(lambda tx: settings.note_operator(tx, "place:slack:T0_A.BC", asks, now()))
    community.bot.clock.move(seconds=11)
    notice = await community.discord.wait_message(otto.dm)
    answer = await otto.answer(await otto.click(notice, "Close"))
    assert "`slack:T0_A.BC` is not served" in answer.content
    answer = await otto.answer(await otto.click(notice, "Approve"))
    assert "`slack:T0_A.BC` is served from now on" in answer.content
    assert await database.read(lambda conn: places.state(conn, "slack:T0_A.BC")) == "approved"


@pytest.mark.parametrize(("button", "cost"), [("Charge", True), ("Release", False)])
async def test_the_operator_ends_an_open_question(
    local_discord: LocalDiscord, open_community: OpenCommunity, button: str, *, cost: bool
) -> None:
    community = await operators_community(local_discord, open_community)
    otto = community.discord.people["Otto"]
    community.bot.simulator.faults.drop("create", accepted=False, times=2)
    await community.ana.slash("ray create", prompt="a red fox")
    status = await community.discord.wait_message(community.general)
    job = await uncertain(community, status)
    community.bot.clock.move(seconds=11)
    notice = await community.discord.wait_message(otto.dm)
    assert list(notice.buttons) == ["Charge", "Release"]
    notice.channel = community.ana.dm  # As if Ana had such a message.
    refusal = await community.ana.answer(await community.ana.click(notice, button))
    assert "Only the operator" in refusal.content
    notice.channel = otto.dm
    answer = await otto.answer(await otto.click(notice, button))
    assert "operator" in answer.content
    ended = await community.bot.job(job.id)
    assert (ended.state, bool(ended.cost)) == (JobState.FAILED, cost)
    await community.bot.check_books()
    late = await otto.answer(await otto.click(notice, button))
    assert "neither uncertain" in late.content


async def uncertain(community: Community, status: Message) -> Job:
    """Let the search for a lost submission end without an answer."""
    job = await community.bot.job(job_of(status))
    async with asyncio.timeout(30):
        while job.state is not JobState.UNCERTAIN:
            await community.bot.clock.let_pass(seconds=20)
            job = await community.bot.job(job.id)
    return job


async def test_nobody_else_may_press_the_operators_buttons(
    local_discord: LocalDiscord, open_community: OpenCommunity
) -> None:
    community = await operators_community(local_discord, open_community, access={"servers": []})
    otto = community.discord.people["Otto"]
    await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    community.bot.clock.move(seconds=11)
    notice = await community.discord.wait_message(otto.dm)
    notice.channel = community.ana.dm  # As if Ana had such a message.
    for button in ("Approve", "Close"):
        answer = await community.ana.answer(await community.ana.click(notice, button))
        assert "Only the operator" in answer.content
    again = await community.ana.answer(await community.ana.slash("ray create", prompt="a fox"))
    assert "not set up for Raybot" in again.content


async def test_people_are_forgotten_who_ask_and_whom_a_manager_names(
    open_community: OpenCommunity,
) -> None:
    community = await open_community({"thread": "new"})
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    await community.ana.answer(await community.ana.slash("ray create", prompt="my red fox"))
    [thread] = [each for each in community.guild.channels.values() if each.is_thread]
    await finished(community, thread)
    assert thread.name == "my red fox"
    page = await community.ana.answer(await community.ana.slash("ray forget-me"))
    assert page.is_ephemeral
    assert "1 clip with its copies" in page.content
    assert "backups" in page.content
    assert community.clips(thread)
    said = await community.ana.answer(await community.ana.click(page, "Forget it all"))
    assert "being removed" in said.content
    await community.hurry(lambda: (thread.name, community.discord.said(thread)) == ("Removed", []))
    assert await all_jobs(community) == []

    await community.ben.answer(
        await community.ben.slash("ray settings", setting="loop", value="true")
    )
    page = await told(boss, "forget", member=community.ben.user)
    assert "1 own setting" in page.content
    assert f"Shall everything of <@{community.ben.id}> be forgotten here?" in page.content
    said = await boss.answer(await boss.click(page, "Forget it all"))
    assert "being removed" in said.content
    assert (
        f"Nothing of <@{community.ben.id}>"
        in (await told(boss, "forget", member=community.ben.user)).content
    )
    assert "forget" in (await told(boss, "audit")).content
    await community.ana.say(community.general, f"<@{community.discord.app.id}> forget me")
    behind = await community.discord.wait_message(community.general, lambda each: each.buttons)
    assert "your eyes only" in behind.content
    nothing = await community.ana.answer(await community.ana.click(behind, "Forget me"))
    assert "Nothing of yours is kept here" in nothing.content


async def test_a_server_that_removed_the_bot_may_come_back_to_its_content(
    community: Community,
) -> None:
    await community.ana.slash("ray create", prompt="my red fox")
    await finished(community)
    database = community.bot.app.database
    community.discord.remove_bot(community.guild)
    async with asyncio.timeout(30):
        while not await database.read(places.away):
            await asyncio.sleep(0.01)
    [job] = await all_jobs(community)
    assert job.clip is not None
    community.later(days=8)
    async with asyncio.timeout(30):
        while (await community.bot.job(job.id)).erased_at is None:
            await community.bot.clock.let_pass(hours=1, moment=0.01)
    gone = await community.bot.job(job.id)
    assert (gone.clip, gone.work.prompt) == (None, "")
