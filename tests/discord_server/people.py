"""What a person does in Discord: speak, use commands, press buttons, fill in modals.

A person can do only what Discord's own program offers; the rest raises `NotPossible`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from tests.discord_server import command_rules as rules
from tests.discord_server.asking import Asking
from tests.discord_server.backstage import Backstage
from tests.discord_server.cdn import Upload, to_upload
from tests.discord_server.hearing import wait_heard
from tests.discord_server.interactions import Interaction
from tests.discord_server.mentions import read_mentions
from tests.discord_server.permissions import Permission
from tests.discord_server.posting import REPLY
from tests.discord_server.problems import Json, NotPossible
from tests.discord_server.world import FORUMS, Channel, Flag, Message, Reference, User

File = Upload | bytes | tuple[str, bytes]


class Person:
    """Somebody with an account. `here` is where they are if nothing else is said."""

    def __init__(self, backstage: Backstage, user: User, here: Channel) -> None:
        self.user = user
        self.here = here
        self._stage = backstage
        self._asking = Asking(backstage, user)

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def mention(self) -> str:
        return self.user.mention

    @property
    def dm(self) -> Channel:
        """The conversation with the bot."""
        return self._stage.world.direct(self.user, self._stage.app.bot)

    def install_app(self) -> None:
        """Install the app for oneself, to have it everywhere."""
        self._stage.app.installed_by.add(self.id)

    # ---- messages ---------------------------------------------------------------------------

    async def say(
        self,
        channel: Channel,
        text: str = "",
        *,
        reply_to: Message | None = None,
        ping: bool = True,
        files: Iterable[File] = (),
        stickers: Iterable[str] = (),
        embeds: list[Json] | None = None,
        components: list[Json] | None = None,
        nonce: str | None = None,
    ) -> Message:
        """Write a message. Embeds and components are for other bots (V2, if not only rows)."""
        self._require(channel, _speaking(channel))
        message = self._new(channel, text, files)
        message.nonce, message.stickers = nonce, list(stickers)
        message.embeds, message.components = embeds or [], components or []
        if any(each["type"] != 1 for each in message.components):
            message.flags |= Flag.COMPONENTS_V2
        if reply_to is not None:
            message.type = REPLY
            message.reference = Reference(message_id=reply_to.id, channel=reply_to.channel)
        self._finish(message, reply_to.author if reply_to is not None and ping else None)
        return message

    async def forward(self, message: Message, to: Channel) -> Message:
        """Forward a message; the copy has no author and no words of one's own."""
        self._require(to, _speaking(to))
        forwarded = self._new(to, "", ())
        forwarded.reference = Reference(
            message_id=message.id, channel=message.channel, is_forward=True
        )
        forwarded.snapshot = copy(message)
        forwarded.flags |= Flag.HAS_SNAPSHOT
        self._finish(forwarded, None)
        return forwarded

    async def edit(self, message: Message, text: str) -> None:
        """Change one's own words."""
        self._own(message)
        message.keep_version()
        message.content = text
        self._stage.posting.changed(message)
        self._stage.notify()

    async def delete(self, message: Message) -> None:
        """Delete one's own message, or another's with the permission."""
        if message.author is not self.user:
            self._require(message.channel, Permission.MANAGE_MESSAGES)
        self._stage.posting.remove(message)
        self._stage.notify()

    async def react(self, message: Message, emoji: str) -> None:
        """React to a message."""
        message.reactions.setdefault(emoji, set()).add(self.id)
        self._stage.happenings.reaction_added(message, self.user, emoji)
        self._stage.notify()

    async def unreact(self, message: Message, emoji: str) -> None:
        """Take a reaction back."""
        message.reactions.get(emoji, set()).discard(self.id)
        self._stage.happenings.reaction_removed(message, self.user, emoji)
        self._stage.notify()

    def sees(self, channel: Channel) -> list[Message]:
        """The messages this person reads in a place, the private answers included."""
        private = [
            each
            for interaction in self._stage.interactions.all
            for each in interaction.replies
            if each.seen_by == self.id and each.channel is channel
        ]
        return sorted([*channel.messages.values(), *private], key=lambda each: each.id)

    # ---- threads ----------------------------------------------------------------------------

    async def open_thread(self, at: Message | Channel, name: str) -> Channel:
        """Open a public thread from a message, or beside a channel."""
        parent = at.channel if isinstance(at, Message) else at
        self._require(parent, Permission.CREATE_PUBLIC_THREADS)
        thread_id = at.id if isinstance(at, Message) else None
        thread = self._stage.threads.open(parent, name, self.user, thread_id=thread_id)
        if isinstance(at, Message):
            at.thread = thread
        self._stage.happenings.thread_created(thread)
        self._stage.notify()
        return thread

    async def post(
        self,
        forum: Channel,
        title: str,
        text: str = "",
        *,
        files: Iterable[File] = (),
        tags: Iterable[str] = (),
    ) -> Channel:
        """Open a forum post; its first message has the post's id."""
        known = {each.name: each.id for each in forum.tags}
        chosen = [known[each] for each in tags]
        if forum.kind not in FORUMS or (forum.is_tag_required and not chosen):
            raise NotPossible(f"A post like this cannot be opened in {forum.name}")
        thread = self._stage.threads.open(forum, title, self.user, tags=chosen)
        self._stage.happenings.thread_created(thread)
        message = self._new(thread, text, files)
        message.id = thread.id
        self._finish(message, None)
        return thread

    async def archive(self, thread: Channel, *, lock: bool = False) -> None:
        """Archive a thread, and lock it if wanted."""
        thread.is_archived, thread.is_locked = True, lock
        self._stage.happenings.channel_changed(thread)
        self._stage.notify()

    # ---- using the app ------------------------------------------------------------------------

    async def slash(
        self, command: str, channel: Channel | None = None, /, **options: Any
    ) -> Interaction:
        """Use a slash command, e.g. `slash("ray create", prompt="a fox", start_frame=PNG)`."""
        return self._asking.command(command, rules.SLASH, channel or self.here, options)

    async def autocomplete(
        self,
        command: str,
        option: str,
        text: str,
        channel: Channel | None = None,
        /,
        **options: Any,
    ) -> list[Json]:
        """Type into one option of a command and read what is offered."""
        interaction = self._asking.typing(
            command, channel or self.here, {**options, option: text}, option
        )
        await self._stage.wait_for(lambda: interaction.choices is not None)
        return interaction.choices or []

    async def message_command(
        self, name: str, message: Message, channel: Channel | None = None, /
    ) -> Interaction:
        """Pick an app's entry from the menu of a message."""
        return self._asking.menu(name, rules.MESSAGE_MENU, channel or message.channel, message)

    async def user_command(
        self, name: str, user: User, channel: Channel | None = None, /
    ) -> Interaction:
        """Pick an app's entry from the menu of a user."""
        return self._asking.menu(name, rules.USER_MENU, channel or self.here, user)

    async def click(self, message: Message, button: str) -> Interaction:
        """Press a button, named by its custom id or its label."""
        return self._asking.component(message, button, None)

    async def choose(self, message: Message, select: str, *values: Any) -> Interaction:
        """Pick from a select, named by its custom id or its placeholder."""
        return self._asking.component(message, select, list(values))

    async def submit_modal(
        self, interaction: Interaction, values: Mapping[str, Any] | None = None, /
    ) -> Interaction:
        """Fill in the modal that an interaction opened; `values` by custom id or by label."""
        await wait_heard(interaction, self._stage.app.id)
        return self._asking.modal(interaction, values or {})

    # ---- reading the answer -------------------------------------------------------------------

    async def modal(self, interaction: Interaction) -> Json:
        """Wait for the modal that an interaction opens."""
        await self._stage.wait_for(lambda: interaction.modal is not None)
        assert interaction.modal is not None
        return interaction.modal

    async def answer(self, interaction: Interaction, *, seconds: float = 30.0) -> Message:
        """Wait until the answer says something, no longer "thinking"."""

        def look() -> Message | None:
            original = interaction.original
            return None if original is None or original.is_loading else original

        found = await self._stage.wait_for(look, seconds)
        assert found is not None
        return found

    def ephemeral(self, interaction: Interaction) -> list[Message]:
        """What only this person reads as the answer."""
        return [each for each in interaction.replies if each.seen_by == self.id]

    # ---- details ------------------------------------------------------------------------------

    def _new(self, channel: Channel, text: str, files: Iterable[File]) -> Message:
        return Message(
            id=self._stage.world.snowflake(),
            channel=channel,
            author=self.user,
            at=self._stage.world.clock.now(),
            content=text,
            attachments=[
                self._stage.cdn.keep(to_upload(each), folder=channel.id) for each in files
            ],
        )

    def _finish(self, message: Message, replied_to: User | None) -> None:
        channel = message.channel
        may = channel.guild.permissions(self.user, channel) if channel.guild else Permission.NONE
        message.mentions = read_mentions(
            message.text, None, guild=channel.guild, may=may, replied_to=replied_to
        )
        message.pings = message.mentions
        if channel.is_archived:
            channel.is_archived = False
            self._stage.happenings.channel_changed(channel)
        self._stage.posting.add(message)
        self._stage.notify()

    def _own(self, message: Message) -> None:
        if message.author is not self.user:
            raise NotPossible("This message is somebody else's")

    def _require(self, channel: Channel, *needed: Permission) -> None:
        if channel.guild is None:
            if self.user not in channel.recipients:
                raise NotPossible(f"{self.name} is not in this conversation")
            return
        has = channel.guild.permissions(self.user, channel)
        for each in (Permission.VIEW_CHANNEL, *needed):
            if not has & each:
                raise NotPossible(f"{self.name} lacks {each.name} in {channel.name}")


def _speaking(channel: Channel) -> Permission:
    if channel.kind in FORUMS:
        raise NotPossible(f"{channel.name} takes posts, not messages")
    return Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
