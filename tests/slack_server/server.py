"""The server: a workspace or more, the people in them, and all that the bot calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

from aiohttp import web

from tests.fakes import MovableClock
from tests.slack_server.answers import Answers
from tests.slack_server.asked import Envelope
from tests.slack_server.board import Board
from tests.slack_server.calls import Request
from tests.slack_server.faults import Faults, Gate
from tests.slack_server.files import Files, Shares
from tests.slack_server.happenings import Happenings
from tests.slack_server.line import Line
from tests.slack_server.messages import Messages
from tests.slack_server.oauth import OAuth
from tests.slack_server.payloads import Payloads
from tests.slack_server.people import Person
from tests.slack_server.problems import NotPossible, Refused
from tests.slack_server.views import Views
from tests.slack_server.web_api import WebApi
from tests.slack_server.world import Channel, File, Message, Team, User, World

MIMETYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "mp4": "video/mp4",
}
MOST_BYTES = 64 * 1024 * 1024


class SlackServer:
    """A Slack of our own; `async with` starts and stops it. Time is the clock's."""

    def __init__(self, clock: MovableClock | None = None) -> None:
        self.clock = clock or MovableClock()
        self.board = Board()
        self.world = World(self.clock, self.board)
        self.payloads = Payloads(self.world)
        self.messages = Messages(self.world, self.payloads)
        self.files = Files(self.world, self.payloads)
        self.views = Views(self.world)
        self.answers = Answers(self.world)
        self.oauth = OAuth(self.world)
        self.line = Line(self.world, on_ack=self._on_ack)
        self.api = WebApi(
            self.world,
            line=self.line,
            messages=self.messages,
            files=self.files,
            views=self.views,
            oauth=self.oauth,
        )
        self.happenings = Happenings(
            self.world, self.payloads, self.line, self.views, self.answers
        )
        self.people: dict[str, Person] = {}
        self.base_url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self.stop()
        if self.crashes and kind is None:
            raise ExceptionGroup("The local Slack itself failed", self.crashes)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *more: web.RouteDef) -> None:
        """Listen; `more` are further routes."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes(
            [
                web.route("*", "/api/{method}", self.api.call),
                web.post("/upload/{file}", self.api.upload),
                web.get("/files/{file}/{name}", self.api.download),
                web.get("/files/{file}/download/{name}", self.api.download),
                web.get("/files/{file}/thumb/{name}", self.api.download),
                web.get("/signin", self.files.sign_in),
                web.post("/response/{link}", self.answers.respond),
                web.get("/oauth/v2/authorize", self.oauth.authorize),
                web.get("/link", self.line.listen),
                *more,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://{host}:{port}"
        for each in (self.payloads, self.files, self.answers, self.line):
            each.base_url = self.base_url

    async def stop(self) -> None:
        """Close every socket and stop listening."""
        await self.line.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # ---- what a bot is configured with --------------------------------------------------------

    @property
    def api_base_url(self) -> str:
        return f"{self.base_url}/api/"

    @property
    def file_host(self) -> str:
        return self.base_url.rpartition("/")[2]

    @property
    def authorize_url(self) -> str:
        return f"{self.base_url}/oauth/v2/authorize"

    @property
    def app_token(self) -> str:
        return self.api.app_token

    @property
    def signing_secret(self) -> str:
        return self.line.signing_secret

    # ---- furnishing --------------------------------------------------------------------------

    def team(self, name: str = "Foxes") -> Team:
        """A workspace that has the app."""
        return self.world.team(name)

    def channel(
        self,
        team: Team,
        name: str = "general",
        *,
        members: Iterable[Person] = (),
        has_bot: bool = True,
        is_private: bool = False,
    ) -> Channel:
        """A channel; those who are not looking at one yet look at it from now on."""
        members = list(members)
        ids = {each.id for each in members} | ({team.bot_user} if has_bot else set())
        channel = self.world.channel(team, name, "group" if is_private else "channel", ids)
        for each in members:
            each.here = each.here or channel
        return channel

    def person(self, name: str, team: Team, *channels: Channel, **flags: Any) -> Person:
        """Somebody in a workspace; `flags` are fields of `users.info`, `team_id` among them."""
        home = str(flags.pop("team_id", team.id))
        user = User(id=self.world.id("U"), name=name, team_id=home, flags=flags)
        self.world.users[user.id] = user
        for each in channels:
            each.members.add(user.id)
        person = Person(self, user.id, team, channels[0] if channels else None)
        self.people[name] = person
        return person

    def external_file(self, name: str, url: str, *, owner: Person) -> File:
        """A file that lives elsewhere and is only linked."""
        file = self.files.new(name, b"", self.guess(name), owner=owner.id, team_id=owner.team.id)
        file.mode, file.url = "external", url
        return file

    def guess(self, name: str) -> str:
        """The type of a file by its name."""
        return MIMETYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")

    def invite_bot(self, channel: Channel) -> None:
        """Bring the bot into a channel."""
        channel.members.add(channel.team.bot_user)

    def remove_bot(self, channel: Channel) -> None:
        """Take the bot out of a channel."""
        channel.members.discard(channel.team.bot_user)

    async def uninstall(self, team: Team) -> None:
        """Take the app out of a workspace: its token ends, and the app is told."""
        team.token_error = "account_inactive"
        await self.happenings.event(team, {"type": "app_uninstalled"})

    async def revoke(self, team: Team) -> None:
        """End a workspace's token."""
        team.token_error = "token_revoked"
        tokens = {"bot": [team.bot_user], "oauth": []}
        await self.happenings.event(team, {"type": "tokens_revoked", "tokens": tokens})

    # ---- settings and faults -----------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        return self.api.faults

    @property
    def shares(self) -> Shares:
        """When a file's message appears: "now", after so many looks, or "never"."""
        return self.files.shares

    @shares.setter
    def shares(self, when: Shares) -> None:
        self.files.shares = when

    @property
    def tells_files(self) -> bool:
        """Whether a mention says its files."""
        return self.happenings.tells_files

    @tells_files.setter
    def tells_files(self, does: bool) -> None:
        self.happenings.tells_files = does

    @property
    def repeat_events(self) -> int:
        """So many events for one message."""
        return self.happenings.repeat_events

    @repeat_events.setter
    def repeat_events(self, count: int) -> None:
        self.happenings.repeat_events = count

    @property
    def lost_acks(self) -> int:
        """So many of the next acknowledgements get lost."""
        return self.line.lost_acks

    @lost_acks.setter
    def lost_acks(self, count: int) -> None:
        self.line.lost_acks = count

    @property
    def dead_tickets(self) -> int:
        """So many of the next addresses for a socket are good for nothing."""
        return self.line.dead_tickets

    @dead_tickets.setter
    def dead_tickets(self, count: int) -> None:
        self.line.dead_tickets = count

    @property
    def http_url(self) -> str:
        """The bot's own door; if it is set, no socket is used."""
        return self.line.http_url

    @http_url.setter
    def http_url(self, url: str) -> None:
        self.line.http_url = url

    async def redeliver(self) -> list[Envelope]:
        """Tell again what was not acknowledged."""
        return await self.line.redeliver()

    async def refresh(self) -> None:
        """Ask each socket to be opened anew."""
        await self.line.refresh()

    async def post_signed(
        self, body: str, *, timestamp: str | None = None, secret: str | None = None, **more: Any
    ) -> int:
        """Call the bot's door, forged if wanted; the status that it answers."""
        status, _ = await self.line.post_signed(body, timestamp=timestamp, secret=secret, **more)
        return status

    # ---- looks and waits ---------------------------------------------------------------------

    @property
    def crashes(self) -> list[Exception]:
        return self.api.crashes

    @property
    def envelopes(self) -> list[Envelope]:
        return self.line.envelopes

    @property
    def requests(self) -> list[Request]:
        return self.api.requests

    def requests_to(self, method: str) -> list[Request]:
        """What came for one method."""
        return self.api.requests_to(method)

    def said(self, channel: Channel) -> list[Message]:
        """All messages of a conversation, the oldest first; also those that were deleted."""
        return sorted(channel.messages.values(), key=lambda each: each.ts)

    def posted(self, channel: Channel) -> list[Message]:
        """What the bot said there and is not deleted."""
        return [
            each
            for each in self.said(channel)
            if each.user == channel.team.bot_user and not each.deleted
        ]

    async def wait_message(
        self,
        channel: Channel,
        predicate: Callable[[Message], Any] = bool,
        *,
        seconds: float = 30.0,
    ) -> Message:
        """Wait for a message of the bot's that stands in a conversation."""
        return await self.board.wait_for(
            lambda: next((each for each in self.posted(channel) if predicate(each)), None),
            seconds,
        )

    async def wait_connected(self, sockets: int = 1, *, seconds: float = 30.0) -> None:
        """Wait until so many sockets are open."""
        await self.board.wait_for(lambda: len(self.line.sockets) >= sockets, seconds)

    async def wait_left(self, *, seconds: float = 30.0) -> None:
        """Wait until no socket is open."""
        await self.board.wait_for(lambda: not self.line.sockets, seconds)

    async def wait_acked(self, *, seconds: float = 30.0) -> None:
        """Wait until everything told so far is acknowledged."""
        await self.board.wait_for(
            lambda: all(each.is_acked for each in self.line.envelopes), seconds
        )

    async def wait_request(self, method: str, count: int = 1, *, seconds: float = 30.0) -> Request:
        """Wait for a call of a method; `count` 2 is for the second."""
        return await self.api.wait_request(method, count, seconds=seconds)

    async def wait_gate(self, gate: Gate, *, seconds: float = 30.0) -> None:
        """Wait until a held call has come to its gate."""
        async with asyncio.timeout(seconds):
            await gate.reached.wait()

    async def wait_for(self, look: Callable[[], Any], *, seconds: float = 30.0) -> Any:
        """Wait until something is true of this Slack."""
        return await self.board.wait_for(look, seconds)

    def _on_ack(self, envelope: Envelope) -> None:
        """Show what an acknowledgement says, if it says something."""
        asked, said = envelope.asked, envelope.ack
        if asked is None or asked.channel is None or not said:
            return
        if said.get("text") or said.get("blocks"):
            try:
                self.answers.show(asked, asked.channel, said)
            except Refused as error:
                raise NotPossible(f"Slack would not show the answer: {error.body}") from error
