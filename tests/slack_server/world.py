"""What there is in Slack: workspaces, people, conversations, messages, files and views."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import MovableClock
from tests.slack_server.board import Board
from tests.slack_server.problems import Json, Refused

#: What the app asks for when it is installed.
SCOPES = (
    "app_mentions:read",
    "channels:history",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
    "reactions:read",
    "users:read",
)


@dataclass(kw_only=True, eq=False)
class Team:
    """A workspace, with the bot in it. `token_error` is what its token gets for an answer.

    `ended` are the tokens of earlier installations, each with what it gets.
    """

    id: str
    name: str
    bot_token: str
    bot_user: str
    bot_id: str
    scopes: set[str]
    enterprise_id: str | None = None
    token_error: str = ""
    ended: dict[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        return self.name.lower().replace(" ", "-")

    @property
    def mention(self) -> str:
        """How people mention the bot."""
        return f"<@{self.bot_user}>"

    def install_anew(self) -> None:
        """Bring the app in once more; a token that ended gets a successor."""
        if self.token_error:
            self.ended[self.bot_token] = self.token_error
            self.bot_token, self.token_error = _new_token(), ""


@dataclass(kw_only=True, eq=False)
class User:
    """An account; `flags` are further fields of `users.info`, such as `is_admin`."""

    id: str
    name: str
    team_id: str
    flags: Json = field(default_factory=dict)

    @property
    def json(self) -> Json:
        profile = {"real_name": self.name, "display_name": self.name, "team": self.team_id}
        return {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name.lower(),
            "deleted": False,
            "real_name": self.name,
            "tz": "Europe/Berlin",
            "profile": profile,
            "is_admin": False,
            "is_owner": False,
            "is_restricted": False,
            "is_ultra_restricted": False,
            "is_bot": False,
            "locale": "en-GB",
            **self.flags,
        }


@dataclass(kw_only=True, eq=False)
class File:
    """A file. `channels` maps where it is shared to the messages that show it."""

    id: str
    name: str
    mimetype: str
    owner: str
    team_id: str
    content: bytes | None = field(default=None, repr=False)
    title: str = ""
    length: int = 0
    url: str = ""
    mode: str = "hosted"
    thumb: bytes | None = field(default=None, repr=False)
    is_given: bool = False
    is_stub: bool = False
    is_complete: bool = False
    is_deleted: bool = False
    shares: list[Message] = field(default_factory=list, repr=False)
    looks: int = 0

    @property
    def filetype(self) -> str:
        return self.name.rpartition(".")[2].lower()


@dataclass(kw_only=True, eq=False)
class Message:
    """A message; `seen_by` names the only person who sees an ephemeral one."""

    ts: str
    channel: Channel
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    thread_ts: str | None = None
    bot_id: str | None = None
    metadata: Json | None = None
    subtype: str | None = None
    seen_by: str | None = None
    deleted: bool = False
    versions: list[tuple[str, list[Json]]] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list, repr=False)
    unfurls: bool = True

    @property
    def elements(self) -> list[Json]:
        """Everything that can be pressed or chosen."""
        return elements_of(self.blocks)

    @property
    def buttons(self) -> list[str]:
        """The labels of its buttons."""
        return labels_of(self.blocks)

    @property
    def plain(self) -> str:
        """All the words that it shows: its blocks' where it has some."""
        return words_of(self.blocks) if self.blocks else self.text

    def keep_version(self) -> None:
        """Remember what it said before it is changed."""
        self.versions.append((self.text, list(self.blocks)))


@dataclass(kw_only=True, eq=False)
class Channel:
    """A conversation: `kind` is "channel", "group" (a private channel) or "im"."""

    id: str
    name: str
    team: Team
    kind: str = "channel"
    members: set[str] = field(default_factory=set)
    messages: dict[str, Message] = field(default_factory=dict, repr=False)
    is_archived: bool = False
    is_shared: bool = False

    @property
    def has_bot(self) -> bool:
        return self.team.bot_user in self.members

    @property
    def mention(self) -> str:
        return f"<#{self.id}|{self.name}>"

    @property
    def json(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": self.kind == "channel",
            "is_group": self.kind == "group",
            "is_im": self.kind == "im",
            "is_private": self.kind != "channel",
            "is_archived": self.is_archived,
            "is_ext_shared": self.is_shared,
            "is_member": self.has_bot,
        }


@dataclass(kw_only=True, eq=False)
class View:
    """A modal or a Home tab as its person sees it; `said` is what `views.open` was given."""

    id: str
    team: Team
    user: str
    said: Json
    hash: str = ""
    state: Json = field(default_factory=dict)
    is_open: bool = True

    @property
    def title(self) -> str:
        return str((self.said.get("title") or {}).get("text", ""))

    @property
    def callback_id(self) -> str:
        return str(self.said.get("callback_id", ""))

    @property
    def blocks(self) -> list[Json]:
        found: list[Json] = self.said.get("blocks") or []
        return found

    @property
    def elements(self) -> list[Json]:
        """Everything that can be pressed, chosen or filled in."""
        return elements_of(self.blocks)

    @property
    def buttons(self) -> list[str]:
        """The labels of its buttons."""
        return labels_of(self.blocks)

    @property
    def plain(self) -> str:
        """All the words that it shows."""
        return words_of(self.blocks)

    @property
    def json(self) -> Json:
        return {
            "callback_id": "",
            "private_metadata": "",
            **self.said,
            "id": self.id,
            "team_id": self.team.id,
            "state": {"values": self.state},
            "hash": self.hash,
            "app_installed_team_id": self.team.id,
            "bot_id": self.team.bot_id,
            "root_view_id": self.id,
            "previous_view_id": None,
        }


class World:
    """Everything there is, and the ids of what comes."""

    def __init__(self, clock: MovableClock, board: Board) -> None:
        self.clock = clock
        self.board = board
        self.app_id = "A000000001"
        self.teams: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[tuple[str, str], View] = {}
        self.ephemerals: list[Message] = []
        self._numbers = itertools.count(1)
        self._last_micros = 0

    def id(self, letter: str) -> str:
        """An id as Slack makes them, e.g. `C000000007`."""
        return f"{letter}{next(self._numbers):09d}"

    def ts(self) -> str:
        """The time stamp of a new message: never one twice."""
        micros = int(self.clock.now().timestamp() * 1_000_000)
        self._last_micros = max(micros, self._last_micros + 1)
        return f"{self._last_micros // 1_000_000}.{self._last_micros % 1_000_000:06d}"

    def team(self, name: str) -> Team:
        """A new workspace that has installed the app."""
        team = Team(
            id=self.id("T"),
            name=name,
            bot_token=_new_token(),
            bot_user=self.id("U"),
            bot_id=self.id("B"),
            scopes=set(SCOPES),
        )
        self.teams[team.id] = team
        self.users[team.bot_user] = User(
            id=team.bot_user, name="ray", team_id=team.id, flags={"is_bot": True}
        )
        return team

    def channel(self, team: Team, name: str, kind: str, members: set[str]) -> Channel:
        """A new conversation."""
        letter = "D" if kind == "im" else "C"
        channel = Channel(id=self.id(letter), name=name, team=team, kind=kind, members=members)
        self.channels[channel.id] = channel
        return channel

    def direct(self, team: Team, user: str) -> Channel:
        """The conversation of somebody with the bot."""
        members = {user, team.bot_user}
        for each in self.channels.values():
            if each.kind == "im" and each.members == members:
                return each
        return self.channel(team, "directmessage", "im", members)

    def to_channel(self, team: Team, given: str, *, opens: bool = False) -> Channel:
        """The conversation of an id; raises `channel_not_found` where the bot cannot see it."""
        if opens and (user := self.users.get(given)) is not None and given != team.bot_user:
            return self.direct(team, user.id)
        channel = self.channels.get(given)
        if channel is None or channel.team is not team:
            raise Refused("channel_not_found")
        if channel.kind != "channel" and not channel.has_bot:
            raise Refused("channel_not_found")
        return channel

    def add(self, message: Message) -> Message:
        """Show a message, in its thread if it has one."""
        channel = message.channel
        channel.messages[message.ts] = message
        if message.thread_ts and (parent := channel.messages.get(message.thread_ts)):
            parent.replies.append(message)
        for each in message.files:
            each.shares.append(message)
        self.board.notify()
        return message


# ---- blocks ------------------------------------------------------------------------------------


def _new_token() -> str:
    return f"xoxb-{secrets.token_hex(8)}"


def elements_of(blocks: list[Json]) -> list[Json]:
    """The interactive elements of blocks, each with its block's id."""
    found: list[Json] = []
    for block in blocks:
        inner: list[Any] = [block.get("accessory"), block.get("element")]
        if block.get("type") == "actions":
            inner += block.get("elements") or []
        found += [
            {**each, "block_id": block.get("block_id", "")}
            for each in inner
            if isinstance(each, dict) and each.get("type") != "image"
        ]
    return found


def labels_of(blocks: list[Json]) -> list[str]:
    """The labels of the buttons in blocks."""
    return [each["text"]["text"] for each in elements_of(blocks) if each["type"] == "button"]


def words_of(blocks: Any) -> str:
    """All the words in blocks, one line for each text."""
    if isinstance(blocks, list):
        return "\n".join(filter(None, map(words_of, blocks)))
    if not isinstance(blocks, dict):
        return ""
    if isinstance(blocks.get("text"), str):
        return str(blocks["text"])
    shown = [each for name, each in blocks.items() if name != "confirm"]
    return words_of([each for each in shown if isinstance(each, dict | list)])
