"""What Slack was told is well, and what the bot had not done yet when it ended."""

from __future__ import annotations

import asyncio

from adapters.slack.inbox import HOLD_EVERY
from tests.adapters.slack.conftest import Community, LocalSlack, picture
from tests.adapters.slack.test_doubts import kept, leave
from tests.adapters.slack.test_wire import asked
from tests.postgres import postgres_database
from tests.slack_server import Asked, Gate

PNG = ("fox.png", picture(), "image/png")


async def die(community: Community, gate: Gate) -> None:
    """End the bot while a call to Slack stands; the rest of its work is lost with it."""
    await asyncio.wait_for(gate.reached.wait(), 30)
    await community.slack.wait_acked()
    assert asked(community) == 0


async def say_one(local_slack: LocalSlack) -> Asked:
    """Ask by a command, and end the bot before it has begun."""
    async with local_slack.community() as community:
        who = community.slack.faults.hold("users.info")
        command = await community.ana.slash("/ray", "a fox", community.general)
        assert command.is_acked
        await die(community, who)
    who.open()
    return command


async def test_a_command_that_was_acknowledged_is_carried_out_by_the_next_process(
    local_slack: LocalSlack,
) -> None:
    command = await say_one(local_slack)
    async with local_slack.community() as community:
        clip = await community.clip()
        assert f"<@{community.ana.id}>" in str(clip.blocks)
        await community.slack.redeliver()
        assert len(community.bot.simulator.generations) == asked(community) == 1
        await community.bot.check_books()
    async with local_slack.community() as community:
        assert asked(community) == len(community.clips()) == 1
    assert command.said == []


async def test_a_mention_is_looked_up_again_by_the_next_process(local_slack: LocalSlack) -> None:
    image = await local_slack.ben.say("look", local_slack.general, files=[PNG])
    async with local_slack.community() as community:
        thread = community.slack.faults.hold("conversations.replies")
        await community.ana.say(
            f"{community.team.mention} slow zoom", community.general, thread=image
        )
        await die(community, thread)
    thread.open()
    async with local_slack.community() as community:
        assert (await community.clip()).thread_ts == image.ts
        assert len(community.bot.simulator.generations) == asked(community) == 1


async def test_what_was_asked_too_long_ago_is_not_begun_and_its_person_is_told(
    local_slack: LocalSlack,
) -> None:
    command = await say_one(local_slack)
    local_slack.clock.move(minutes=11)
    async with local_slack.community() as community:
        told = await community.ana.wait_ephemeral()
        assert "ask again" in told.plain
        assert asked(community) == len(community.bot.simulator.generations) == 0
    async with local_slack.community() as community:
        usage = await community.ana.slash("/ray", "usage", community.general)
        await usage.wait_said()
        assert [each.ts for each in community.ana.ephemerals if "ask again" in each.plain] == [
            told.ts
        ]
    assert len(command.said) == 0


async def test_who_cannot_be_answered_yet_holds_up_nobody_else(local_slack: LocalSlack) -> None:
    ana, ben = local_slack.ana, local_slack.ben
    async with local_slack.community() as community:
        for key, who, text in (("1.1", ana, "usage"), ("1.2", ana, "help"), ("1.3", ben, "usage")):
            await leave(community, kept(local_slack, key, user=who.id, text=text))
    gate = local_slack.slack.faults.hold("users.info")
    async with local_slack.community() as community:
        await ben.wait_ephemeral()
        assert gate.reached.is_set()
        assert ana.ephemerals == []
        gate.open()
        await ana.wait_ephemeral(lambda each: "/ray" in each.plain)
        assert "Your usage" in ana.ephemerals[0].plain


# ---- several processes -----------------------------------------------------------------------


async def are_held(community: Community, count: int) -> None:
    """Whoever is at them has said so just now."""
    since = community.bot.clock.now() - HOLD_EVERY
    while True:
        left = await community.bot.studio.inbox.undone("slack")
        if len([each for each in left if each.held_at > since]) >= count:
            return
        await asyncio.sleep(0.02)


async def test_what_takes_long_is_left_to_the_process_that_is_at_it(
    local_slack: LocalSlack,
) -> None:
    cleo = local_slack.slack.person("Cleo", local_slack.team, local_slack.general)
    with postgres_database() as url:
        shared = {"database_url": url, "single_host": True}
        async with local_slack.community(bot=shared) as one, local_slack.community(bot=shared):
            await one.slack.wait_connected(2)
            # Each process hears one of them.
            gates = [one.slack.faults.hold("users.info") for _ in range(2)]
            asked = [await who.slash("/ray", "usage", one.general) for who in (one.ana, one.ben)]
            for gate in gates:
                await asyncio.wait_for(gate.reached.wait(), 30)
            await leave(one, kept(local_slack, "1.1", user=cleo.id, text="usage"))
            async with asyncio.timeout(30):
                while not cleo.ephemerals:
                    one.later(seconds=HOLD_EVERY.total_seconds())
                    await are_held(one, 2)
            for gate, slow in zip(gates, asked, strict=True):
                gate.open()
                await slow.wait_said()
            assert [each.messages for each in asked] == [one.ana.ephemerals, one.ben.ephemerals]
