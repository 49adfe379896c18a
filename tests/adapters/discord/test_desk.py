"""The way to the desk out of Discord, and whether somebody may still be there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.discord import create
from bot.dispatch.single import SingleProcess
from bot.errors import DeliveryError
from bot.request import Requester
from tests.adapters.discord.conftest import GUILD, Community, LocalDiscord
from tests.adapters.web.visitor import browsing
from tests.discord_server import Permission, Person
from tests.discord_server.world import Message, User

IsAdmin = Callable[[User], Awaitable[bool]]


async def link_of(person: Person) -> str:
    """The link that they are given, who manage the server."""
    return link_in(await person.answer(await person.slash("ray-admin desk")))


def link_in(answer: Message) -> str:
    """A link that nobody else sees and nothing opens for a preview."""
    assert answer.is_ephemeral
    assert not answer.embeds
    assert not answer.pings
    found = re.search(r"\[Open the desk\]\(<([^<>\s]+)>\)", answer.content)
    assert found, answer.content
    assert "only in a browser on the machine" in answer.content
    return found[1]


async def test_who_manages_a_server_gets_a_link_to_its_desk_while_they_do(
    local_discord: LocalDiscord,
) -> None:
    otto = local_discord.discord.person("Otto", local_discord.guild)
    boss = local_discord.discord.person(
        "Boss", local_discord.guild, allows=Permission.ADMINISTRATOR
    )
    operator = {"discord_user": str(otto.id)}
    async with (
        local_discord.community(has_desk=True, operator=operator) as community,
        browsing(community.bot) as visitor,
    ):
        page = await visitor.enter((await link_of(boss)).removeprefix(visitor.address))
        assert f"discord:{GUILD}" in page.html
        community.later(minutes=6)
        assert (await visitor.get("/desk")).status == 200
        local_discord.guild.members[boss.id].roles.clear()
        assert (await visitor.get("/desk")).status == 200
        community.later(minutes=5)
        assert (await visitor.get("/desk")).status == 401
        # Discord hides `/ray-admin` from who manages no server; the operator need not.
        assert (
            await local_discord.ana.answer(await local_discord.ana.slash("ray help"))
        ).components == []
        helped = await otto.answer(await otto.slash("ray help"))
        answer = await otto.answer(await otto.click(helped, "Open the desk"))
        page = await visitor.enter(link_in(answer))
        assert "every place" in page.html
        # Where the server's own settings show it to them, they may use it.
        [admin] = [
            each for each in community.discord.commands.all() if each["name"] == "ray-admin"
        ]
        admin["default_member_permissions"] = None
        assert "every place" in (await visitor.enter(await link_of(otto))).html
        helped.seen_by = local_discord.ana.id
        refused = await local_discord.ana.answer(
            await local_discord.ana.click(helped, "Open the desk")
        )
        assert "belongs to another version" in refused.content


async def test_without_a_desk_it_is_said_how_to_get_one(community: Community) -> None:
    boss = community.discord.person("Boss", community.guild, allows=Permission.MANAGE_GUILD)
    answer = await boss.answer(await boss.slash("ray-admin desk"))
    assert "The desk is not open here" in answer.content
    assert "enabled = true in" in answer.content
    assert "charged" not in answer.content


# ---- what Discord says of somebody -------------------------------------------------------------


@asynccontextmanager
async def standing_by(community: Community, local_discord: LocalDiscord) -> AsyncIterator[IsAdmin]:
    """Another process, which signs in to Discord and does not listen."""

    class Beside(SingleProcess):
        is_single = False

        async def alone(self, role: str, work: object, *, parts: object = ()) -> None:
            await asyncio.Event().wait()

    studio = community.bot.studio_with(replicas=Beside())
    adapter = create(local_discord.settings(), studio, clock=local_discord.clock)
    listening = asyncio.create_task(adapter.run())
    async with asyncio.timeout(30):
        while adapter._silent is None:
            await asyncio.sleep(0.01)
    try:
        yield lambda user: adapter.is_admin(to_requester(user))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def to_requester(user: User) -> Requester:
    return Requester(
        adapter="discord", workspace=str(GUILD), user=str(user.id), display_name=user.name
    )


@pytest.mark.parametrize("is_listening", [True, False])
async def test_discord_says_who_manages_a_server_now(
    community: Community, local_discord: LocalDiscord, *, is_listening: bool
) -> None:
    managed = local_discord.discord.person(
        "Boss", local_discord.guild, allows=Permission.MANAGE_GUILD
    )
    admin = local_discord.discord.person(
        "Admin", local_discord.guild, allows=Permission.ADMINISTRATOR
    )
    stranger = local_discord.discord.person("Stranger")

    async def check(is_admin: IsAdmin) -> None:
        for each, holds in (
            (managed.user, True),
            (admin.user, True),
            (local_discord.guild.owner, True),
            (local_discord.ana.user, False),
            (stranger.user, False),
        ):
            assert await is_admin(each) is holds, each.name
        local_discord.guild.roles[
            next(iter(local_discord.guild.members[managed.id].roles))
        ].permissions = Permission.NONE
        assert not await is_admin(managed.user)
        del local_discord.guild.members[admin.id]
        assert not await is_admin(admin.user)
        local_discord.discord.faults.drop("GET", r"/members/", times=5)
        with pytest.raises(DeliveryError):
            await is_admin(local_discord.guild.owner)
        local_discord.discord.faults.clear()
        local_discord.discord.faults.add(
            "GET", r"/members/", status=403, json={"message": "no", "code": 0}
        )
        with pytest.raises(DeliveryError):
            await is_admin(local_discord.guild.owner)

    if is_listening:
        adapter = community.bot.app._adapters["discord"]
        await check(lambda user: adapter.is_admin(to_requester(user)))
        return
    async with standing_by(community, local_discord) as is_admin:
        await check(is_admin)
