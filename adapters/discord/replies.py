"""The first and the last word to one person: an acknowledgement in time, and an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import aiohttp
import discord
from discord import app_commands, ui

from adapters.discord import buttons, render
from adapters.discord.choices import Button, choices_under
from bot.errors import BotError
from bot.log import get_logger

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
#: Too late, answered already (by another process, or a repeated callback), its token ended, its
#: person has closed the answer, or its place is gone, closed to us or put away since.
LOST = {10062, 40060, 10015, 50027, 10008, 10003, 50001, 50083}
#: Where the connection was cut it may still arrive; another process, if it has taken this in hand,
#: has answered by then.
ARRIVAL_SECONDS, OTHERS_SECONDS = 5.0, 60.0
#: Pauses before that is tried again, while Discord does not answer.
AGAIN_SECONDS = (5.0, 30.0, 120.0)
#: What was acknowledged, while somebody's server was looked for, can open no form any more.
LOOKED_FIRST = "I had to look for your server first. Please do that again; now the form opens."
NOTHING_WAS_STARTED = "That did not arrive as it should, so nothing was started. Please ask again."


async def acknowledge(interaction: Interaction) -> bool:
    """Tell Discord in time that an answer comes, for this person only; False: it is nobody's."""
    try:
        with interaction.client.in_hand.one():
            await interaction.response.defer(ephemeral=True, thinking=True)
    except discord.HTTPException as error:
        age = (discord.utils.utcnow() - interaction.created_at).total_seconds()
        log.warning("discord.ack_lost", code=error.code, age=round(age, 1))
        await _say_nothing_was_started(interaction, after=OTHERS_SECONDS)
        return False
    except (aiohttp.ClientError, OSError) as error:
        # Perhaps it arrived: whoever starts nothing is right in both cases.
        log.warning("discord.ack_lost", cause=type(error).__name__)
        await _say_nothing_was_started(interaction, after=ARRIVAL_SECONDS)
        return False
    except RuntimeError:
        # aiohttp's word for a session that is closed.
        if not interaction.client.is_closed():
            raise
        log.warning("discord.ack_lost", cause="stopping")
        return False
    return True


async def _say_nothing_was_started(interaction: Interaction, *, after: float) -> None:
    """End "thinking…" where an acknowledgement arrived, and we heard nothing of it.

    Discord's library repeats a call that failed and reads then that it is answered already: by
    itself, or by another process, which has until then to say something.
    """
    clock = interaction.client.clock
    for seconds in (after, *AGAIN_SECONDS):
        await clock.wait(asyncio.Event(), clock.now() + timedelta(seconds=seconds))
        try:
            if (await interaction.original_response()).flags.loading:
                await interaction.edit_original_response(content=NOTHING_WAS_STARTED)
        except discord.HTTPException as error:
            if error.code in LOST:
                return
        except (aiohttp.ClientError, OSError) as error:
            log.warning("discord.ack_lost", cause=type(error).__name__)
        except RuntimeError:
            if not interaction.client.is_closed():
                raise
            return
        else:
            return


async def show_form(interaction: Interaction, form: ui.Modal) -> None:
    """Let this person fill in a form; one that came too late is no fault."""
    if interaction.response.is_done():
        await tell(interaction, LOOKED_FIRST)
        return
    try:
        await interaction.response.send_modal(form)
    except discord.HTTPException as error:
        if error.code not in LOST:
            raise
        log.warning("discord.form_lost", code=error.code)
    else:
        interaction.client.forms.add(form)


async def tell(
    interaction: Interaction,
    content: str,
    *,
    drawn: Sequence[Button] = (),
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
        if error.code not in LOST:
            raise
        log.warning("discord.answer_lost", code=error.code)


async def refuse(interaction: Interaction, error: BotError) -> None:
    """Say to this person only why something is not done."""
    await tell(interaction, render.draw_error(error), drawn=choices_under(error))


async def tell_fault(interaction: Interaction, error: app_commands.AppCommandError) -> None:
    """A command that this process does not know, or a fault of ours."""
    if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
        await tell(interaction, "This command has changed. Please reload Discord (Ctrl+R).")
        return
    log.error("discord.command_fault", exc_info=error)
    await tell(interaction, render.draw_error(BotError()))
