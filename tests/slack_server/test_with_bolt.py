"""The true slack_bolt and slack_sdk against this server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
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


@asynccontextmanager
async def connected(scene: Scene) -> AsyncIterator[None]:
    handler = AsyncSocketModeHandler(
        scene.app,
        scene.slack.app_token,
        web_client=AsyncWebClient(base_url=scene.slack.api_base_url),
        ping_interval=1,
    )
    await handler.connect_async()
    await scene.slack.wait_connected()
    try:
        yield
    finally:
        await handler.close_async()


async def test_a_command_is_acknowledged_and_answered_privately(scene: Scene) -> None:
    @scene.app.command("/ray")
    async def ray(ack: Any, respond: Any, command: dict[str, Any]) -> None:
        await ack("Got it")
        await respond(f"You said {command['text']}")

    async with connected(scene):
        asked = await scene.ana.slash("/ray", "a fox")
        await asked.wait_said(lambda text: "a fox" in text)
        await asked.wait_said(lambda text: text == "Got it")
    assert {each.text for each in scene.ana.ephemerals} == {"Got it", "You said a fox"}
    assert not scene.slack.said(scene.general)


async def test_nobody_listens_to_a_command(scene: Scene) -> None:
    asked = await scene.ana.slash("/ray", "a fox")
    assert asked.error == "dispatch_failed"


async def test_a_mention_leaves_its_files_out_and_its_thread_shows_them(scene: Scene) -> None:
    @scene.app.event("app_mention")
    async def on_mention(event: dict[str, Any], client: AsyncWebClient) -> None:
        got = await client.conversations_replies(channel=event["channel"], ts=event["ts"])
        file = got["messages"][0]["files"][0]
        await client.chat_postMessage(
            channel=event["channel"], thread_ts=event["ts"], text=file["name"]
        )

    async with connected(scene):
        asked = await scene.ana.say(f"{scene.team.mention} move", files=[PNG])
        answer = await scene.slack.wait_message(scene.general)
        await scene.slack.wait_acked()
    assert "files" not in scene.heard[0]["event"]
    assert (answer.text, answer.thread_ts) == ("fox.png", asked.ts)


async def test_a_private_file_is_for_the_bearer_only(scene: Scene) -> None:
    message = await scene.ana.say("look", files=[PNG])
    got = await scene.client.files_info(file=message.files[0].id)
    url = got["file"]["url_private"]
    async with aiohttp.ClientSession() as session:
        bearer = {"Authorization": f"Bearer {scene.team.bot_token}"}
        async with session.get(url, headers=bearer) as reply:
            assert (await reply.read(), reply.content_type) == (PNG[1], PNG[2])
        async with session.get(url) as reply:
            assert (reply.status, reply.content_type) == (200, "text/html")


async def test_an_upload_is_committed_once_and_shown_after_two_looks(scene: Scene) -> None:
    scene.slack.shares = 2
    place = await scene.client.files_getUploadURLExternal(filename="clip.mp4", length=4)
    async with aiohttp.ClientSession() as session:
        async with session.post(place["upload_url"], data=b"clip") as reply:
            assert await reply.text() == "OK - 4"
    given: dict[str, Any] = {
        "files": [{"id": place["file_id"], "title": "A fox"}],
        "channel_id": scene.general.id,
    }
    await scene.client.files_completeUploadExternal(**given)
    shown = [
        (await scene.client.files_info(file=place["file_id"]))["file"]["shares"] for _ in range(3)
    ]
    assert [bool(each) for each in shown] == [False, False, True]
    with pytest.raises(SlackApiError, match="file_not_found"):
        await scene.client.files_completeUploadExternal(**given)
    clip = scene.slack.posted(scene.general)[0]
    assert clip.files[0].content == b"clip"


async def test_a_form_is_opened_refused_filled_in_and_answered(scene: Scene) -> None:
    @scene.app.command("/ray")
    async def ray(ack: Any, client: AsyncWebClient, body: dict[str, Any]) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @scene.app.view("form")
    async def on_form(ack: Any, view: dict[str, Any], client: AsyncWebClient) -> None:
        values = view["state"]["values"]
        if values["prompt"]["value"]["value"] == "bad":
            await ack(response_action="errors", errors={"prompt": "No"})
            return
        await ack()
        file = values["start"]["value"]["files"][0]
        got = await client.files_info(file=file["id"])
        await client.chat_postMessage(
            channel=values["where"]["value"]["selected_conversation"], text=got["file"]["name"]
        )

    async with connected(scene):
        asked = await scene.ana.slash("/ray")
        view = await asked.wait_view()
        refused = await scene.ana.submit(view, {"Prompt": "bad"})
        assert (refused.errors, refused.closed) == ({"prompt": "No"}, False)
        done = await scene.ana.submit(view, {"prompt": "a fox", "Start": PNG[:2]})
        assert done.closed
        assert (await scene.slack.wait_message(scene.general)).text == "fox.png"
    assert scene.heard[-1]["response_urls"][0]["channel_id"] == scene.general.id


async def test_a_trigger_is_good_once_and_for_three_seconds(scene: Scene) -> None:
    await scene.ana.global_shortcut("create")
    trigger = scene.slack.envelopes[-1].payload["trigger_id"]
    await scene.client.views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await scene.client.views_open(trigger_id=trigger, view=MODAL)
    await scene.ana.global_shortcut("create")
    trigger = scene.slack.envelopes[-1].payload["trigger_id"]
    scene.clock.move(seconds=3.1)
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await scene.client.views_open(trigger_id=trigger, view=MODAL)
