"""The doors of the Web API: who is let in, which faults are planned, and what is answered."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.slack_server.calls import SCOPE_OF, Call, Request, read_args, require_scope, token_of
from tests.slack_server.faults import Fault, Faults
from tests.slack_server.files import Files
from tests.slack_server.line import Line
from tests.slack_server.messages import Messages
from tests.slack_server.oauth import OAuth
from tests.slack_server.problems import Json, Refused
from tests.slack_server.views import Views
from tests.slack_server.world import Team, World

Method = Callable[[Call], Awaitable[Json]]


class WebApi:
    """Answers `/api/<method>`. `shown_scopes` False leaves them out of the headers."""

    def __init__(
        self,
        world: World,
        *,
        line: Line,
        messages: Messages,
        files: Files,
        views: Views,
        oauth: OAuth,
    ) -> None:
        self._world = world
        self._line = line
        self._oauth = oauth
        self._files = files
        self.app_token = f"xapp-1-{secrets.token_hex(8)}"
        self.faults = Faults()
        self.requests: list[Request] = []
        self.crashes: list[Exception] = []
        self.shows_scopes = True
        self._methods: dict[str, Method] = {
            "auth.test": self._test,
            "auth.revoke": self._revoke,
            "chat.postMessage": messages.post,
            "chat.postEphemeral": messages.post_ephemeral,
            "chat.update": messages.update,
            "chat.delete": messages.delete,
            "conversations.open": messages.open,
            "conversations.info": messages.info,
            "conversations.history": messages.history,
            "conversations.replies": messages.replies,
            "users.info": messages.user,
            "files.getUploadURLExternal": files.place,
            "files.completeUploadExternal": files.complete,
            "files.info": files.info,
            "files.delete": files.delete,
            "views.open": views.open,
            "views.update": views.update,
            "views.publish": views.publish,
        }

    # ---- doors -------------------------------------------------------------------------------

    async def call(self, request: web.Request) -> web.StreamResponse:
        """One method."""
        noted = self._note(request, request.match_info["method"])
        try:
            noted.args = await read_args(request)
        except Refused as error:
            return self._answer(noted, error.body)
        noted.token = token_of(request, noted.args)
        return await self._through_faults(request, noted, lambda: self._carry_out(request, noted))

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file that the bot sends, which a fault can meet, too."""
        return await self._pass_bytes(request, "upload", self._files.take)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file that somebody wants to have."""
        return await self._pass_bytes(request, "download", self._files.serve)

    async def _pass_bytes(
        self,
        request: web.Request,
        method: str,
        carry_out: Callable[[web.Request], Awaitable[web.Response]],
    ) -> web.StreamResponse:
        noted = self._note(request, method)
        noted.args = {"file": request.match_info["file"]}
        noted.token = token_of(request, {})

        async def answered() -> web.StreamResponse:
            answer = await carry_out(request)
            noted.is_answered = True
            noted.error = "" if answer.status == 200 else str(answer.status)
            self._world.board.notify()
            return answer

        return await self._through_faults(request, noted, answered)

    def _note(self, request: web.Request, method: str) -> Request:
        noted = Request(
            method=method,
            args={},
            token="",
            at=self._world.clock.now(),
            http_method=request.method,
            content_type=request.content_type,
            authorization=request.headers.get("Authorization", ""),
            length=request.content_length or 0,
            query=dict(request.query),
        )
        self.requests.append(noted)
        self._world.board.notify()
        return noted

    async def _through_faults(
        self,
        request: web.Request,
        noted: Request,
        carry_out: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        fault = self.faults.take(noted.method)
        if fault is None:
            return await carry_out()
        if fault.when == "after":
            answer = await carry_out()
            return await self._suffer(request, noted, fault) or answer
        return await self._suffer(request, noted, fault) or await carry_out()

    async def _suffer(
        self, request: web.Request, noted: Request, fault: Fault
    ) -> web.StreamResponse | None:
        """What the fault makes of the answer; None leaves it as it is."""
        if fault.gate is not None:
            await fault.gate.pass_through()
            return None
        if fault.is_drop:
            noted.error = "drop"
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault.reply is None:
            return None
        noted.error, noted.is_answered = fault.reply.error, True
        self._world.board.notify()
        return fault.reply.to_response()

    # ---- carrying out ------------------------------------------------------------------------

    async def _carry_out(self, request: web.Request, noted: Request) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            if noted.method == "apps.connections.open":
                return self._answer(noted, self._connect(noted))
            if noted.method == "oauth.v2.access":
                told = self._oauth.access(noted.args, request.headers.get("Authorization", ""))
                return self._answer(noted, {"ok": True, **told})
            team = self._let_in(noted.token)
            if self.shows_scopes:
                headers["x-oauth-scopes"] = ",".join(sorted(team.scopes))
            told = await self._obey(noted, team)
        except Refused as error:
            return self._answer(noted, error.body, headers)
        except Exception as error:
            self.crashes.append(error)
            raise
        return self._answer(noted, {"ok": True, **told}, headers)

    async def _obey(self, noted: Request, team: Team) -> Json:
        method = self._methods.get(noted.method)
        if method is None:
            raise Refused("unknown_method", req_method=noted.method)
        if (scope := SCOPE_OF.get(noted.method)) is not None:
            require_scope(team, scope)
        return await method(Call(args=noted.args, team=team))

    def _answer(
        self, noted: Request, body: Json, headers: dict[str, str] | None = None
    ) -> web.Response:
        noted.error, noted.is_answered = body.get("error", ""), True
        self._world.board.notify()
        return web.json_response(body, headers=headers)

    def _let_in(self, token: str) -> Team:
        if not token:
            raise Refused("not_authed")
        for team in self._world.teams.values():
            if token in team.ended:
                raise Refused(team.ended[token])
            if team.bot_token == token:
                if team.token_error:
                    raise Refused(team.token_error)
                return team
        raise Refused("not_allowed_token_type" if token == self.app_token else "invalid_auth")

    def _connect(self, noted: Request) -> Json:
        if noted.token != self.app_token:
            kind = noted.token.startswith("xoxb-")
            raise Refused("not_allowed_token_type" if kind else "invalid_auth")
        return {"ok": True, "url": self._line.new_address()}

    async def _test(self, call: Call) -> Json:
        team = call.team
        return {
            "url": f"https://{team.domain}.slack.com/",
            "team": team.name,
            "user": "ray",
            "team_id": team.id,
            "user_id": team.bot_user,
            "bot_id": team.bot_id,
            "is_enterprise_install": False,
            **({"enterprise_id": team.enterprise_id} if team.enterprise_id else {}),
        }

    async def _revoke(self, call: Call) -> Json:
        call.team.token_error = "token_revoked"
        return {"revoked": True}

    async def wait_request(self, method: str, count: int = 1, *, seconds: float = 30.0) -> Request:
        """The call of a method that is the so many-th, once it came."""
        found = await self._world.board.wait_for(
            lambda: self.requests_to(method) if len(self.requests_to(method)) >= count else None,
            seconds,
        )
        return found[count - 1]

    def requests_to(self, method: str) -> list[Request]:
        """What came for one method."""
        return [each for each in self.requests if each.method == method]
