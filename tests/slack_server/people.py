"""What a person does in Slack: speak, use commands, press buttons, fill in forms.

A person can do only what Slack's own program offers; the rest raises `NotPossible`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tests.slack_server.asked import Asked
from tests.slack_server.filling import fill
from tests.slack_server.happenings import Submitted
from tests.slack_server.line import PATIENCE_SECONDS
from tests.slack_server.problems import Json, NotPossible
from tests.slack_server.world import Channel, File, Message, Team, View

if TYPE_CHECKING:
    from tests.slack_server.server import SlackServer

#: A file that a person has: (name, bytes, mimetype), or one that the server made.
Given = File | tuple[str, bytes] | tuple[str, bytes, str]


class Person:
    """Somebody with an account. `here` is the conversation they look at."""

    def __init__(self, server: SlackServer, user: str, team: Team, here: Channel | None) -> None:
        self.id = user
        self.team = team
        self.here = here
        self._server = server
        self._world = server.world

    @property
    def name(self) -> str:
        return self._world.users[self.id].name

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    @property
    def flags(self) -> Json:
        """Their fields of `users.info`; may be changed."""
        return self._world.users[self.id].flags

    @property
    def direct(self) -> Channel:
        """The conversation with the bot."""
        return self._world.direct(self.team, self.id)

    @property
    def home(self) -> View | None:
        """The Home tab as it was published last."""
        return self._world.homes.get((self.team.id, self.id))

    @property
    def ephemerals(self) -> list[Message]:
        """What only this person was told, the oldest first."""
        return [
            each for each in self._world.ephemerals if each.seen_by == self.id and not each.deleted
        ]

    async def wait_ephemeral(
        self, predicate: Callable[[Message], Any] = bool, *, seconds: float = 30.0
    ) -> Message:
        """Wait for something that only this person is told."""
        return await self._world.board.wait_for(
            lambda: next((each for each in self.ephemerals if predicate(each)), None), seconds
        )

    async def wait_home(
        self, predicate: Callable[[View], Any] = bool, *, seconds: float = 30.0
    ) -> View:
        """Wait for a Home tab."""
        return await self._world.board.wait_for(
            lambda: self.home if self.home and predicate(self.home) else None, seconds
        )

    # ---- messages ----------------------------------------------------------------------------

    async def say(
        self,
        text: str,
        channel: Channel | None = None,
        *,
        thread: Message | str | None = None,
        files: Iterable[Given] = (),
        metadata: Json | None = None,
    ) -> Message:
        """Write a message; `text` is what is on the wire: `<@U1> a &lt;fox&gt;`.

        Only other bots give theirs `metadata`: people with the flag `is_bot`.
        """
        if metadata is not None and not self.flags.get("is_bot"):
            raise NotPossible("People cannot give a message metadata")
        channel = self._in(channel)
        parent = thread.ts if isinstance(thread, Message) else thread
        if parent and parent not in channel.messages:
            raise NotPossible("There is no such thread here")
        message = Message(
            ts=self._world.ts(),
            channel=channel,
            user=self.id,
            text=text,
            files=[self.to_file(each) for each in files],
            thread_ts=parent,
            bot_id=f"B{self.id[1:]}" if self.flags.get("is_bot") else None,
            metadata=metadata,
        )
        message.subtype = "file_share" if message.files else None
        self._world.add(message)
        await self._server.happenings.said(message)
        return message

    async def react(self, message: Message, emoji: str) -> None:
        """React to a message, e.g. with `"x"`."""
        self._in(message.channel)
        await self._server.happenings.reacted(message, self.id, emoji)

    async def unreact(self, message: Message, emoji: str) -> None:
        """Take a reaction back."""
        self._in(message.channel)
        await self._server.happenings.reacted(message, self.id, emoji, is_removed=True)

    async def delete(self, message: Message) -> None:
        """Delete one's own message, or anybody's with the right."""
        if message.user != self.id and not self.flags.get("is_admin"):
            raise NotPossible("This message is somebody else's")
        message.deleted = True
        for each in message.files:
            each.is_deleted = True
        self._world.board.notify()

    def to_file(self, given: Given) -> File:
        """A file of theirs."""
        if isinstance(given, File):
            return given
        name, content, *rest = given
        kind = str(rest[0]) if rest else self._server.guess(name)
        file = self._server.files.new(
            name, content, kind, owner=self.id, team_id=self._world.users[self.id].team_id
        )
        file.is_stub = file.team_id != self.team.id
        return file

    # ---- using the app -----------------------------------------------------------------------

    async def slash(
        self,
        command: str,
        text: str = "",
        channel: Channel | None = None,
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> Asked:
        """Use a command; it returns once that is acknowledged, or after so many seconds."""
        asked = Asked(board=self._world.board, user=self.id, channel=self._in(channel))
        await self._server.happenings.commanded(self, asked, command, text, seconds=seconds)
        return asked

    async def click(
        self, where: Message | View, button: str, *, seconds: float = PATIENCE_SECONDS
    ) -> Asked:
        """Press a button, named by its label or its action id."""
        if isinstance(where, Message) and where.seen_by not in (None, self.id):
            raise NotPossible("Somebody else sees this message")
        if isinstance(where, Message) and where.deleted:
            raise NotPossible("The message is deleted")
        element = _pick(where, button)
        asked = self._asking(where)
        await self._server.happenings.pressed(self, asked, where, element, seconds=seconds)
        return asked

    async def choose(
        self, where: Message | View, button: str, value: str, *, seconds: float = PATIENCE_SECONDS
    ) -> Asked:
        """Choose from a list, named by its placeholder or its action id."""
        element = _pick(where, button)
        option = next(each for each in element["options"] if each["value"] == value)
        asked = self._asking(where)
        chosen = {**element, "selected_option": option}
        await self._server.happenings.pressed(self, asked, where, chosen, seconds=seconds)
        return asked

    async def shortcut(
        self, callback_id: str, message: Message, *, seconds: float = PATIENCE_SECONDS
    ) -> Asked:
        """Pick the app's entry from a message's menu; the bot need not be there."""
        self._in(message.channel)
        if message.seen_by is not None:
            raise NotPossible("A private answer has no such menu")
        asked = self._asking(message)
        await self._server.happenings.picked(self, asked, callback_id, message, seconds=seconds)
        return asked

    async def global_shortcut(
        self, callback_id: str, *, seconds: float = PATIENCE_SECONDS
    ) -> Asked:
        """Pick the app's entry from the menu that is everywhere."""
        asked = Asked(board=self._world.board, user=self.id)
        await self._server.happenings.picked(self, asked, callback_id, None, seconds=seconds)
        return asked

    async def submit(
        self,
        view: View,
        values: Mapping[str, Any] | None = None,
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> Submitted:
        """Fill in a form and send it; `values` are by block id, action id or label."""
        if not view.is_open or view.user != self.id:
            raise NotPossible("This view is not open")

        def to_file(given: Any) -> Json:
            file = self.to_file(given)
            file.is_given = True
            return self._server.payloads.file(file)

        here = self.here.id if self.here else ""
        view.state = fill(view, values or {}, to_file=to_file, here=here)
        return await self._server.happenings.submitted(self, view, seconds=seconds)

    async def wait_changed(self, view: View, before: str, *, seconds: float = 30.0) -> View:
        """Wait until an open view is no more what it was when it had this hash."""
        return await self._world.board.wait_for(
            lambda: view if view.hash != before else None, seconds
        )

    async def open_home(self) -> None:
        """Look at the bot's Home tab."""
        await self._server.happenings.opened_home(self)

    # ---- details -----------------------------------------------------------------------------

    def _asking(self, where: Message | View) -> Asked:
        channel = where.channel if isinstance(where, Message) else None
        source = where if isinstance(where, Message) else None
        return Asked(board=self._world.board, user=self.id, channel=channel, source=source)

    def _in(self, channel: Channel | None) -> Channel:
        channel = channel or self.here
        if channel is None or self.id not in channel.members:
            raise NotPossible(f"{self.name} is not in that conversation")
        return channel


def _pick(where: Message | View, button: str) -> Json:
    for each in where.elements:
        named = each.get("text") if each["type"] == "button" else each.get("placeholder")
        label = (named or {}).get("text")
        if button in (label, each.get("action_id")):
            return each
    raise NotPossible(f"There is no {button}, only {where.buttons}")
