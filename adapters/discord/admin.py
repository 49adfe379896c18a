"""`/ray-admin`: what those who manage a server read and decide; the studio carries it out."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import discord

from adapters.admin_text import blocked_line
from adapters.discord import community, forgetting, render
from adapters.discord.admin_commands import checked
from adapters.discord.replies import tell
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed, of_no_clip
from bot.request import Requester
from bot.text import (
    Text,
    describe_limits,
    describe_rules,
    describe_server_usage,
    describe_usage_by_day,
)

if TYPE_CHECKING:
    from bot.studio import Document, Studio

Interaction = discord.Interaction[Any]
Given = Mapping[str, Any]
NONE_LEFT = (
    "That would leave no channel on the list, and then all of them are allowed. Allow another one "
    "first, or stop me everywhere with /ray-admin pause."
)
#: More may be allowed than a message has room for.
CHANNELS_SHOWN = 60


class Admin:
    """Carries out what the rights of Discord allow; they are checked here again."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._studio = studio
        self._admin = studio.admin
        self._clock = clock
        self._community = community.Community(studio, clock=clock)

    async def answer(
        self, interaction: Interaction, act: str, actor: Requester, given: Given
    ) -> None:
        """Carry out one act; Discord's own setting of who sees the command can be too generous."""
        with of_no_clip():
            await self._answer(interaction, act, actor, given)

    async def _answer(
        self, interaction: Interaction, act: str, actor: Requester, given: Given
    ) -> None:
        if not (interaction.permissions.manage_guild or self._admin.is_operator(actor)):
            raise NotAllowed("Only who may manage this server can do that.")
        self._admin.check(actor.tenant, actor=actor)
        match act:
            case _ if act in community.ACTS:
                await tell(interaction, await self._community.answer(act, actor, given))
            case "usage":
                await self._usage(interaction, actor, given["days"])
            case "limits":
                await self._limits(interaction, actor)
            case "desk":
                invitation = await self._studio.entry.invite(actor)
                await tell(interaction, render.draw_invitation(invitation))
            case "channel":
                await self._channel(interaction, actor, given)
            case "defaults":
                await self._defaults(interaction, actor, given)
            case "block" | "unblock" | "forget":
                await self._person(interaction, act, actor, given)
            case "pause" | "resume":
                await self._pause(interaction, act, actor, given)
            case _:
                raise InvalidRequest("This command belongs to another version of Raybot.")

    async def _pause(
        self, interaction: Interaction, act: str, actor: Requester, given: Given
    ) -> None:
        if act == "resume":
            await self._admin.resume(actor.tenant, actor=actor)
            await tell(interaction, "Raybot takes requests here again.")
            return
        await self._admin.pause(actor.tenant, actor=actor, message=given["message"])
        await tell(interaction, "Paused: nothing new is started; what runs goes on.")

    async def _usage(self, interaction: Interaction, actor: Requester, days: int) -> None:
        used = await self._admin.usage_of_days(actor.tenant, days)
        page = describe_server_usage(used.people, used.models, since=used.since, until=used.until)
        pages = [page] if used.chart else [page, describe_usage_by_day(used.days)]
        await tell(
            interaction, _draw_all(pages), files=[_to_file(each) for each in used.documents]
        )

    async def _limits(self, interaction: Interaction, actor: Requester) -> None:
        limits = await self._admin.limits(actor.tenant)
        rules = await self._admin.rules(actor.tenant)
        times = [limits.month_ends, *filter(None, [rules.paused_at])]
        pages = [describe_limits(limits), describe_rules(rules)]
        await tell(interaction, _draw_all(pages, times=times))

    async def _channel(self, interaction: Interaction, actor: Requester, given: Given) -> None:
        rules = await self._admin.rules(actor.tenant)
        channels, is_allowed = dict(rules.channels), given["is_allowed"]
        if given["place"] is None:
            channels.clear()
        elif is_allowed:
            place = checked(given["place"])
            channels[place.id] = place.name
        else:
            channels.pop(checked(given["place"]).id, None)
        if not (channels or is_allowed):
            raise InvalidRequest(NONE_LEFT)
        await self._admin.set_channels(actor.tenant, channels, actor=actor)
        # The last ones: what was just allowed is among them.
        names = [f"<#{each}>" for each in channels][-CHANNELS_SHOWN:]
        if more := len(channels) - len(names):
            names.append(f"and {more} more")
        await tell(interaction, f"Raybot can be used in {', '.join(names) or 'every channel'}.")

    async def _defaults(self, interaction: Interaction, actor: Requester, given: Given) -> None:
        channel = checked(given["place"]).id if given["place"] else ""
        changes = {given["setting"]: given["value"].strip()}
        held = await self._admin.set_defaults(actor.tenant, changes, actor=actor, channel=channel)
        where = f"<#{channel}>" if channel else "this server"
        words = ", ".join(f"{name} {value}" for name, value in held.items())
        await tell(interaction, f"Defaults of {where}: {words or 'none of its own'}.")

    async def _person(
        self, interaction: Interaction, act: str, actor: Requester, given: Given
    ) -> None:
        user = given["user"]
        if act == "forget":
            await forgetting.show(interaction, self._studio, actor, user=user)
            return
        if act == "unblock":
            await self._admin.unblock(actor.tenant, user, actor=actor)
            await tell(interaction, f"<@{user}> can ask again.")
            return
        days = given["days"]
        until = self._clock.now() + timedelta(days=days) if days else None
        await self._admin.block(
            actor.tenant, user, actor=actor, until=until, reason=given["reason"]
        )
        await tell(interaction, blocked_line(f"<@{user}>", days))


def _draw_all(pages: Sequence[Text], *, times: Sequence[datetime] = ()) -> str:
    """Several pages as one message, each with the same room."""
    room = render.MAX_CHARS // len(pages) - 1
    return "\n".join(render.draw_text(each, max_chars=room, times=times) for each in pages)


def _to_file(document: Document) -> discord.File:
    content = io.BytesIO(document.content)
    return discord.File(content, filename=document.name, description=document.alt or None)
