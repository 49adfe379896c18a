"""Interactions: three seconds to answer, fifteen minutes to go on, and all that can go wrong."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.command_rules import check_choices
from tests.discord_server.component_rules import ComponentCheck, number_components
from tests.discord_server.happenings import Happenings
from tests.discord_server.posting import REPLY, Posting, without_nulls
from tests.discord_server.problems import ApiError, Json, Problems
from tests.discord_server.wire import SentFile
from tests.discord_server.world import Channel, Flag, Guild, Message, Reference, User, World

ACK_SECONDS = 3
TOKEN_MINUTES = 15
#: Of an app that only the person installed.
MOST_FOLLOWUPS = 5


class Asked(IntEnum):
    """Interaction types."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


class Answer(IntEnum):
    """Callback types."""

    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8
    MODAL = 9


@dataclass(kw_only=True, eq=False)
class Interaction:
    """One use of the app by a person, and what came of it."""

    id: int
    token: str
    type: Asked
    user: User
    channel: Channel
    guild: Guild | None
    made_at: datetime
    upload_limit: int
    owners: Json
    #: The message whose button was pressed, also for the modal it opened.
    source: Message | None = None
    parent: Interaction | None = None
    is_menu: bool = False
    is_forced_private: bool = False
    answer: Answer | None = None
    answered_at: datetime | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None

    @property
    def is_user_install_only(self) -> bool:
        return "0" not in self.owners

    @property
    def is_private(self) -> bool | None:
        """Whether the first answer is for this person only; None without one."""
        return None if self.original is None else self.original.is_ephemeral

    @property
    def replies(self) -> list[Message]:
        """What the person reads as the answer, deleted messages left out."""
        found = [] if self.original is None else [self.original]
        return [each for each in [*found, *self.followups] if not each.is_deleted]

    @property
    def metadata(self) -> Json:
        """What an answering message tells of its cause."""
        body: Json = {
            "id": str(self.id),
            "type": int(self.type),
            "user": {
                "id": str(self.user.id),
                "username": self.user.name.lower(),
                "discriminator": "0",
                "avatar": None,
                "global_name": self.user.name,
            },
            "authorizing_integration_owners": self.owners,
        }
        if self.type is Asked.COMPONENT and self.source is not None:
            body["interacted_message_id"] = str(self.source.id)
        if self.type is Asked.MODAL and self.parent is not None:
            body["triggering_interaction_metadata"] = self.parent.metadata
        return body


class Interactions:
    """Hands interactions to the bot and takes its answers."""

    def __init__(
        self, world: World, app: Application, happenings: Happenings, posting: Posting
    ) -> None:
        self.all: list[Interaction] = []
        self._by_token: dict[str, Interaction] = {}
        self._world = world
        self._app = app
        self._happenings = happenings
        self._posting = posting

    def new(self, **known: Any) -> Interaction:
        """An interaction that begins now."""
        interaction = Interaction(
            id=self._world.snowflake(),
            token=f"aW50ZXJhY3Rpb24{secrets.token_urlsafe(40)}",
            made_at=self._world.clock.now(),
            **known,
        )
        self.all.append(interaction)
        self._by_token[interaction.token] = interaction
        return interaction

    def is_late(self, interaction: Interaction) -> bool:
        """Whether the person reads that the application did not respond."""
        age = self._world.clock.now() - interaction.made_at
        return interaction.answer is None and age > timedelta(seconds=ACK_SECONDS)

    # ---- the first answer -----------------------------------------------------------------

    def respond(
        self, interaction_id: int, token: str, body: Json, files: Collection[SentFile]
    ) -> Interaction:
        """Take the first answer."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id or self.is_late(interaction):
            raise ApiError(*no.UNKNOWN_INTERACTION)
        if interaction.answer is not None:
            raise ApiError(*no.ALREADY_ACKNOWLEDGED)
        problems = Problems()
        problems.choice(body.get("type"), ("type",), _allowed(interaction))
        problems.refuse_if_any()
        answer = Answer(body["type"])
        content = problems.object(body.get("data"), ("data",))
        problems.refuse_if_any()
        self._take(interaction, answer, content, files)
        interaction.answer = answer
        interaction.answered_at = self._world.clock.now()
        return interaction

    def _take(
        self, interaction: Interaction, answer: Answer, body: Json, files: Collection[SentFile]
    ) -> None:
        match answer:
            case Answer.MESSAGE | Answer.DEFERRED_MESSAGE:
                is_deferred = answer is Answer.DEFERRED_MESSAGE
                interaction.original = self._say(interaction, body, files, is_deferred=is_deferred)
            case Answer.DEFERRED_UPDATE:
                interaction.original = interaction.source
            case Answer.UPDATE:
                assert interaction.source is not None
                self._rewrite(interaction, interaction.source, body, files, inside=True)
                interaction.original = interaction.source
            case Answer.CHOICES:
                problems = Problems()
                check_choices(body.get("choices"), problems, ("data", "choices"))
                problems.refuse_if_any()
                interaction.choices = body.get("choices") or []
            case Answer.MODAL:
                _check_modal(body)
                interaction.modal = without_nulls(body)
                number_components(interaction.modal["components"])

    def _say(
        self,
        interaction: Interaction,
        body: Json,
        files: Collection[SentFile],
        *,
        is_deferred: bool = False,
        is_followup: bool = False,
    ) -> Message:
        channel = interaction.channel
        if channel.is_archived:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        problems = Problems()
        flags = Flag(problems.number(body, "flags", ("data",), 0, 1 << 31) or 0)
        problems.refuse_if_any()
        if is_deferred and (flags & ~Flag.EPHEMERAL or body.keys() - {"flags"}):
            problems.add(("data", "flags"), "BASE_TYPE_CHOICES", "A defer is ephemeral or not.")
            problems.refuse_if_any()
        is_private = interaction.is_forced_private or bool(flags & Flag.EPHEMERAL)
        message = Message(
            id=self._world.snowflake(),
            channel=channel,
            author=self._app.bot,
            at=self._world.clock.now(),
            type=_message_type(interaction, is_followup=is_followup),
            flags=Flag.EPHEMERAL if is_private else Flag.NONE,
            seen_by=interaction.user.id if is_private else None,
            interaction=interaction.id,
            interaction_metadata=interaction.metadata,
        )
        source = interaction.source or (interaction.original if is_followup else None)
        if message.type == REPLY and source is not None:
            message.reference = Reference(message_id=source.id, channel=channel)
        if is_deferred:
            message.flags |= Flag.LOADING
        else:
            self._write(interaction, message, body, files, inside=not is_followup)
        if not is_private:
            self._posting.add(message)
        return message

    def _write(
        self,
        interaction: Interaction,
        message: Message,
        body: Json,
        files: Collection[SentFile],
        *,
        inside: bool,
        is_edit: bool = False,
    ) -> None:
        self._posting.write(
            message,
            body,
            files,
            limit=interaction.upload_limit,
            is_edit=is_edit,
            parses=("users",),
            path=("data",) if inside else (),
        )

    def _rewrite(
        self,
        interaction: Interaction,
        message: Message,
        body: Json,
        files: Collection[SentFile],
        *,
        inside: bool = False,
    ) -> None:
        if message.channel.is_archived:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        message.keep_version()
        try:
            self._write(interaction, message, body, files, inside=inside, is_edit=True)
        except ApiError:
            message.versions.pop()
            raise
        message.flags &= ~Flag.LOADING
        if message.is_ephemeral:
            message.edited_at = self._world.clock.now()
        else:
            self._posting.changed(message)

    # ---- what follows -----------------------------------------------------------------------

    def by_token(self, token: str) -> Interaction:
        """The interaction of a token that still holds; unanswered, it is unknown."""
        found = self._by_token.get(token)
        if found is None or found.answer is None:
            raise ApiError(*no.UNKNOWN_WEBHOOK)
        if self._world.clock.now() - found.made_at > timedelta(minutes=TOKEN_MINUTES):
            raise ApiError(*no.INVALID_WEBHOOK_TOKEN)
        return found

    def message(self, interaction: Interaction, name: str) -> Message:
        """`@original`, or one of the followups by id."""
        for each in interaction.replies:
            if name == str(each.id) or (name == "@original" and each is interaction.original):
                return each
        raise ApiError(*no.UNKNOWN_MESSAGE)

    def edit(
        self,
        interaction: Interaction,
        message: Message,
        body: Json,
        files: Collection[SentFile],
    ) -> None:
        """Change one of the answers, or end its "thinking"."""
        self._rewrite(interaction, message, body, files)

    def follow_up(
        self, interaction: Interaction, body: Json, files: Collection[SentFile]
    ) -> Message:
        """Say more. The first one after a deferral fills the deferred message instead."""
        original = interaction.original
        if original is not None and original.is_loading and not original.is_deleted:
            self._rewrite(interaction, original, body, files)
            return original
        if interaction.is_user_install_only and len(interaction.followups) >= MOST_FOLLOWUPS:
            raise ApiError(*no.TOO_MANY_FOLLOWUPS)
        message = self._say(interaction, body, files, is_followup=True)
        interaction.followups.append(message)
        return message

    def delete(self, message: Message) -> None:
        """Take one of the answers back."""
        if message.is_ephemeral:
            message.is_deleted = True
        else:
            self._posting.remove(message)


def _allowed(interaction: Interaction) -> set[int]:
    if interaction.type is Asked.AUTOCOMPLETE:
        return {Answer.CHOICES}
    allowed = {Answer.MESSAGE, Answer.DEFERRED_MESSAGE}
    if interaction.type is not Asked.MODAL:
        allowed |= {Answer.MODAL}
    if interaction.source is not None:
        allowed |= {Answer.DEFERRED_UPDATE, Answer.UPDATE}
    return {int(each) for each in allowed}


def _message_type(interaction: Interaction, *, is_followup: bool) -> int:
    if is_followup or interaction.source is not None:
        return REPLY
    if interaction.type is Asked.COMMAND:
        return 23 if interaction.is_menu else 20
    return 0


def _check_modal(body: Json) -> None:
    problems = Problems()
    problems.text(body, "custom_id", ("data",), 1, 100)
    problems.text(body, "title", ("data",), 1, 45)
    ComponentCheck(problems, modal=True).modal(body.get("components"), ("data", "components"))
    problems.refuse_if_any()
