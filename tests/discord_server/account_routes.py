"""The routes of the application itself, of users, of servers and of commands."""

from __future__ import annotations

import json
from typing import Any

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.command_rules import SLASH, check_commands
from tests.discord_server.places import PlacePayloads
from tests.discord_server.problems import ApiError, Json, Problems
from tests.discord_server.wire import Reply, Request, Router
from tests.discord_server.world import Guild, World

COMMANDS = "/applications/{app}/commands"
GUILD_COMMANDS = "/applications/{app}/guilds/{guild}/commands"
#: Lists as they were sent, and whether for everywhere: each bot of a test brings the same.
_FOUND_GOOD: set[tuple[str, bool]] = set()


class Commands:
    """What the application registered, global (`None`) or for one server."""

    def __init__(self, world: World, app: Application) -> None:
        self._world = world
        self._app = app
        self._registered: dict[int | None, list[Json]] = {}
        #: Every overwrite: for which server, and what was created by it.
        self.syncs: list[tuple[int | None, list[str]]] = []

    def all(self, guild: int | None = None) -> list[Json]:
        """The registered commands of one scope."""
        return self._registered.get(guild, [])

    def visible(self, guild: Guild | None) -> list[Json]:
        """What can be used in a place: the server's own first, then the global ones."""
        own = self.all(guild.id) if guild is not None and guild.has_bot else []
        return [*own, *self.all(None)]

    def overwrite(self, guild: int | None, commands: Any) -> list[Json]:
        """Replace one scope's commands; those of the same type and name keep their id."""
        sent = json.dumps(commands)
        if (sent, guild is None) not in _FOUND_GOOD:
            problems = Problems()
            check_commands(commands, problems, is_global=guild is None)
            problems.refuse_if_any()
            _FOUND_GOOD.add((sent, guild is None))
        known = {(each["type"], each["name"]): each["id"] for each in self.all(guild)}
        registered, created = [], []
        for each in json.loads(sent) or ():
            kind = each.get("type") or SLASH
            if (command_id := known.get((kind, each["name"]))) is None:
                command_id = str(self._world.snowflake())
                created.append(each["name"])
            registered.append(self._whole(each, kind, command_id, guild))
        self._registered[guild] = registered
        self.syncs.append((guild, created))
        return registered

    def _whole(self, command: Json, kind: int, command_id: str, guild: int | None) -> Json:
        scope: Json = {"contexts": None, "integration_types": [0, 1]}
        if guild is not None:
            scope = {"guild_id": str(guild)}
        return {
            "description": "",
            "default_member_permissions": None,
            "nsfw": False,
            "options": [],
            **scope,
            **command,
            "type": kind,
            "id": command_id,
            "application_id": str(self._app.id),
            "version": str(self._world.snowflake()),
        }


class AccountRoutes:
    """Answers who the bot is, where it is, and what it registers."""

    def __init__(
        self, world: World, app: Application, payloads: PlacePayloads, commands: Commands
    ) -> None:
        self.gateway_url = ""
        self.shards = 1
        self.session_starts_left = 1000
        self._world = world
        self._app = app
        self._payloads = payloads
        self._commands = commands

    def add_to(self, router: Router) -> None:
        """Name every route."""
        for method, template, handler in (
            ("GET", "/users/@me", self._me),
            ("GET", "/users/@me/guilds", self._guilds),
            ("GET", "/users/{user}", self._user),
            ("GET", "/oauth2/applications/@me", self._application),
            ("GET", "/applications/@me", self._application),
            ("GET", "/gateway/bot", self._gateway),
            ("GET", "/guilds/{guild}", self._guild_of),
            ("GET", "/guilds/{guild}/channels", self._channels),
            ("GET", "/guilds/{guild}/roles", self._roles),
            ("GET", "/guilds/{guild}/members/{user}", self._member),
            ("GET", COMMANDS, self._list_commands),
            ("PUT", COMMANDS, self._put_commands),
            ("GET", GUILD_COMMANDS, self._list_commands),
            ("PUT", GUILD_COMMANDS, self._put_commands),
        ):
            router.add(method, template, handler)

    def _me(self, request: Request) -> Reply:
        del request
        whole = self._payloads.user(self._app.bot)
        return Reply({**whole, "verified": True, "mfa_enabled": True, "locale": "en-US"})

    def _user(self, request: Request) -> Reply:
        user = self._world.users.get(request.id("user"))
        if user is None:
            raise ApiError(*no.UNKNOWN_USER)
        return Reply(self._payloads.user(user))

    def _application(self, request: Request) -> Reply:
        del request
        owner, bot = self._payloads.user(self._app.owner), self._payloads.user(self._app.bot)
        return Reply(self._app.to_json(owner, bot, len(self._with_bot())))

    def _gateway(self, request: Request) -> Reply:
        del request
        limit = {
            "total": 1000,
            "remaining": self.session_starts_left,
            "reset_after": 14_400_000,
            "max_concurrency": 1,
        }
        return Reply(
            {"url": self.gateway_url, "shards": self.shards, "session_start_limit": limit}
        )

    # ---- servers ------------------------------------------------------------------------

    def _with_bot(self) -> list[Guild]:
        return [each for each in self._world.guilds.values() if each.has_bot]

    def _guild(self, request: Request) -> Guild:
        guild = self._world.guilds.get(request.id("guild"))
        if guild is None or not guild.has_bot:
            raise ApiError(*(no.UNKNOWN_GUILD if guild is None else no.MISSING_ACCESS))
        return guild

    def _guilds(self, request: Request) -> Reply:
        del request
        return Reply(
            [
                {
                    "id": str(each.id),
                    "name": each.name,
                    "icon": None,
                    "owner": False,
                    "permissions": str(int(each.permissions(self._app.bot))),
                    "features": [],
                }
                for each in self._with_bot()
            ]
        )

    def _guild_of(self, request: Request) -> Reply:
        return Reply(self._payloads.guild(self._guild(request)))

    def _channels(self, request: Request) -> Reply:
        channels = self._guild(request).channels.values()
        return Reply([self._payloads.channel(each) for each in channels if not each.is_thread])

    def _roles(self, request: Request) -> Reply:
        roles = self._guild(request).roles.values()
        return Reply([self._payloads.role(each) for each in roles])

    def _member(self, request: Request) -> Reply:
        guild, user_id = self._guild(request), request.id("user")
        if user_id not in self._world.users:
            raise ApiError(*no.UNKNOWN_USER)
        if user_id not in guild.members:
            raise ApiError(*no.UNKNOWN_MEMBER)
        return Reply(self._payloads.whole_member(guild, guild.members[user_id].user))

    # ---- commands -----------------------------------------------------------------------

    def _scope(self, request: Request) -> int | None:
        if request.id("app") != self._app.id:
            raise ApiError(*no.NOT_THIS_APPLICATION)
        return self._guild(request).id if "guild" in request.params else None

    def _list_commands(self, request: Request) -> Reply:
        return Reply(self._commands.all(self._scope(request)))

    def _put_commands(self, request: Request) -> Reply:
        scope = self._scope(request)
        if request.is_broken:
            raise ApiError(*no.BAD_JSON)
        return Reply(self._commands.overwrite(scope, request.body))
