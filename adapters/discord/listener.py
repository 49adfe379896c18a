"""What Raybot hears in Discord: acknowledges in time, lets `parse` read and the studio decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from adapters import command_text
from adapters.command_text import Draft
from adapters.discord import commands, parse, render
from adapters.discord.admin import Admin
from adapters.discord.answers import Answers
from adapters.discord.buttons import Choice, Filled, Form
from adapters.discord.commands import Options
from adapters.discord.delivery import Delivery
from adapters.discord.parse import NAME, Asked, Picture
from adapters.discord.replies import acknowledge, tell
from adapters.discord.session import Client, Session, Wire
from bot.clock import Clock
from bot.errors import BotError, InvalidRequest, NotAllowed
from bot.log import get_logger
from bot.refs import JobId, MessageRef
from bot.request import ClipFrame, Frame, Requester

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
#: A link to the status message is worth so long a wait.
PLACED_SECONDS = 5.0
RESTARTED = "I was restarted while this form was open. Nothing was started; please open it again."
STRIPPED = (
    "Discord does not show me that picture, because I may not read messages here. Hold or "
    f"right-click the picture's message and choose Apps → {commands.ANIMATE}."
)
STRIPPED = (
    "Discord does not show me that picture, because I may not read messages here. Hold or "
    f"right-click the picture's message and choose Apps → {commands.ANIMATE}."
)
RECONNECT = timedelta(seconds=15)


class Discord(Delivery):
    """The adapter: one session, its commands, messages and buttons."""

    def __init__(
        self,
        studio: Studio,
        wire: Wire,
        *,
        clock: Clock,
        upload_limit_bytes: int,
        can_host: bool,
        opens_threads: bool,
    ) -> None:
        super().__init__(
            clock=clock,
            serves=studio.serves,
            upload_limit_bytes=upload_limit_bytes,
            can_host=can_host,
        )
        self._studio = studio
        self._opens_threads = opens_threads
        self._session = Session(self, wire, clock=clock)
        self._answers = Answers(studio, clock=clock)
        self._admin = Admin(studio, clock=clock)

    # ---- the session ---------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and listen until cancelled; raises `ConfigError` for a token that is refused."""
        await self._session.run()

    async def on_online(self, client: Client) -> None:
        """Signed in: posts can go out, and the commands are brought up to date."""
        commands.build(client.tree, self, self._studio.models())
        self._client = client
        known = await self._studio.recall(NAME, "commands")
        present = await self._session.sync(client, known)
        if present != known:
            await self._studio.remember(NAME, "commands", present)

    async def on_command_error(
        self, interaction: Interaction, error: app_commands.AppCommandError
    ) -> None:
        """A command that this process does not know, or a fault of ours."""
        if isinstance(error, app_commands.CommandNotFound | app_commands.CommandSignatureMismatch):
            await tell(interaction, "This command has changed. Please reload Discord (Ctrl+R).")
            return
        log.error("discord.command_fault", exc_info=error)
        await tell(interaction, render.draw_error(BotError()))

    @asynccontextmanager
    async def _boundary(self, say: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
        """Whatever happens inside, the person gets a sentence."""
        try:
            yield
        except BotError as error:
            log.info("discord.refused", kind=type(error).__name__)
            await say(render.draw_error(error))
        except Exception:
            log.exception("discord.fault")
            await say(render.draw_error(BotError()))

    # ---- commands ------------------------------------------------------------------------

    async def on_ask(self, interaction: Interaction, options: Options) -> None:
        """`/ray create` and `/ray animate`."""
        if not await acknowledge(interaction):
            return
        async with self._boundary(partial(tell, interaction)):
            uploads = [
                self.images.keep(parse.to_upload(each, interaction_id=interaction.id))
                if each is not None
                else None
                for each in (options.start_frame, options.end_frame)
            ]
            start = parse.to_frame(uploads[0], options.start_link, field="start_frame")
            end = parse.to_frame(uploads[1], options.end_link, field="end_frame")
            draft, is_private = to_draft(options), options.is_private
            await self._submit(interaction, draft, start, end, is_private=is_private)

    async def on_menu(self, interaction: Interaction, message: discord.Message) -> None:
        """Open the form for the images of a message."""
        async with self._boundary(partial(tell, interaction)):
            at = f"{message.channel.id}/{message.id}"
            found = [self.images.keep(each) for each in parse.pictures_of(message, at=at)]
            clip = parse.clip_of(message) if message.author.id == self._own_id else None
            if not found and clip is None:
                raise InvalidRequest("There is no image in that message.")

            async def on_filled(submitted: Interaction, filled: Filled) -> None:
                start: Frame | None = ClipFrame(job_id=clip) if clip else None
                if found:
                    start = parse.to_frame(found[filled.picture], None, field="start_frame")
                await self._on_filled(submitted, filled, start)

            names = [
                Choice(label=f"{at + 1}. {each.attachment.filename}", value=str(at))
                for at, each in enumerate(found[:25])
            ]
            await self._open_form(
                interaction, "Animate with Ray", on_filled, pictures=names, needs_prompt=False
            )

    async def _open_form(
        self,
        interaction: Interaction,
        title: str,
        on_filled: Any,
        *,
        prompt: str = "",
        flags: str = "",
        pictures: list[Choice] | None = None,
        needs_prompt: bool = True,
    ) -> None:
        requester, channel = await self._requester(interaction), str(interaction.channel_id or "")
        sizes = await self._answers.sizes(requester, channel)
        form = Form(
            title=title,
            on_filled=on_filled,
            sizes=sizes,
            prompt=prompt,
            flags=flags,
            pictures=pictures or (),
            is_prompt_needed=needs_prompt,
        )
        await interaction.response.send_modal(form)

    async def _on_filled(
        self, interaction: Interaction, filled: Filled, start: Frame | None
    ) -> None:
        if not await acknowledge(interaction):
            return
        async with self._boundary(partial(tell, interaction)):
            draft = parse.read_form(filled.prompt, filled.flags, size=filled.size)
            end = None
            if filled.end_frame is not None:
                upload = parse.to_upload(filled.end_frame, interaction_id=interaction.id)
                end = parse.to_frame(self.images.keep(upload), None, field="end_frame")
            await self._submit(interaction, draft, start, end)

    async def _submit(
        self,
        interaction: Interaction,
        draft: Draft,
        start: Frame | None,
        end: Frame | None,
        *,
        is_private: bool = False,
    ) -> None:
        asked = await self._asked(interaction, is_private=is_private)
        request = parse.to_request(asked, draft, start=start, end=end)
        receipt = await self._studio.submit(request, place_name=_name_of(interaction.guild))
        await self._follow(interaction, receipt)

    async def _follow(self, interaction: Interaction, receipt: Receipt) -> None:
        """End the acknowledgement as one private line with a link to the public message."""
        if str(interaction.id) in self._private:
            return
        status = await self.placed(receipt.job_id, PLACED_SECONDS)
        await tell(interaction, render.draw_receipt(receipt, status))

    async def _asked(self, interaction: Interaction, *, is_private: bool) -> Asked:
        channel = interaction.channel
        if channel is None:
            raise NotAllowed("I cannot see this channel.")
        is_away = interaction.guild_id is not None and not interaction.is_guild_integration()
        is_private = is_private or is_away
        if is_private:
            self.keep_private(interaction)
        elif interaction.guild_id is not None:
            check_permissions(interaction.app_permissions, channel)
        guild_id = interaction.guild_id
        return Asked(
            dedupe_key=f"{NAME}:{interaction.id}",
            requester=await self._requester(interaction),
            thread=parse.to_thread(
                channel,
                guild_id=None if is_away else guild_id,
                interaction_id=interaction.id if is_private else None,
            ),
            is_age_restricted=parse.is_age_restricted(channel),
        )

    async def _requester(self, interaction: Interaction) -> Requester:
        locale = str(interaction.locale)
        is_install = not interaction.is_guild_integration()
        if interaction.guild_id is not None and not is_install:
            return parse.to_requester(
                interaction.user, guild_id=interaction.guild_id, locale=locale
            )
        home = await self.home_of(interaction.user.id)
        return parse.to_requester(
            interaction.user, guild_id=None, home=home, is_install=is_install, locale=locale
        )

    # ---- messages ------------------------------------------------------------------------

    async def on_message(self, message: discord.Message) -> None:
        """A mention, or anything in a direct message."""
        if message.author.bot or self._own_id is None:
            return
        said = parse.said_to(message.content, self._own_id)
        if said is None and message.guild is None:
            said = message.content
        if said is None:
            return
        async with self._boundary(partial(self._answers.reply, message)):
            command = command_text.parse(said) if said.strip() else Draft()
            guild_id = message.guild.id if message.guild else None
            home = "" if guild_id is not None else await self.home_of(message.author.id)
            requester = parse.to_requester(message.author, guild_id=guild_id, home=home)
            if not isinstance(command, Draft):
                await self._answers.obey(message, command, requester)
                return
            start, end = await self._frames_of(message)
            if not command.prompt and start is None:
                raise InvalidRequest("Say what you want to see, or reply to an image.")
            if message.guild is not None:
                own = message.channel.permissions_for(message.guild.me)
                check_permissions(own, message.channel)
            thread = parse.to_thread(message.channel, guild_id=guild_id)
            asked = Asked(
                dedupe_key=f"{NAME}:{message.id}",
                requester=requester,
                thread=thread,
                asked_in=MessageRef(thread=thread, message=str(message.id)),
                is_age_restricted=parse.is_age_restricted(message.channel),
            )
            request = parse.to_request(asked, command, start=start, end=end)
            await self._studio.submit(request, place_name=_name_of(message.guild))

    async def _frames_of(self, message: discord.Message) -> tuple[Frame | None, Frame | None]:
        """Images of the message itself, else of the one it replies to; two are start and end."""
        own = self._pictures(message)
        if not own and message.reference is not None:
            replied = message.reference.resolved
            if isinstance(replied, discord.DeletedReferencedMessage):
                raise InvalidRequest("The message you reply to was deleted.")
            if isinstance(replied, discord.Message):
                if replied.author.id == self._own_id and (clip := parse.clip_of(replied)):
                    return ClipFrame(job_id=clip), None
                own = self._pictures(replied)
                if not own and not self._session.reads_messages and message.guild is not None:
                    raise InvalidRequest(STRIPPED)
        frames = [parse.to_frame(each, None, field="start_frame") for each in own[:2]]
        return (*frames, None, None)[0], (*frames, None, None)[1]

    def _pictures(self, message: discord.Message) -> list[Picture]:
        at = f"{message.channel.id}/{message.id}"
        return [self.images.keep(each) for each in parse.pictures_of(message, at=at)]

    # ---- buttons and pages ---------------------------------------------------------------

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """A button, or `/ray cancel`."""
        if action == "remix":
            await self._on_remix(interaction, JobId(target))
            return
        if not await acknowledge(interaction):
            return
        async with self._boundary(partial(tell, interaction)):
            requester = await self._requester(interaction)
            if action != "retry":
                await self._answers.act(interaction, action, target, requester)
                return
            asked = await self._asked(interaction, is_private=False)
            receipt = await self._studio.retry(
                JobId(target),
                requester,
                dedupe_key=asked.dedupe_key,
                thread=asked.thread,
                is_age_restricted=asked.is_age_restricted,
            )
            await self._follow(interaction, receipt)

    async def _on_remix(self, interaction: Interaction, job_id: JobId) -> None:
        async with self._boundary(partial(tell, interaction)):
            work = await self._studio.work_of(job_id, await self._requester(interaction))

            async def on_filled(submitted: Interaction, filled: Filled) -> None:
                await self._on_filled(submitted, filled, work.start_frame)

            flags = parse.to_flags(work)
            await self._open_form(interaction, "Remix", on_filled, prompt=work.prompt, flags=flags)

    async def on_page(self, interaction: Interaction, name: str, **given: Any) -> None:
        """Something to read, for this person only."""
        if not await acknowledge(interaction):
            return
        async with self._boundary(partial(tell, interaction)):
            requester = await self._requester(interaction)
            await self._answers.page(interaction, name, requester, given)

    async def on_admin(self, interaction: Interaction, act: str, **given: Any) -> None:
        """Something for who runs this server."""
        if not await acknowledge(interaction):
            return
        async with self._boundary(partial(tell, interaction)):
            actor = await self._requester(interaction)
            await self._admin.answer(interaction, act, actor, given)


def _name_of(guild: discord.Guild | None) -> str:
    """What people call a server, where the bot is in it."""
    return getattr(guild, "name", None) or ""


def to_draft(options: Options) -> Draft:
    """A command's options as if they had been typed; raises `InvalidRequest`."""
    given = {
        "--model": options.model,
        "--ar": options.aspect_ratio,
        "--res": options.resolution,
        "--dur": options.duration,
        "--camera": options.camera,
    }
    flags = " ".join(f'{flag} "{value}"' for flag, value in given.items() if value)
    typed = command_text.parse(f"x {flags}")
    assert isinstance(typed, Draft)
    return replace(typed, prompt=options.prompt.strip(), loop=options.loop)


def check_permissions(own: discord.Permissions, channel: object) -> None:
    """Raise `NotAllowed`, before any money is held, where a clip could not be posted."""
    if missing := parse.missing_permissions(own, channel):
        raise NotAllowed(
            f"I cannot post clips here: I lack {', '.join(missing)}. "
            "Who manages this server can allow it in the channel's settings."
        )
