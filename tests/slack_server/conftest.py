"""The scene of the tests of this server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes import MovableClock
from tests.slack_server import SlackServer
from tests.slack_server.scene import Scene


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clock = MovableClock()
    async with SlackServer(clock) as slack, aiohttp.ClientSession() as session:
        team = slack.team("Foxes")
        general = slack.channel(team, "general")
        ana = slack.person("Ana", team, general)
        client = AsyncWebClient(
            team.bot_token, slack.api_base_url, session=session, retry_handlers=[]
        )
        app = AsyncApp(client=client, signing_secret=slack.signing_secret)
        found = Scene(
            clock=clock,
            slack=slack,
            team=team,
            general=general,
            ana=ana,
            app=app,
            client=client,
        )

        @app.middleware
        async def hear(body: dict[str, Any], next: Any) -> None:  # noqa: A002
            found.heard.append(body)
            await next()

        yield found
