"""The first and the last word to one person: an acknowledgement in time, and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from adapters.discord import buttons, render
from bot.log import get_logger

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
#: Too late, answered already (by another process, or a repeated callback), or its token ended.
ACK_LOST = {10062, 40060, 10015, 50027}


async def acknowledge(interaction: Interaction) -> bool:
    """Tell Discord in time that an answer comes, for this person only; False: it is nobody's."""
    try:
        await interaction.response.defer(ephemeral=True, thinking=True)
    except discord.HTTPException as error:
        age = (discord.utils.utcnow() - interaction.created_at).total_seconds()
        log.warning("discord.ack_lost", code=error.code, age=round(age, 1))
        return False
    return True


async def tell(
    interaction: Interaction,
    content: str,
    *,
    drawn: Sequence[render.Button] = (),
    files: Sequence[discord.File] = (),
) -> None:
    """Say something to this person only, as the interaction's answer; a lost token is no fault."""
    view = buttons.to_view(drawn) if drawn else None
    try:
        if interaction.response.is_done():
            await interaction.edit_original_response(
                content=content, view=view, attachments=list(files)
            )
        else:
            await interaction.response.send_message(
                content, ephemeral=True, view=view or discord.utils.MISSING, files=list(files)
            )
    except discord.HTTPException as error:
        if error.code not in ACK_LOST:
            raise
        log.warning("discord.answer_lost", code=error.code)
