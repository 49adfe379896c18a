"""Installing the app: Slack's page for it, and the code that is changed into a token."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from aiohttp import web

from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import Team, World

CODE_LIVES = timedelta(minutes=10)


@dataclass(kw_only=True, eq=False)
class _Code:
    team: Team
    scopes: set[str]
    at: datetime


class OAuth:
    """Whoever opens the page installs the app in `installs`; None refuses it.

    `redirect_to` is where they are sent, if the request does not say.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.client_id = "1.2"
        self.client_secret = f"a-very-private-{secrets.token_hex(8)}"
        self.installs: Team | None = None
        self.redirect_to = ""
        self.installer = "U000000000"
        #: Scopes that whoever installs it leaves out.
        self.left_out: set[str] = set()
        self._codes: dict[str, _Code] = {}

    async def authorize(self, request: web.Request) -> web.Response:
        """The page, on which somebody presses at once Allow or Cancel."""
        if request.query.get("client_id") != self.client_id:
            return web.Response(status=400, text="Invalid client_id parameter")
        where = request.query.get("redirect_uri") or self.redirect_to
        if not where:
            return web.Response(status=400, text="No redirect_uri")
        told = {"state": request.query.get("state", "")}
        if self.installs is None:
            told["error"] = "access_denied"
        else:
            scopes = set(request.query.get("scope", "").split(",")) - {""}
            told["code"] = self.new_code(self.installs, scopes - self.left_out)
        raise web.HTTPFound(f"{where}?{urlencode(told)}")

    def new_code(self, team: Team, scopes: set[str]) -> str:
        """A code that is good once, for ten minutes."""
        code = secrets.token_hex(12)
        self._codes[code] = _Code(team=team, scopes=scopes, at=self._world.clock.now())
        return code

    def access(self, args: Json, authorization: str) -> Json:
        """`oauth.v2.access`."""
        given = (str(args.get("client_id", "")), str(args.get("client_secret", "")))
        if authorization.startswith("Basic "):
            name, _, word = base64.b64decode(authorization[6:]).decode().partition(":")
            given = (name, word)
        if given[0] != self.client_id:
            raise Refused("invalid_client_id")
        if given[1] != self.client_secret:
            raise Refused("bad_client_secret")
        code = self._codes.pop(str(args.get("code", "")), None)
        if code is None or self._world.clock.now() - code.at > CODE_LIVES:
            raise Refused("invalid_code")
        team = code.team
        team.install_anew()
        team.scopes = set(code.scopes)
        return {
            "access_token": team.bot_token,
            "token_type": "bot",
            "scope": ",".join(sorted(team.scopes)),
            "bot_user_id": team.bot_user,
            "app_id": self._world.app_id,
            "team": {"id": team.id, "name": team.name},
            "enterprise": None,
            "is_enterprise_install": False,
            "authed_user": {"id": self.installer},
        }
