"""Answers to one person: acknowledgements, refusals, pages, and what buttons and admins do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import discord

from adapters.command_text import (
    Cancel,
    Command,
    Confirm,
    Delete,
    Follow,
    Forget,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
)
from adapters.discord import care, deleting, forgetting, parse, render
from adapters.discord.buttons import Choice, to_view
from adapters.discord.choices import DESK, Button, choices_under
from adapters.discord.commands import ANIMATE
from adapters.discord.messages import to_file, without_prompt
from adapters.discord.replies import tell
from adapters.work_text import Finish, Redo
from bot.clock import Clock
from bot.errors import BotError, InvalidRequest, NotAllowed
from bot.log import get_logger
from bot.notices import Delivered, for_all
from bot.request import Requester, Work
from bot.text import describe_settings_in, describe_usage, price_words, short_help, thing

if TYPE_CHECKING:
    from bot.studio import Shown, Studio

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
Page = Help | Usage | Jobs | SettingsCommand
TOO_LARGE = 40005
#: What stands in a channel where only one person may read why, or how much.
ONLY_YOU = "I could not do that; only you can read why."
YOUR_OWN = "That is for your eyes only."
FORGOTTEN = "I do not remember why any more. Nothing was started; you may ask again."
#: So many reasons are remembered, the newest ones.
REASONS = 1000
#: The command that is there only where something makes stills.
STILL = "still"
#: What `/ray help` says of each command, in the order of use.
COMMANDS = {
    "create": "a clip from words, and pictures if you like",
    "animate": "set a picture in motion",
    "story": "one film of several shots",
    STILL: "a picture from words",
    "more": "something made of a clip: go on, vary, enlarge, change",
    "jobs": "your clips, and the way to each",
    "show": "one of them again",
    "cancel": "take a request back",
    "usage": "what you used, and what is left",
    "settings": "your own defaults",
    "forget-me": "remove all that is kept of you here",
}
TOO_LARGE_HERE = "-# It is too large to be shown here."
#: Acts that make sense under a page about a job; what starts another one belongs to its message.
SHOWN_ACTS = {"cancel", "confirm", "delete"}
_NO_BUTTONS: Sequence[Button] = ()


class Answers:
    """What a person reads, drawn from the studio's pages."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._studio = studio
        self._clock = clock
        self._command_id = ""
        self._reasons: OrderedDict[str, tuple[str, Sequence[Button]]] = OrderedDict()
        self.care = care.Care(studio)

    async def reply(
        self,
        message: discord.Message,
        content: str,
        *,
        files: Callable[[], list[discord.File]] = list,
        button: Button | None = None,
    ) -> bool:
        """Answer a message, without a ping; False where that is not allowed."""
        said: dict[str, Any] = {"suppress_embeds": True}
        if button is not None:
            said["view"] = to_view([button])
        try:
            try:
                await message.reply(content, mention_author=False, files=files(), **said)
            except discord.HTTPException as error:
                if error.code not in {160002, 50035}:
                    raise
                # Those that were sent once are closed.
                await message.channel.send(content, files=files(), **said)
        except discord.HTTPException as error:
            log.warning("discord.no_reply", status=error.status, code=error.code)
            return False
        return True

    async def refuse(self, message: discord.Message, error: BotError) -> None:
        """Say why a message starts nothing.

        What is about its words stands beside them. What is about the person only they read: in a
        direct message or, where they take none, behind a button.
        """
        words, drawn = render.draw_error(error), choices_under(error)
        view: dict[str, Any] = {"view": to_view(drawn)} if drawn else {}
        is_open = message.guild is None or isinstance(error, InvalidRequest)
        if is_open and await self.reply(message, words):
            return
        try:
            said = f"{words}\n{message.jump_url}"
            await message.author.send(said, suppress_embeds=True, **view)
        except discord.DiscordException:
            if not is_open:
                await self._refuse_behind_a_button(message, words, drawn)

    async def _refuse_behind_a_button(
        self, message: discord.Message, words: str, drawn: Sequence[Button]
    ) -> None:
        asked = f"{message.author.id}:{message.id}"
        self._reasons[asked] = words, drawn
        while len(self._reasons) > REASONS:
            self._reasons.popitem(last=False)
        button = Button(label="Why?", action="why", job=asked, style="secondary")
        await self.reply(message, ONLY_YOU, button=button)

    def _why(self, asked: str, requester: Requester) -> tuple[str, Sequence[Button]]:
        user, _, _ = asked.partition(":")
        if user != requester.user:
            raise NotAllowed("Only who asked for that can read why it was refused.")
        return self._reasons.get(asked, (FORGOTTEN, ()))

    # ---- pages ---------------------------------------------------------------------------

    async def page(
        self, interaction: Interaction, name: str, requester: Requester, given: Mapping[str, Any]
    ) -> None:
        """`/ray jobs|show|usage|settings|forget-me|help`."""
        drawn = _NO_BUTTONS
        match name:
            case "forget-me":
                await forgetting.show(interaction, self._studio, requester)
                return
            case "show":
                shown = await self._studio.show(parse.to_job_id(given["job"]), requester)
                await self._show(interaction, shown)
                return
            case "jobs":
                command: Page = Jobs(search=given["search"], page=given["page"])
            case "usage":
                command = Usage()
            case "settings":
                name, value = given["setting"], given["value"].strip()
                command = SettingsCommand(changes={name: value} if name else {})
            case _:
                # This command and the others are parts of one, whose id names them all.
                about: Any = interaction.data or {}
                self._command_id = str(about.get("id", ""))
                command = Help()
                if self._studio.entry.address and self._studio.admin.is_operator(requester):
                    drawn = [DESK]
        said = await self._words(command, requester, interaction.channel)
        await tell(interaction, said, drawn=drawn)

    async def _words(
        self, command: Page, requester: Requester, place: Any, *, is_public: bool = False
    ) -> str:
        channel = parse.place_of(place)
        match command:
            case Help():
                return self._help()
            case Usage():
                report = await self._studio.usage(requester, channel=channel)
                return render.draw_text(describe_usage(report), times=report.times)
            case Jobs(search=search, page=page):
                return await self._jobs(requester, search, page, is_public=is_public)
            case SettingsCommand(changes=changes):
                if changes:
                    await self._studio.preferences.change(requester, changes)
                held = await self._studio.preferences.in_channel(requester, channel)
                return render.draw_text(describe_settings_in(held))
        assert_never(command)

    def _help(self) -> str:
        """Every command, to be clicked where its id is known, and what can be typed."""
        stills = self._studio.preferences.models("image")
        known = {k: v for k, v in COMMANDS.items() if stills or k != STILL}
        lines = [f"{self._mention(name)} · {what}" for name, what in known.items()]
        lines += [f"On a message with a picture: Apps → {ANIMATE}"]
        said = "\n".join(lines)
        room = render.MAX_CHARS - render.units(said) - 1
        typed = render.draw_text(
            short_help(self._studio.preferences.models(), stills), max_chars=room
        )
        return f"{said}\n{typed}"

    def _mention(self, name: str) -> str:
        return f"</ray {name}:{self._command_id}>" if self._command_id else f"`/ray {name}`"

    async def _jobs(self, requester: Requester, search: str, page: int, *, is_public: bool) -> str:
        """Half a page of the studio's: more links do not fit into a message.

        Where others read along, private ones are left out.
        """
        half, rest = divmod(page + 1, 2)
        lines = await self._studio.jobs(requester, search=search, page=half)
        start = rest * render.JOBS_A_PAGE
        shown = [
            each
            for each in lines[start : start + render.JOBS_A_PAGE]
            if not (is_public and each.is_private)
        ]
        return render.draw_jobs(shown, page=page)

    async def _show(self, interaction: Interaction, shown: Shown) -> None:
        """A job's page, with the clip itself where it fits here."""
        content = render.draw_shown(shown, now=self._clock.now())
        drawn = render.draw(shown.notice, now=self._clock.now())
        acts = [each for each in drawn.buttons if each.action in SHOWN_ACTS]
        files = _files(shown, drawn, interaction.filesize_limit)
        try:
            if files or not isinstance(shown.notice, Delivered):
                await tell(interaction, content, drawn=acts, files=files)
                return
        except discord.HTTPException as error:
            if error.code != TOO_LARGE:
                raise
        room = render.MAX_CHARS - len(TOO_LARGE_HERE) - 1
        content = render.draw_shown(shown, now=self._clock.now(), max_chars=room)
        await tell(interaction, f"{content}\n{TOO_LARGE_HERE}", drawn=acts)

    async def obey(self, message: discord.Message, command: Command, requester: Requester) -> None:
        """A verb that was typed in a message; `retry` starts something, which is not for here."""
        match command:
            case Usage() if message.guild is not None:
                button = Button(label="Usage", action="usage", job="own", style="secondary")
                await self.reply(message, YOUR_OWN, button=button)
            case Help() | Usage() | Jobs() | SettingsCommand():
                words = await self._words(
                    command, requester, message.channel, is_public=message.guild is not None
                )
                await self.reply(message, words)
            case Show(job_id=job_id):
                await self._show_again(message, await self._studio.show(job_id, requester))
            case Cancel(job_id=job_id):
                # Others need not read what a private one was about.
                may, studio = parse.may_moderate(message), self._studio
                notice = without_prompt(await studio.cancel(job_id, requester, is_moderator=may))
                drawn = render.draw(notice, now=self._clock.now())
                await self.reply(message, drawn.content)
            case Confirm(job_id=job_id):
                receipt = await self._studio.confirm(job_id, requester)
                await self.reply(message, render.draw_receipt(receipt, None))
            case Redo() | Finish():
                await self.reply(message, await self._decide(command, requester, message.id))
            case Delete(job_id=job_id):
                what = thing(await self._studio.work_of(job_id, requester))
                words, sure = deleting.question(job_id, what)
                await self.reply(message, words, button=sure)
            case Retry() | Follow() | Forget():
                raise InvalidRequest("Use the Retry button under it.")
            case _:
                assert_never(command)

    async def forget(
        self, message: discord.Message, requester: Requester, *, is_confirmed: bool
    ) -> None:
        """What there is of somebody; where others read along, behind a button."""
        if message.guild is not None:
            await self.reply(message, YOUR_OWN, button=forgetting.ASKS)
            return
        page = await self._studio.erasure.forget(requester, is_confirmed=is_confirmed)
        words, button = forgetting.draw(page, requester)
        await self.reply(message, words, button=button)

    async def _show_again(self, message: discord.Message, shown: Shown) -> None:
        """The clip itself comes only where nobody else looks on."""
        if message.guild is not None and shown.line.is_private:
            raise InvalidRequest(
                "That one is private. /ray show tells you of it, and nobody else."
            )
        if message.guild is not None:
            shown = replace(shown, notice=for_all(shown.notice))
        content = render.draw_shown(shown, now=self._clock.now())
        if message.guild is not None:
            await self.reply(message, content)
            return
        drawn = render.draw(shown.notice, now=self._clock.now())
        limit = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
        await self.reply(message, content, files=lambda: _files(shown, drawn, limit))

    # ---- acts ----------------------------------------------------------------------------

    async def act(
        self, interaction: Interaction, action: str, target: str, requester: Requester
    ) -> None:
        """A button other than Retry and Remix; only who pressed it reads the answer."""
        can_moderate, drawn = parse.is_moderator(interaction), _NO_BUTTONS
        if action in forgetting.ACTS:
            await forgetting.act(interaction, self._studio, action, target, requester)
            return
        if action in deleting.ACTS:
            await deleting.act(interaction, self._studio, action, target, requester)
            return
        match action:
            case "cancel":
                job_id = parse.to_job_id(target)
                notice = await self._studio.cancel(job_id, requester, is_moderator=can_moderate)
                said = render.draw(notice, now=self._clock.now()).content
            case "confirm":
                receipt = await self._studio.confirm(parse.to_job_id(target), requester)
                said = render.draw_receipt(receipt, None)
            case "redo" | "finish":
                film, _, shot = target.partition(":")
                job_id, number = parse.to_job_id(film), int(shot) if shot.isdecimal() else 0
                chosen = Finish(job_id) if action == "finish" else Redo(job_id, number)
                said = await self._decide(chosen, requester, interaction.id)
            case "why":
                said, drawn = self._why(target, requester)
            case "usage":
                said = await self._words(Usage(), requester, interaction.channel)
            case _ if action in care.ACTS:
                said = await self.care.act(
                    action, parse.to_job_id(target), requester, can_moderate=can_moderate
                )
            case _:
                said = await self._operate(action, target, requester)
        await tell(interaction, said, drawn=drawn)

    async def _decide(self, chosen: Redo | Finish, requester: Requester, said_in: int) -> str:
        """What is to become of a film of which a shot failed; `said_in` has it done once."""
        stories, key = self._studio.stories, f"{parse.NAME}:{said_in}"
        if isinstance(chosen, Finish):
            notice = await stories.finish(chosen.job_id, requester)
            return render.draw(notice, now=self._clock.now()).content
        receipt = await stories.redo(
            chosen.job_id, chosen.shot, requester, dedupe_key=key, prompt=chosen.prompt
        )
        return render.draw_receipt(receipt, None)

    async def _operate(self, action: str, target: str, actor: Requester) -> str:
        """The buttons under what the operator is told; the studio knows who that is."""
        admin = self._studio.admin
        match action:
            case "desk" if admin.is_operator(actor):
                return render.draw_invitation(await self._studio.entry.invite(actor))
            case "approve":
                await admin.approve(target, actor=actor)
                return f"`{target}` is served from now on."
            case "close":
                await admin.close(target, actor=actor)
                return f"`{target}` is not served."
            case "charge" | "release":
                job_id = parse.to_job_id(target)
                notice = await admin.resolve(job_id, action, actor=actor)
                return render.draw(notice, now=self._clock.now()).content
            case _:
                raise InvalidRequest("This button belongs to another version of Raybot.")

    # ---- what the listener needs ---------------------------------------------------------

    async def sizes(self, requester: Requester, channel: str, work: Work | None) -> list[Choice]:
        """Lengths and sizes with their prices, as flags; those of a work are chosen already."""
        model = work.model if work is not None and "model" in work.typed else ""
        offers = await self._studio.preferences.offers(requester, channel, model=model)
        chosen = None
        if work is not None and work.kind == "video":
            chosen = work.duration, work.resolution
        return [
            Choice(
                label=f"{each.duration} · {each.resolution} · {price_words(each.price)}",
                value=f"{each.duration} {each.resolution}",
                is_default=(each.duration, each.resolution) == chosen
                if chosen is not None
                else each.is_default,
            )
            for each in offers
        ]


def _files(shown: Shown, drawn: render.Drawn, limit: int) -> list[discord.File]:
    """The kept clip, where there is one and the place takes it."""
    if not isinstance(shown.notice, Delivered) or drawn.file is None:
        return []
    return [to_file(drawn.file)] if shown.notice.bytes <= limit else []
