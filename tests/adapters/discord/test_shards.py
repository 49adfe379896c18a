"""A process that hears of some servers, while another one of the same bot hears of the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from adapters.discord.delivery import Delivery
from adapters.discord.parse import to_new_thread, to_thread
from adapters.discord.private import TOKEN_LIFE
from adapters.discord.threads import Threads
from bot import notices as n
from bot.errors import DeliveryUnavailable, InOtherHands, PostedBefore, ThreadGone
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Requester, VideoWork
from tests.adapters.discord.conftest import GUILD, LocalDiscord
from tests.adapters.discord.test_access import OPEN
from tests.adapters.discord.test_commands import all_jobs, finished
from tests.adapters.discord.test_private import private_clip
from tests.adapters.discord.test_session import Line, line
from tests.discord_server import Guild, Permission, Person
from tests.fakes import Memory

__all__ = ["line"]
#: It hears the first of two shards.
FIRST: dict[str, Any] = {"shard_count": 2, "shard_ids": (0,)}
POST = ("POST", r"^/channels/\d+/messages$")
MIB = 1 << 20


def guild_of(shard: int) -> int:
    return GUILD + (shard << 22)


@dataclass
class FirstShard:
    """A process that hears the first of two shards, and somebody who is in the other one."""

    line: Line
    delivery: Delivery
    guild: Guild
    eve: Person
    memo: Memory = field(default_factory=Memory)

    @property
    def thread(self) -> ThreadRef:
        return to_thread(self.eve.here, guild_id=self.guild.id)

    def private(self, *, guild_id: int | None, heard_by: str = "") -> ThreadRef:
        """Where a command is answered that was said just now."""
        now = self.line.discord.world.snowflake()
        return to_thread(self.eve.here, guild_id=guild_id, only=f"{now}{heard_by}")

    @property
    def about(self) -> n.About:
        requester = Requester(adapter="discord", workspace="1", user=str(self.eve.id))
        return n.About(
            job_id=JobId("r-00000abcde"), requester=requester, work=VideoWork(prompt="a fox")
        )

    async def post(self, thread: ThreadRef) -> MessageRef:
        notice = n.Accepted(about=self.about)
        return await self.delivery.post(thread, notice, key="a status", memo=self.memo)


@pytest.fixture
async def first(line: Line) -> AsyncIterator[FirstShard]:
    wolves = line.discord.guild("Wolves", guild_id=guild_of(1))
    line.discord.guild("Owls", guild_id=guild_of(0))
    delivery = Delivery(clock=line.clock, upload_limit_bytes=20 * MIB, can_host=True)

    async def connect(client: discord.Client, token: str) -> None:
        client._connection.guild_ready_timeout = 0.05  # Its two seconds wait for many servers.
        await client.start(token)

    async with line.open(**FIRST, connect=connect) as session:
        await line.hurry(lambda: session.client is not None and session.client.is_ready())
        delivery._client = session.client
        yield FirstShard(line, delivery, wolves, line.discord.person("Eve", wolves))


@pytest.mark.parametrize(
    ("guild_id", "heard_by"),
    [(guild_of(1), "/1"), (guild_of(1), ""), (None, "/1")],
    ids=["the other shard", "before there were sets", "a personal install"],
)
async def test_a_private_answer_is_left_to_the_process_that_can_write_it(
    first: FirstShard, guild_id: int | None, heard_by: str
) -> None:
    thread = first.private(guild_id=guild_id, heard_by=heard_by)
    answer = MessageRef(thread=thread, message="@original")
    with pytest.raises(InOtherHands):
        await first.post(thread)
    with pytest.raises(InOtherHands):
        await first.delivery.edit(answer, n.Accepted(about=first.about))
    # A clip too large for the least that any place takes may be just right there.
    with pytest.raises(InOtherHands):
        await first.delivery.max_upload(thread)
    first.line.clock.move(minutes=10)
    with pytest.raises(InOtherHands) as later:
        await first.post(thread)
    assert (later.value.retry_after or 0) >= 10
    first.line.clock.move(seconds=TOKEN_LIFE.total_seconds() + 1)
    with pytest.raises(ThreadGone):
        await first.post(thread)


@pytest.mark.parametrize(("guild_id", "heard_by"), [(guild_of(0), "/0"), (None, "/0"), (None, "")])
async def test_a_private_answer_of_its_own_shard_that_it_does_not_know_is_over(
    first: FirstShard, guild_id: int | None, heard_by: str
) -> None:
    with pytest.raises(ThreadGone):
        await first.post(first.private(guild_id=guild_id, heard_by=heard_by))


async def test_a_thread_is_left_to_the_process_that_knows_the_channel(first: FirstShard) -> None:
    async def recall(_adapter: str, _name: str, *, job_id: JobId) -> str:
        return ""

    studio: Any = SimpleNamespace(recall=recall)
    client = first.delivery._online
    with pytest.raises(DeliveryUnavailable):
        await Threads(studio).settle(client, to_new_thread(first.thread, 1), first.about)


async def test_nothing_is_posted_twice_where_another_process_knows_who_may_look(
    first: FirstShard,
) -> None:
    first.line.discord.faults.drop(*POST, when="after")
    with pytest.raises(DeliveryUnavailable):
        await first.post(first.thread)
    bot, hidden = first.line.discord.app.bot, Permission.READ_MESSAGE_HISTORY
    first.line.discord.overwrite(first.eve.here, bot, deny=hidden)
    first.line.clock.move(minutes=10)
    first.line.discord.clock.move(minutes=10)
    with pytest.raises(PostedBefore):
        await first.post(first.thread)
    assert len(first.line.discord.said(first.eve.here)) == 1


async def test_what_a_boosted_server_of_the_other_shard_takes_is_asked(first: FirstShard) -> None:
    first.guild.boost_tier = 3
    assert await first.delivery.max_upload(first.thread) == 100 * MIB


async def test_a_boosted_server_that_could_not_be_asked_is_asked_again(first: FirstShard) -> None:
    first.guild.boost_tier = 3
    first.line.discord.faults.drop("GET", r"^/guilds/\d+$", times=2)
    with pytest.raises(DeliveryUnavailable):
        await first.delivery.max_upload(first.thread)
    first.line.discord.faults.add("GET", r"^/guilds/\d+$", status=503)
    assert await first.delivery.max_upload(first.thread) == 20 * MIB
    assert await first.delivery.max_upload(first.thread) == 100 * MIB


async def test_a_change_of_a_message_asks_nothing_of_its_server(first: FirstShard) -> None:
    message = await first.post(first.thread)
    first.line.discord.faults.add("GET", r"^/guilds/\d+$", status=503, times=2)
    for _ in range(2):
        await first.delivery.edit(message, n.Accepted(about=first.about))
    assert first.line.discord.requests_to("GET", r"^/guilds/\d+$") == []


async def test_a_private_request_remembers_who_heard_it(local_discord: LocalDiscord) -> None:
    async with local_discord.community(FIRST) as community:
        asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
        await private_clip(community, asked)
        [job] = await all_jobs(community)
        assert job.request.thread.thread == f"only:{asked.id}/0"


async def test_who_writes_directly_is_found_in_a_server_of_the_other_shard(
    local_discord: LocalDiscord,
) -> None:
    """Discord tells the first shard of every direct message."""
    wolves = local_discord.discord.guild("Wolves", guild_id=guild_of(1))
    eve = local_discord.discord.person("Eve", wolves)
    access = {**OPEN, "servers": [str(GUILD), str(wolves.id)]}
    async with local_discord.community(FIRST, access=access) as community:
        await eve.say(eve.dm, "a red fox")
        clip = await finished(community, eve.dm)
        # She is looked for there first from now on.
        await eve.click(clip, "Variation")
        await community.discord.wait_for(lambda: len(community.clips(eve.dm)) == 2, 30)
