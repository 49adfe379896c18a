"""Connected as the settings say: by sockets, or by Slack's calls at our public listener."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from adapters.slack import setup
from adapters.slack.app import Hears, to_app
from adapters.slack.calls import to_oauth, to_routes
from adapters.slack.settings import Settings, secret
from adapters.slack.sockets import PING_SECONDS, Sockets
from adapters.slack.tokens import Installations, OneWorkspace, States
from bot.clock import Clock
from bot.errors import DeliveryUnavailable
from bot.log import get_logger
from bot.ports import WebHandler

log = get_logger(__name__)
#: Between tries to find out who we are, where Slack does not answer; each may take so long.
SOON, LATE = timedelta(seconds=5), timedelta(minutes=5)
PROVE_SECONDS = 15.0
NOT_CONNECTED = "Raybot is not connected to Slack right now. It tries again by itself."


class Session:
    """Connected as the settings say: by sockets, or by Slack's calls at our public listener."""

    def __init__(
        self,
        hears: Hears,
        accounts: OneWorkspace | Installations,
        settings: Settings,
        *,
        clock: Clock,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._ping_seconds = ping_seconds
        self._oauth = (
            to_oauth(settings, accounts, States(secret(settings.client_secret), clock))
            if isinstance(accounts, Installations)
            else None
        )
        self._is_proven = isinstance(accounts, Installations)
        self._sockets: Sockets | None = None
        self._app = to_app(hears, accounts, signing_secret=secret(settings.signing_secret))

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """What is served at our public listener; nothing in Socket Mode."""
        if self._settings.mode != "http":
            return {}
        signing_secret = secret(self._settings.signing_secret)
        return to_routes(self._app, self._oauth, signing_secret=signing_secret)

    @property
    def trouble(self) -> str | None:
        """Why nobody is heard just now."""
        return None if self._is_heard() else NOT_CONNECTED

    def _is_heard(self) -> bool:
        if self._settings.mode == "http":
            return self._is_proven
        return self._sockets is not None and bool(self._sockets.well)

    async def prove(self) -> None:
        """Find out who we are; `ConfigError` where Slack refuses; waits where it is mute."""
        if not isinstance(self._accounts, OneWorkspace):
            return
        pause = SOON
        while True:
            try:
                self._accounts.prove(await setup.prove(self._settings, seconds=PROVE_SECONDS))
            except DeliveryUnavailable as error:
                log.warning("slack.not_reachable", cause=error.sentence)
            else:
                self._is_proven = True
                return
            await self._clock.wait(asyncio.Event(), self._clock.now() + pause)
            pause = min(pause * 2, LATE)

    async def run(self) -> None:
        """Listen until cancelled."""
        if self._settings.mode == "http":
            await asyncio.Event().wait()
        sockets = self._sockets = Sockets(
            self._app,
            token=secret(self._settings.app_token),
            base_url=self._settings.api_base_url,
            count=self._settings.connections,
            clock=self._clock,
            ping_seconds=self._ping_seconds,
        )
        await sockets.run()
