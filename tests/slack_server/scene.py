"""What the tests of this server start with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes import MovableClock
from tests.slack_server import Channel, Person, SlackServer, Team

PNG = ("fox.png", b"\x89PNG fox", "image/png")
MODAL = {
    "type": "modal",
    "callback_id": "form",
    "title": {"type": "plain_text", "text": "Clip"},
    "submit": {"type": "plain_text", "text": "Go"},
    "blocks": [
        {
            "type": "input",
            "block_id": "prompt",
            "label": {"type": "plain_text", "text": "Prompt"},
            "element": {"type": "plain_text_input", "action_id": "value"},
        },
        {
            "type": "input",
            "block_id": "start",
            "optional": True,
            "label": {"type": "plain_text", "text": "Start"},
            "element": {"type": "file_input", "action_id": "value", "max_files": 1},
        },
        {
            "type": "input",
            "block_id": "where",
            "label": {"type": "plain_text", "text": "Where"},
            "element": {
                "type": "conversations_select",
                "action_id": "value",
                "default_to_current_conversation": True,
                "response_url_enabled": True,
            },
        },
    ],
}


@dataclass(kw_only=True)
class Scene:
    """A workspace with one channel, one person and a bolt app."""

    clock: MovableClock
    slack: SlackServer
    team: Team
    general: Channel
    ana: Person
    app: AsyncApp
    client: AsyncWebClient
    heard: list[dict[str, Any]] = field(default_factory=list)


@asynccontextmanager
async def connected(scene: Scene) -> AsyncIterator[None]:
    handler = AsyncSocketModeHandler(
        scene.app,
        scene.slack.app_token,
        web_client=AsyncWebClient(base_url=scene.slack.api_base_url),
        ping_interval=1,
    )
    await handler.connect_async()  # type: ignore[no-untyped-call]  # The SDK's.
    await scene.slack.wait_connected()
    try:
        yield
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]  # The SDK's.
