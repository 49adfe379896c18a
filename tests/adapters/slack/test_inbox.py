"""What Slack was told is well, and what the bot had not done yet when it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from adapters.slack.events import SlackEvent
from adapters.slack.inbox import LOOK_EVERY, SlackInbox
from bot.dispatch.single import SingleProcess
from bot.store.inbox import Noted
from bot.studio import Inbox
from tests.adapters.slack.conftest import Community, LocalSlack, picture
from tests.adapters.slack.test_doubts import is_empty, kept, leave
from tests.adapters.slack.test_wire import asked
from tests.fakes import MovableClock
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
        await is_empty(community)
    async with local_slack.community() as community:
        usage = await community.ana.slash("/ray", "usage", community.general)
        await usage.wait_said()
        assert [each.ts for each in community.ana.ephemerals if "ask again" in each.plain] == [
            told.ts
        ]
    assert len(command.said) == 0


async def test_who_cannot_be_answered_yet_holds_up_nobody_else(local_slack: LocalSlack) -> None:
    people = local_slack.ana, local_slack.ben
    async with local_slack.community() as community:
        for number, who in enumerate(people):
            for key, text in ((f"{number}.1", "usage"), (f"{number}.2", "help")):
                await leave(community, kept(local_slack, key, user=who.id, text=text))
    gate = local_slack.slack.faults.hold("users.info")
    async with local_slack.community() as community:
        first = await community.slack.wait_for(
            lambda: next((who for who in people if len(who.ephemerals) == 2), None)
        )
        assert gate.reached.is_set()
        [held] = [who for who in people if who is not first]
        assert held.ephemerals == []
        gate.open()
        await held.wait_ephemeral(lambda each: "/ray" in each.plain)
        for who in people:
            assert "Your usage" in who.ephemerals[0].plain


# ---- several processes -----------------------------------------------------------------------


async def are_there(*communities: Community) -> None:
    """Each process is seen by the others."""
    names = {each.bot.studio.replicas.name for each in communities}
    while await communities[0].bot.studio.replicas.gone(names):
        await asyncio.sleep(0.02)


async def test_what_takes_long_is_left_to_the_process_that_is_at_it(
    local_slack: LocalSlack,
) -> None:
    cleo = local_slack.slack.person("Cleo", local_slack.team, local_slack.general)
    with postgres_database() as url:
        shared = {"database_url": url, "single_host": True}
        async with (
            local_slack.community(bot=shared) as one,
            local_slack.community(bot=shared) as other,
        ):
            await one.slack.wait_connected(2)
            await are_there(one, other)
            # Each process hears one of them.
            gates = [one.slack.faults.hold("users.info") for _ in range(2)]
            asked = [await who.slash("/ray", "usage", one.general) for who in (one.ana, one.ben)]
            for gate in gates:
                await asyncio.wait_for(gate.reached.wait(), 30)
            heard = kept(local_slack, "1.1", user=cleo.id, text="usage")
            books = one.bot.studio.inbox._database
            dead = Inbox(database=books, clock=local_slack.clock, process="dead")
            assert await dead.note("slack", heard.key, heard.model_dump(mode="json"))
            # Of this process, and in its hands no longer.
            await leave(one, kept(local_slack, "1.2", user=cleo.id, text="help"))
            async with asyncio.timeout(30):
                while len(cleo.ephemerals) < 2:
                    one.later(seconds=LOOK_EVERY.total_seconds())
                    await asyncio.sleep(0.02)
            for gate, slow in zip(gates, asked, strict=True):
                gate.open()
                await slow.wait_said()
            assert [each.messages for each in asked] == [one.ana.ephemerals, one.ben.ephemerals]
            assert len(cleo.ephemerals) == 2


@dataclass
class SlowBook:
    """An inbox that tells of one old request, and of what stood there when it was asked."""

    noted: Noted
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: bool = False
    reads: int = 0

    async def undone(self, adapter: str) -> tuple[Noted, ...]:
        found = () if self.is_done else (self.noted,)
        self.reads += 1
        if self.reads == 3:
            self.is_asked.set()
            await self.may_answer.wait()
        return found

    async def take(self, adapter: str, left: Collection[Noted]) -> tuple[Noted, ...]:
        return tuple(left)

    async def done(self, adapter: str, key: str) -> None:
        self.is_done = True


async def test_what_is_carried_out_while_the_book_is_read_is_not_begun_again() -> None:
    clock = MovableClock()
    heard = SlackEvent(kind="command", key="slack:T1:1", workspace="T1", user="U1", text="usage")
    payload, now = heard.model_dump(mode="json"), clock.now()
    noted = Noted(key=heard.key, payload=payload, received_at=now, held_by="dead")
    book, may_end, begun = SlowBook(noted), asyncio.Event(), list[str]()

    async def carry_out(heard: SlackEvent) -> None:
        async with inbox.in_hand(heard):
            begun.append(heard.key)
            await may_end.wait()

    class Several(SingleProcess):
        is_single = False

    replicas = Several()
    studio: Any = SimpleNamespace(inbox=book, replicas=replicas)
    inbox = SlackInbox(studio, clock=clock, carry_out=carry_out, tell_late=carry_out)
    running = asyncio.create_task(inbox.run(()))
    async with asyncio.timeout(10):
        while not begun:
            clock.move(seconds=LOOK_EVERY.total_seconds())
            await asyncio.sleep(0.01)
        while not book.is_asked.is_set():
            clock.move(seconds=LOOK_EVERY.total_seconds())
            await asyncio.sleep(0.01)
        may_end.set()
        while not book.is_done:
            await asyncio.sleep(0)
        book.may_answer.set()
        while book.reads < 5:
            clock.move(seconds=LOOK_EVERY.total_seconds())
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert begun == [heard.key]
