"""Answers to one person: acknowledgements, refusals, pages, and what buttons and admins do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

import discord

from adapters.command_text import (
    Cancel,
    Command,
    Confirm,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
)
from adapters.discord import render
from adapters.discord.buttons import Choice
from adapters.discord.parse import is_moderator, to_job_id
from adapters.discord.replies import tell
from bot.clock import Clock
from bot.errors import InvalidRequest
from bot.log import get_logger
from bot.notices import Delivered
from bot.request import Requester
from bot.text import describe_settings, describe_usage, help_text, price_words

if TYPE_CHECKING:
    from bot.studio import Shown, Studio

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
Page = Help | Usage | Jobs | SettingsCommand
MAX_CHARS = 2000


class Answers:
    """What a person reads, drawn from the studio's pages."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._studio = studio
        self._clock = clock

    async def reply(self, message: discord.Message, content: str) -> None:
        """Answer a message, without a ping; nothing more where that is not allowed."""
        with suppress(discord.Forbidden, discord.NotFound):
            try:
                await message.reply(content, mention_author=False, suppress_embeds=True)
            except discord.HTTPException as error:
                if error.code not in {160002, 50035}:
                    raise
                await message.channel.send(content, suppress_embeds=True)

    # ---- pages ---------------------------------------------------------------------------

    async def page(
        self, interaction: Interaction, name: str, requester: Requester, given: Mapping[str, Any]
    ) -> None:
        """`/ray jobs|show|usage|settings|help`."""
        channel = str(interaction.channel_id or "")
        match name:
            case "show":
                shown = await self._studio.show(to_job_id(given["job"]), requester)
                await self._show(interaction, shown)
                return
            case "jobs":
                command: Page = Jobs(search=given["search"], page=given["page"])
            case "usage":
                command = Usage()
            case "settings":
                name, value = given["setting"], given["value"]
                command = SettingsCommand(changes={name: value} if name else {})
            case _:
                command = Help()
        await tell(interaction, await self._words(command, requester, channel=channel))

    async def _words(self, command: Page, requester: Requester, *, channel: str) -> str:
        match command:
            case Help():
                return render.draw_text(help_text(self._studio.models()))
            case Usage():
                report = await self._studio.usage(requester, channel=channel)
                resets = [each.resets_at for each in report.allowances if each.resets_at]
                return render.draw_text(describe_usage(report), times=resets)
            case Jobs(search=search, page=page):
                return await self._jobs(requester, search, page)
            case SettingsCommand(changes=changes):
                if changes:
                    values = await self._studio.change_settings(requester, changes)
                else:
                    values = await self._studio.settings(requester)
                return render.draw_text(describe_settings(values))
        assert_never(command)

    async def _jobs(self, requester: Requester, search: str, page: int) -> str:
        """Half a page of the studio's: more links do not fit into a message."""
        half, rest = divmod(page + 1, 2)
        lines = await self._studio.jobs(requester, search=search, page=half)
        start = rest * render.JOBS_A_PAGE
        return render.draw_jobs(lines[start : start + render.JOBS_A_PAGE], page=page)

    async def _show(self, interaction: Interaction, shown: Shown) -> None:
        """A job's page, with the clip itself where it fits here."""
        content = render.draw_shown(shown, now=self._clock.now())
        files: list[discord.File] = []
        notice = shown.notice
        if isinstance(notice, Delivered):
            drawn = render.draw(notice, now=self._clock.now())
            if notice.bytes <= interaction.filesize_limit and drawn.file is not None:
                files = [
                    discord.File(
                        drawn.file.path,
                        filename=drawn.file.filename,
                        description=drawn.file.alt,
                        spoiler=drawn.file.is_spoiler,
                    )
                ]
            else:
                content += "\n-# The clip is too large to be shown here."
        await tell(interaction, content, files=files)

    async def obey(self, message: discord.Message, command: Command, requester: Requester) -> None:
        """A verb that was typed in a message."""
        match command:
            case Help() | Usage() | Jobs() | SettingsCommand():
                words = await self._words(command, requester, channel=str(message.channel.id))
                await self.reply(message, words)
            case Show(job_id=job_id):
                shown = await self._studio.show(job_id, requester)
                drawn = render.draw_shown(shown, now=self._clock.now())
                await self.reply(message, drawn)
            case Cancel(job_id=job_id):
                await self._studio.cancel(job_id, requester)
                await self.reply(message, f"`{job_id}` is taken back.")
            case Confirm(job_id=job_id):
                await self._studio.confirm(job_id, requester)
            case Retry(job_id=job_id):
                raise InvalidRequest(f"Use the Retry button under {job_id}, or /ray show.")
            case _:
                assert_never(command)

    # ---- acts ----------------------------------------------------------------------------

    async def act(
        self, interaction: Interaction, action: str, target: str, requester: Requester
    ) -> None:
        """A button other than Retry and Remix."""
        can_moderate = is_moderator(interaction)
        match action:
            case "cancel":
                job_id = to_job_id(target)
                notice = await self._studio.cancel(job_id, requester, is_moderator=can_moderate)
                await tell(interaction, render.draw(notice, now=self._clock.now()).content)
            case "confirm":
                receipt = await self._studio.confirm(to_job_id(target), requester)
                await tell(interaction, render.draw_receipt(receipt, None))
            case "delete":
                job_id = to_job_id(target)
                await self._studio.delete(job_id, requester, is_moderator=can_moderate)
                await tell(interaction, f"The clip of `{job_id}` is deleted.")
            case _:
                raise InvalidRequest("This button belongs to another version of Raybot.")

    # ---- what the listener needs ---------------------------------------------------------

    async def sizes(self, requester: Requester, channel: str) -> list[Choice]:
        """Lengths and sizes with their prices, as flags."""
        return [
            Choice(
                label=f"{each.duration} · {each.resolution} · {price_words(each.price)}",
                value=f"{each.duration} {each.resolution}",
                is_default=each.is_default,
            )
            for each in await self._studio.offers(requester, channel)
        ]
