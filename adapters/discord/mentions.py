"""What people say to Raybot in messages: mentions, replies to pictures, direct messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import discord

from adapters import typed_frames
from adapters.command_text import Draft, Follow, Forget, Retry
from adapters.discord import parse
from adapters.discord.answers import Answers
from adapters.discord.commands import ANIMATE
from adapters.discord.homes import Homes
from adapters.discord.images import Images
from adapters.discord.names import spell, unnamed
from adapters.discord.parse import NAME, Asked, Picture
from adapters.discord.rules import ask_for_rules
from adapters.discord.threads import Opening
from adapters.follow_ups import follow_up
from adapters.names import parse_named
from bot.errors import InvalidRequest
from bot.refs import JobId, MessageRef
from bot.request import ClipFrame, Frame, Requester
from bot.text import price_words

if TYPE_CHECKING:
    from bot.studio import Studio

Frames = tuple[Frame | None, Frame | None]
STRIPPED = (
    "Discord hides the message you reply to from me, because I may not read messages here. "
    f"Hold or right-click that message and choose Apps → {ANIMATE}."
)
OUR_ROLE = (
    "You mentioned my role, so Discord hides from me what you said. Mention the app itself, or "
    "use /ray create."
)
NO_PICTURE = (
    "There is no picture in that message that I can start from. Give one with your mention, or "
    "reply to a picture or to a clip of mine; where words alone are to do, reply to nothing."
)
SPOKEN = {discord.MessageType.default, discord.MessageType.reply}
MOST_FRAMES = 2


@dataclass(frozen=True, kw_only=True)
class Ears:
    """Who hears: our client and user, and whether other people's words are shown to us."""

    client: discord.Client
    own_id: int
    reads_messages: bool


class Mentions:
    """Reads what was said to us, and starts what it asks for. Raises `Refusal`s."""

    def __init__(
        self,
        studio: Studio,
        answers: Answers,
        homes: Homes,
        images: Images,
        *,
        opening: Opening,
    ) -> None:
        self._studio = studio
        self._answers = answers
        self._homes = homes
        self._images = images
        self._opening = opening

    def is_for_us(self, message: discord.Message, own_id: int) -> bool:
        """Whether somebody speaks to us: names us, or writes in our direct messages.

        A reply that only calls us is a conversation between people.
        """
        if message.author.bot or message.type not in SPOKEN:
            return False
        is_named = parse.said_to(message.content, own_id) is not None
        return message.guild is None or is_named or parse.names_our_role(message, own_id)

    async def hear(self, message: discord.Message, ears: Ears) -> None:
        """Start or answer what was said."""
        said = parse.said_to(message.content, ears.own_id)
        if said is None and message.guild is not None:
            raise InvalidRequest(OUR_ROLE)
        typed = message.content if said is None else said
        command = parse_named(spell(typed, message), unnamed(typed))
        if isinstance(command, Draft):
            await self._ask(message, command, ears)
        elif isinstance(command, Retry):
            await self._retry(message, command.job_id, ears)
        elif isinstance(command, Follow):
            await self._follow(message, command, ears)
        else:
            requester = await self._requester(message, ears, job=getattr(command, "job_id", None))
            if isinstance(command, Forget):
                is_confirmed = command.is_confirmed
                await self._answers.forget(message, requester, is_confirmed=is_confirmed)
                return
            await self._answers.obey(message, command, requester)

    async def _ask(self, message: discord.Message, draft: Draft, ears: Ears) -> None:
        start, end = await self._frames_of(message, draft, ears)
        if draft == Draft() and start is None:
            await self._greet(message, await self._requester(message, ears))
            return
        if draft.is_bare and start is None:
            raise InvalidRequest("Say what you want to see, or reply to an image.")
        asked = await self._asked(message, await self._requester(message, ears))
        request = parse.to_request(asked, draft, start=start, end=end)
        name = message.guild.name if message.guild is not None else ""
        receipt = await self._studio.submit(request, place_name=name)
        await ask_for_rules(self._answers, message, receipt)

    async def _greet(self, message: discord.Message, requester: Requester) -> None:
        """What to say to us, to somebody who only called, and what it would cost."""
        place = parse.place_of(message.channel)
        offers = await self._studio.preferences.offers(requester, place)
        usual = next((f" ({price_words(each.price)})" for each in offers if each.is_default), "")
        await self._answers.reply(
            message,
            f"Tell me what to show: `/ray create` a red fox in snow{usual}. "
            "`/ray help` lists the rest.",
        )

    async def _retry(self, message: discord.Message, job_id: JobId, ears: Ears) -> None:
        asked = await self._asked(message, await self._requester(message, ears, job=job_id))
        receipt = await self._studio.retry(
            job_id,
            asked.requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            asked_at=asked.asked_at,
            is_age_restricted=asked.is_age_restricted,
            is_private=asked.is_private,
        )
        await ask_for_rules(self._answers, message, receipt)

    async def _follow(self, message: discord.Message, command: Follow, ears: Ears) -> None:
        requester = await self._requester(message, ears, job=command.job_id)
        asked = await self._asked(message, requester)
        if command.is_private and not asked.is_private:
            raise InvalidRequest("Leave out --private: everybody reads this.", field="flags")
        receipts = await follow_up(
            self._studio,
            command,
            asked.requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            frame=typed_frames.end_of(command),
            asked_in=asked.asked_in,
            asked_at=asked.asked_at,
            is_private=asked.is_private,
            is_age_restricted=asked.is_age_restricted,
        )
        await ask_for_rules(self._answers, message, receipts[0])

    async def _asked(self, message: discord.Message, requester: Requester) -> Asked:
        guild, channel = message.guild, message.channel
        place = parse.to_thread(channel, guild_id=guild.id if guild else None)
        thread = place
        if guild is not None:
            own = channel.permissions_for(guild.me)
            parse.check_permissions(own, channel)
            if self._opening.is_for(channel, own):
                thread = parse.to_new_thread(place, message.id)
        return Asked(
            dedupe_key=f"{NAME}:{message.id}",
            requester=requester,
            thread=thread,
            asked_at=message.created_at,
            asked_in=MessageRef(thread=place, message=str(message.id)),
            is_age_restricted=parse.is_age_restricted(channel),
        )

    async def _requester(
        self, message: discord.Message, ears: Ears, *, job: JobId | None = None
    ) -> Requester:
        author, guild = message.author, message.guild
        if guild is not None:
            return parse.to_requester(author, guild_id=guild.id)
        home = await self._homes.of(ears.client, author, job=job)
        return parse.to_requester(author, guild_id=None, home=home)

    # ---- images --------------------------------------------------------------------------

    async def _frames_of(self, message: discord.Message, draft: Draft, ears: Ears) -> Frames:
        """Images of the message itself, else of the one it replies to; two are start and end."""
        shown = self._pictures(message)
        spoken = [message]
        if not shown and (replied := await self._replied_to(message)) is not None:
            is_own = replied.author.id == ears.own_id
            if is_own and (clip := parse.clip_of(replied)) is not None:
                return ClipFrame(job_id=clip), None
            shown = self._pictures(replied)
            spoken.append(replied)
            may_be_hidden = not is_own and message.guild is not None and not ears.reads_messages
            if not shown and may_be_hidden and _is_bare(replied):
                raise InvalidRequest(STRIPPED)
        # Words alone would be paid where something else was meant, unless they name a picture.
        if not shown and draft.start is None:
            for each in spoken:
                if parse.shows_anything(each) or await self._is_of_job(each, ears):
                    raise InvalidRequest(NO_PICTURE)
        if len(shown) > MOST_FRAMES:
            raise InvalidRequest(
                f"There are {len(shown)} images, and a clip has one to begin and one to end with. "
                f"Apps → {ANIMATE} on the message lets you choose one."
            )
        frames = [parse.to_frame(each, None, field="start_frame") for each in shown]
        return (*frames, None, None)[0], (*frames, None, None)[1]

    async def _is_of_job(self, message: discord.Message, ears: Ears) -> bool:
        """Whether it is what we say of a job."""
        if message.author.id != ears.own_id:
            return False
        place = parse.to_thread(
            message.channel, guild_id=message.guild.id if message.guild else None
        )
        shown = MessageRef(thread=place, message=str(message.id))
        return await self._studio.job_at(shown) is not None

    async def _replied_to(self, message: discord.Message) -> discord.Message | None:
        reference = message.reference
        if reference is None or reference.type is not discord.MessageReferenceType.reply:
            return None
        replied = reference.resolved
        if replied is None and reference.message_id is not None:
            try:
                return await message.channel.fetch_message(reference.message_id)
            except discord.HTTPException as error:
                raise InvalidRequest("I cannot see the message you reply to.") from error
        if isinstance(replied, discord.DeletedReferencedMessage):
            raise InvalidRequest("The message you reply to was deleted.")
        return replied

    def _pictures(self, message: discord.Message) -> list[Picture]:
        at = f"{message.channel.id}/{message.id}"
        return [self._images.keep(each) for each in parse.pictures_of(message, at=at)]


def _is_bare(message: discord.Message) -> bool:
    """Whether nothing is left of a message, as where Discord hides it from us."""
    is_silent = not (message.content or message.embeds or message.components)
    return is_silent and not message.attachments
