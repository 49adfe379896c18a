"""What Slack answers to those who set a bot up: whose a token is, its scopes, its channels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.slack.manifest import SCOPES

BOT_TOKEN = "xoxb-1-the-bot-of-foxes"
APP_TOKEN = "xapp-1-A1-the-app"
WORKSPACE, HALL, CELLAR = "T0FOXES", "C0HALL", "C0CELLAR"
NOT_ITS_KIND = "not_allowed_token_type"


@dataclass
class SlackPortal:
    """One workspace with one app in it. `errors` and `statuses` are by method."""

    errors: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    scopes: tuple[str, ...] | None = SCOPES
    #: Each channel that there is, and whether the bot is in it.
    channels: dict[str, bool] = field(default_factory=lambda: {HALL: True, CELLAR: False})
    app_id: str = "A1"
    is_org_wide: bool = False
    is_mute: bool = False
    calls: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/api/{method}", self._serve)
        self._heard = asyncio.Event()
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._heard.set()
        await self._server.close()

    @property
    def base_url(self) -> str:
        """What stands for https://slack.com/api/."""
        return f"http://{self._server.host}:{self._server.port}/api/"

    async def _serve(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        self.asked.append({key: str(value) for key, value in (await request.post()).items()})
        if self.is_mute:
            await self._heard.wait()
        if (status := self.statuses.get(method)) is not None:
            return web.json_response({"ok": False}, status=status, headers={"Retry-After": "30"})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        error = self.errors.get(method) or self._refusal(method, token)
        if error:
            return web.json_response({"ok": False, "error": error})
        headers = {"x-oauth-scopes": ",".join(self.scopes)} if self.scopes is not None else {}
        return web.json_response(
            {"ok": True, **await self._answer(request, method)}, headers=headers
        )

    def _refusal(self, method: str, token: str) -> str:
        wants = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        if token in (APP_TOKEN, BOT_TOKEN):
            return "" if token == wants else NOT_ITS_KIND
        return "invalid_auth" if token else "not_authed"

    async def _answer(self, request: web.Request, method: str) -> dict[str, Any]:
        match method:
            case "auth.test":
                return {
                    "team": "Foxes",
                    "team_id": WORKSPACE,
                    "user": "ray",
                    "user_id": "U0RAY",
                    "bot_id": "B0RAY",
                    "is_enterprise_install": self.is_org_wide,
                }
            case "bots.info":
                return {"bot": {"id": "B0RAY", "app_id": self.app_id}}
            case "apps.connections.open":
                return {"url": "wss://127.0.0.1/never"}
            case "conversations.history":
                is_in = self.channels.get(str((await request.post())["channel"]))
                if is_in:
                    return {"messages": []}
                error = "channel_not_found" if is_in is None else "not_in_channel"
                return {"ok": False, "error": error}
            case _:
                return {"ok": False, "error": "unknown_method"}
