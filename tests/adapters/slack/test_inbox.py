"""What Slack was told is well, and what the bot had not done yet when it ended."""

from __future__ import annotations

import asyncio

from tests.adapters.slack.conftest import Lane, Town, picture
from tests.adapters.slack.test_wire import asked
from tests.slack_server import Asked, Gate

PNG = ("fox.png", picture(), "image/png")


async def die(lane: Lane, gate: Gate) -> None:
    """End the bot while a call to Slack stands; the rest of its work is lost with it."""
    await asyncio.wait_for(gate.reached.wait(), 10)
    await lane.slack.wait_acked()
    assert asked(lane) == 0


async def say_one(town: Town) -> Asked:
    """Ask by a command, and end the bot before it has begun."""
    async with town.lane() as lane:
        who = lane.slack.faults.hold("users.info")
        command = await lane.ana.slash("/ray", "a fox", lane.general)
        assert command.is_acked
        await die(lane, who)
    who.open()
    return command


async def test_a_command_that_was_acknowledged_is_carried_out_by_the_next_process(
    town: Town,
) -> None:
    command = await say_one(town)
    async with town.lane() as lane:
        clip = await lane.clip()
        assert f"<@{lane.ana.id}>" in str(clip.blocks)
        await lane.slack.redeliver()
        assert len(lane.house.simulator.generations) == asked(lane) == 1
        await lane.house.check_books()
    async with town.lane() as lane:
        assert asked(lane) == len(lane.clips()) == 1
    assert command.said == []


async def test_a_mention_is_looked_up_again_by_the_next_process(town: Town) -> None:
    image = await town.ben.say("look", town.general, files=[PNG])
    async with town.lane() as lane:
        thread = lane.slack.faults.hold("conversations.replies")
        await lane.ana.say(f"{lane.team.mention} slow zoom", lane.general, thread=image)
        await die(lane, thread)
    thread.open()
    async with town.lane() as lane:
        assert (await lane.clip()).thread_ts == image.ts
        assert len(lane.house.simulator.generations) == asked(lane) == 1


async def test_what_was_asked_too_long_ago_is_not_begun_and_its_person_is_told(
    town: Town,
) -> None:
    command = await say_one(town)
    town.clock.move(minutes=11)
    async with town.lane() as lane:
        told = await lane.ana.wait_ephemeral()
        assert "ask again" in told.plain
        assert asked(lane) == len(lane.house.simulator.generations) == 0
    async with town.lane() as lane:
        usage = await lane.ana.slash("/ray", "usage", lane.general)
        await usage.wait_said()
        assert [each.ts for each in lane.ana.ephemerals if "ask again" in each.plain] == [told.ts]
    assert len(command.said) == 0
