"""The forms that start from an earlier job: Remix, Animate, Edit and retry. Decides nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import discord

from adapters.discord.buttons import Filled
from adapters.discord.choices import EDIT
from adapters.discord.commands import ANIMATE
from adapters.discord.interactions import InteractionHost
from adapters.discord.parse import DIRECT, Asked, is_private, where_asked
from adapters.discord.replies import refuse
from adapters.follow_ups import check_remix
from bot.refs import JobId, ThreadRef
from bot.request import ClipFrame, frames_of

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
ACTS = frozenset({"remix", "animate", "edit"})


class Remakes:
    """Opens the form for a job, and asks for what is filled in."""

    def __init__(self, studio: Studio, host: InteractionHost) -> None:
        self._studio = studio
        self._host = host

    async def open(self, interaction: Interaction, job_id: JobId, *, action: str) -> None:
        """Open the form that a button stands for."""
        async with self._host.boundary(partial(refuse, interaction)):
            if action == "animate":
                await self._animate(interaction, job_id)
            else:
                await self._remake(interaction, job_id, is_edit=action == "edit")

    async def _remake(self, interaction: Interaction, job_id: JobId, *, is_edit: bool) -> None:
        requester = await self._host.requester(interaction, job=job_id)
        work = await self._studio.draft_of(job_id, requester)
        check_remix(work, job_id)
        # A letter with this button tells of what was asked for in a channel, and belongs there.
        before = await self._studio.thread_of(job_id, requester)
        place = before if is_edit or _is_for_one(before) else None

        async def on_filled(submitted: Interaction, filled: Filled) -> None:
            start, end = frames_of(work)
            is_still = work.kind == "image"
            await self._host.on_filled(
                submitted, filled, start, end, retry_of=job_id, is_still=is_still, place=place
            )

        title = EDIT if is_edit else "Remix"
        await self._host.open_form(interaction, title, on_filled, work=work)

    async def _animate(self, interaction: Interaction, job_id: JobId) -> None:
        """The form for a picture that we made."""

        async def on_filled(submitted: Interaction, filled: Filled) -> None:
            await self._host.on_filled(submitted, filled, ClipFrame(job_id=job_id))

        await self._host.open_form(interaction, ANIMATE, on_filled, needs_prompt=False)


def is_kept_private(interaction: Interaction, before: ThreadRef | None) -> bool:
    """Whether only its person is to see the answer: as that above it, or `before`, wherever asked.

    A direct message keeps it so already.
    """
    source = interaction.message
    is_settled = before is not None and not is_private(before)
    if source is not None and source.flags.ephemeral and not is_settled:
        return True
    is_open = where_asked(interaction) == "here"
    return is_open and before is not None and _is_for_one(before)


def _is_for_one(place: ThreadRef) -> bool:
    return is_private(place) or place.workspace == DIRECT


def to_place_before(asked: Asked, before: ThreadRef) -> Asked:
    """Asked under a private word about what was asked in a server, it belongs there, too."""
    who = asked.requester
    if who.is_install or before.workspace != who.workspace or is_private(before):
        return asked
    member = who.model_copy(update={"is_direct": False, "home": ""})
    return replace(asked, requester=member, thread=before)
