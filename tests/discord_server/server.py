"""A Discord on loopback: gateway, REST, files, and the people who use it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.discord_server import problems as no
from tests.discord_server.account_routes import AccountRoutes
from tests.discord_server.backstage import Backstage
from tests.discord_server.channel_routes import ChannelRoutes
from tests.discord_server.faults import VIA, Fault
from tests.discord_server.furnishing import Size, furnish
from tests.discord_server.interaction_routes import InteractionRoutes
from tests.discord_server.people import Person
from tests.discord_server.permissions import BOT, Overwrite, Permission
from tests.discord_server.problems import ApiError
from tests.discord_server.wire import API, Reply, Request, Router, read_request, to_response
from tests.discord_server.world import (
    Channel,
    Guild,
    Kind,
    Message,
    Pings,
    Role,
    Tag,
    User,
)
from tests.fakes import MovableClock

MOST_REQUEST_BYTES = 1 << 30
SMALL = Size()
#: Open requests get this long when the server stops.
GRACE_SECONDS = 0.1


class DiscordServer(Backstage):
    """The server; `async with` starts and stops it, and tells its own faults at the end."""

    def __init__(self, clock: MovableClock | None = None) -> None:
        super().__init__(clock)
        self.people: dict[str, Person] = {}
        self.base_url = ""
        self._router = Router()
        self.account = AccountRoutes(self.world, self.app, self.payloads, self.commands)
        self.places = ChannelRoutes(
            self.world,
            self.app,
            self.cdn,
            self.payloads,
            self.happenings,
            self.posting,
            self.threads,
        )
        self.account.add_to(self._router)
        self.places.add_to(self._router)
        InteractionRoutes(self.app, self.payloads, self.interactions).add_to(self._router)

    # ---- running --------------------------------------------------------------------------

    @property
    def api_base_url(self) -> str:
        """What `discord.http.Route.BASE` is to be."""
        return f"{self.base_url}{API}"

    @property
    def gateway_url(self) -> str:
        """What `DiscordWebSocket.DEFAULT_GATEWAY` is to be."""
        return self.gateway.url

    @property
    def token(self) -> str:
        return self.app.token

    async def start(self, host: str = "127.0.0.1", port: int = 0, *routes: web.RouteDef) -> None:
        """Listen; port 0 takes any free one. More routes of one's own may be given."""
        application = web.Application(client_max_size=MOST_REQUEST_BYTES)
        application.add_routes(routes)
        application.router.add_get("/gateway/", self._talk)
        application.router.add_get("/{place:(?:ephemeral-)?attachments}/{file:.+}", self._fetch)
        application.router.add_route("*", API + "{path:/.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=GRACE_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        port = self._runner.addresses[0][1]
        self.base_url = self.cdn.base_url = f"http://{host}:{port}"
        self.gateway.url = self.account.gateway_url = f"ws://{host}:{port}/gateway/"

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        self.gateway.drop_all()
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if self.crashes and error is None:
            raise ExceptionGroup("The local Discord itself failed", self.crashes)

    # ---- building -------------------------------------------------------------------------

    def guild(
        self,
        name: str = "Foxes",
        *,
        has_bot: bool = True,
        guild_id: int | None = None,
        bot_permissions: Permission = BOT,
        size: Size = SMALL,
    ) -> Guild:
        """A server with a channel `general`; the bot has a managed role of its own there."""
        guild = self.world.add_guild(name, self.world.add_user(f"Owner of {name}"), guild_id)
        guild.has_bot = has_bot
        self.channel(guild, "general")
        furnish(self.world, guild, size)
        if has_bot:
            role = self.world.add_role(guild, self.app.bot.name, bot_permissions)
            role.bot = self.app.id
            self.world.join(guild, self.app.bot).roles.add(role.id)
            # What everyone may shall not hide what the bot lacks.
            guild.roles[guild.id].permissions &= ~(BOT & ~bot_permissions)
            self.happenings.guild_joined(guild)
        return guild

    def channel(
        self,
        guild: Guild,
        name: str,
        kind: Kind = Kind.TEXT,
        *,
        is_age_restricted: bool = False,
        tags: tuple[str, ...] = (),
        is_tag_required: bool = False,
    ) -> Channel:
        """A channel of a server; tags are for forums."""
        channel = self.world.add_channel(
            Channel(
                id=self.world.snowflake(),
                kind=kind,
                name=name,
                guild=guild,
                is_age_restricted=is_age_restricted,
                tags=[Tag(id=self.world.snowflake(), name=each) for each in tags],
                is_tag_required=is_tag_required,
            )
        )
        self.happenings.channel_created(channel)
        return channel

    def person(
        self,
        name: str,
        guild: Guild | None = None,
        *,
        allows: Permission = Permission.NONE,
        member_days: float = 90,
    ) -> Person:
        """Somebody, a member of the server if one is given, with what a role allows there."""
        return self._enter(self.world.add_user(name), guild, allows, member_days)

    def other_bot(self, name: str, guild: Guild) -> Person:
        """Another app's bot in a server."""
        user = self.world.add_user(name, is_bot=True)
        return self._enter(user, guild, Permission.NONE, 90)

    def _enter(
        self, user: User, guild: Guild | None, allows: Permission, member_days: float
    ) -> Person:
        here = self.world.direct(user, self.app.bot)
        if guild is not None:
            member = self.world.join(guild, user, since=timedelta(days=member_days))
            here = next(iter(guild.channels.values()))
            if allows:
                member.roles.add(self.world.add_role(guild, f"of {user.name}", allows).id)
        person = self.people[user.name] = Person(self, user, here)
        return person

    def role(
        self, guild: Guild, name: str, *members: Person, allows: Permission = Permission.NONE
    ) -> Role:
        """A new role of a server, and who has it."""
        role = self.world.add_role(guild, name, allows)
        for each in members:
            guild.members[each.id].roles.add(role.id)
        return role

    def overwrite(
        self,
        channel: Channel,
        who: User | Role,
        *,
        allow: Permission = Permission.NONE,
        deny: Permission = Permission.NONE,
    ) -> None:
        """Allow or deny somebody something in one channel; the bot is `app.bot`."""
        is_member = isinstance(who, User)
        known = [each for each in channel.overwrites if each.target != who.id]
        new = Overwrite(target=who.id, is_member=is_member, allow=allow, deny=deny)
        channel.overwrites = [*known, new]
        self.happenings.channel_changed(channel)

    def remove_bot(self, guild: Guild) -> None:
        """Kick the bot out of a server."""
        self.happenings.guild_left(guild)
        guild.has_bot = False
        guild.members.pop(self.app.bot.id, None)

    def group(self, *people: Person) -> Channel:
        """A private channel of some people, where the bot is not."""
        return self.world.direct(*(each.user for each in people))

    # ---- looking --------------------------------------------------------------------------

    def messages(self, channel: Channel) -> list[Message]:
        """Everything that stands in a channel, oldest first."""
        return list(channel.messages.values())

    def said(self, channel: Channel) -> list[Message]:
        """What the bot said there and everyone sees."""
        return [each for each in channel.messages.values() if each.author is self.app.bot]

    def everything_said(self) -> list[Message]:
        """Every message of the bot, wherever and for whomever, deleted ones included."""
        private = [
            each
            for interaction in self.interactions.all
            for each in [interaction.original, *interaction.followups]
            if each is not None and each.is_ephemeral
        ]
        return [each for each in self.posting.all if each.author is self.app.bot] + private

    def pinged(self) -> Pings:
        """Everybody whom any message of the bot could reach, in any version."""
        pings = Pings()
        for each in self.everything_said():
            pings |= each.pings
        return pings

    def requests_to(self, method: str, path: str) -> list[Request]:
        """What came so far; `path` is a regular expression."""
        return [
            each for each in self.requests if each.method == method and re.search(path, each.path)
        ]

    @property
    def invalid_requests(self) -> int:
        """What counts towards Discord's ban: 401, 403 and 429."""
        return sum(each.status in {401, 403, 429} for each in self.requests)

    async def wait_request(
        self, method: str, path: str, *, count: int = 1, seconds: float = 30.0
    ) -> Request:
        """Wait until so many such requests have been answered; the last of them."""

        def look() -> list[Request]:
            found = [each for each in self.requests_to(method, path) if each.status]
            return found if len(found) >= count else []

        return (await self.wait_for(look, seconds))[count - 1]

    async def wait_message(
        self,
        channel: Channel,
        look: Callable[[Message], object] = lambda _: True,
        *,
        seconds: float = 30.0,
    ) -> Message:
        """Wait until the bot has said something there that this accepts; the newest such."""

        def newest() -> Message | None:
            return next((each for each in reversed(self.said(channel)) if look(each)), None)

        found = await self.wait_for(newest, seconds)
        assert found is not None
        return found

    async def wait_connected(self, *, shards: int = 1, seconds: float = 30.0) -> None:
        """Wait until so many shards listen."""
        await self.wait_for(lambda: len(self.gateway.connected) >= shards, seconds)

    # ---- serving --------------------------------------------------------------------------

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self.gateway.serve(request)
        except ConnectionError:
            return web.Response()
        except Exception as error:
            self.crashes.append(error)
            raise

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        read = await read_request(request, self.clock.now())
        fault = self.faults.take(read)
        early = await self._suffer(request, read, fault)
        return early or await self.cdn.serve(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        read = await read_request(request, self.clock.now())
        self.requests.append(read)
        self.notify()
        fault = self.faults.take(read)
        is_after = fault is not None and fault.when == "after"
        early = None if is_after else await self._suffer(request, read, fault)
        if early is not None:
            return early
        reply = self._answer(read)
        self.notify()
        late = await self._suffer(request, read, fault) if is_after else None
        if late is not None:
            return late
        read.status, read.reply = reply.status, reply.body
        self.notify()
        return to_response(reply)

    async def _suffer(
        self, request: web.Request, read: Request, fault: Fault | None
    ) -> web.StreamResponse | None:
        if fault is None:
            return None
        read.fault = str(fault)
        if fault.gate is not None:
            await fault.gate.pass_through()
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        response: web.StreamResponse | None = None
        if fault.is_drop:
            if request.transport is not None:
                request.transport.abort()
            response = web.Response()
        elif fault.reply is not None:
            read.status, read.reply = fault.reply.status, fault.reply.body
            response = to_response(fault.reply)
        self.notify()
        return response

    def _answer(self, read: Request) -> Reply:
        try:
            handler, needs_token = self._router.find(read)
            if needs_token:
                self._authorise(read)
            headers, wait = self.limits.headers(read)
            if wait is not None:
                return _too_many(wait, headers)
            reply = handler(read)
        except ApiError as error:
            return Reply(error.body, status=error.status, headers={**VIA, **error.headers})
        except Exception as error:
            self.crashes.append(error)
            raise
        return replace(reply, headers={**VIA, **headers, **reply.headers})

    def _authorise(self, read: Request) -> None:
        if read.headers.get("Authorization") != f"Bot {self.token}":
            raise ApiError(*no.UNAUTHORIZED)
        if not read.headers.get("User-Agent", "").startswith("DiscordBot ("):
            raise ApiError(*no.BAD_USER_AGENT)


def _too_many(wait: float, headers: dict[str, str]) -> Reply:
    body = {
        "message": "You are being rate limited.",
        "retry_after": wait,
        "global": False,
        "code": 0,
    }
    headers = {**headers, "Retry-After": str(round(wait) + 1), "X-RateLimit-Scope": "user"}
    return Reply(body, status=429, headers=headers)
