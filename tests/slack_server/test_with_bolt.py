"""The true slack_bolt and slack_sdk against this server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient
from yarl import URL

from tests.fakes import MovableClock
from tests.slack_server import Channel, Person, SlackServer, Team
from tests.slack_server.remote import outside

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
    async with (
        aiohttp.ClientSession() as session,
        session.post(place["upload_url"], data=b"clip") as reply,
    ):
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


# ---- answers, faults, doors ----------------------------------------------------------------------


async def test_a_link_to_answer_by_ends_after_five_uses_and_half_an_hour(scene: Scene) -> None:
    asked = await scene.ana.slash("/ray", "a fox")
    url = asked.envelopes[0].payload["response_url"]
    webhook = AsyncWebhookClient(url, retry_handlers=[])
    assert [(await webhook.send(text="hi")).status_code for _ in range(6)] == [200] * 5 + [404]
    asked = await scene.ana.slash("/ray", "a fox")
    scene.clock.move(minutes=31)
    webhook = AsyncWebhookClient(asked.envelopes[0].payload["response_url"], retry_handlers=[])
    assert (await webhook.send(text="hi")).status_code == 404


async def test_planned_faults_meet_single_calls(scene: Scene) -> None:
    said: dict[str, Any] = {"channel": scene.general.id, "text": "hi"}
    scene.slack.faults.fail("chat.postMessage", "ratelimited", status=429, retry_after=7)
    with pytest.raises(SlackApiError) as caught:
        await scene.client.chat_postMessage(**said)
    assert caught.value.response.headers["Retry-After"] == "7"
    scene.slack.faults.drop("chat.postMessage", when="after")
    with pytest.raises(aiohttp.ClientError):
        await scene.client.chat_postMessage(**said)
    assert len(scene.slack.posted(scene.general)) == 1
    gate = scene.slack.faults.hold("chat.postMessage")
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.client.chat_postMessage(**said))
        await gate.reached.wait()
        assert len(scene.slack.posted(scene.general)) == 1
        gate.open()
    assert len(scene.slack.posted(scene.general)) == 2
    assert [each.error for each in scene.slack.requests_to("chat.postMessage")] == [
        "ratelimited",
        "drop",
        "",
    ]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda scene: scene.team.scopes.discard("chat:write"), "missing_scope"),
        (lambda scene: scene.slack.remove_bot(scene.general), "not_in_channel"),
        (lambda scene: setattr(scene.team, "token_error", "token_revoked"), "token_revoked"),
        (lambda scene: setattr(scene.client, "token", "xoxb-other"), "invalid_auth"),
    ],
)
async def test_what_the_bot_may_not_say(scene: Scene, spoil: Any, error: str) -> None:
    spoil(scene)
    with pytest.raises(SlackApiError, match=error):
        await scene.client.chat_postMessage(channel=scene.general.id, text="hi")


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "divider"}] * 51,
        [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}],
        [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3001}}],
        [{"type": "section", "text": {"type": "plain_text", "text": ""}}],
        [{"type": "nonsense"}],
    ],
)
async def test_blocks_that_are_none(scene: Scene, blocks: list[dict[str, Any]]) -> None:
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        await scene.client.chat_postMessage(channel=scene.general.id, text="hi", blocks=blocks)


async def test_a_message_comes_thrice_and_again_while_its_acks_are_lost(scene: Scene) -> None:
    @scene.app.event("app_mention")
    async def on_mention() -> None:
        pass

    scene.slack.repeat_events, scene.slack.lost_acks = 3, 1
    async with connected(scene):
        await scene.ana.say(f"{scene.team.mention} a fox")
        await scene.slack.wait_for(lambda: len(scene.heard) == 3 and not scene.slack.lost_acks)
        await scene.slack.wait_for(lambda: sum(e.is_acked for e in scene.slack.envelopes) == 2)
        assert len(await scene.slack.redeliver()) == 1
        await scene.slack.wait_acked()
    assert len({each["event_id"] for each in scene.heard}) == 3
    assert len({each["event"]["ts"] for each in scene.heard}) == 1


async def test_a_socket_is_renewed_when_it_is_asked_for(scene: Scene) -> None:
    async with connected(scene):
        await scene.slack.refresh()
        await scene.slack.wait_request("apps.connections.open", 2)
        await scene.slack.wait_connected()


async def test_over_http_all_is_signed_and_answers_are_acknowledgements(scene: Scene) -> None:
    @scene.app.command("/ray")
    async def ray(ack: Any) -> None:
        await ack("Got it")

    @scene.app.event("app_mention")
    async def on_mention(event: dict[str, Any], client: AsyncWebClient) -> None:
        button = {
            "type": "button",
            "action_id": "go",
            "text": {"type": "plain_text", "text": "Go"},
        }
        blocks = [{"type": "actions", "elements": [button]}]
        await client.chat_postMessage(channel=event["channel"], text="Go?", blocks=blocks)

    @scene.app.action("go")
    async def on_go(ack: Any, respond: Any) -> None:
        await ack()
        await respond("Gone", replace_original=True)

    async def hear(request: web.Request) -> web.Response:
        return await to_aiohttp_response(
            await scene.app.async_dispatch(await to_bolt_request(request))
        )

    door = web.Application()
    door.add_routes([web.post("/slack/events", hear)])
    async with TestServer(door) as server:
        scene.slack.http_url = str(server.make_url("/slack/events"))
        asked = await scene.ana.slash("/ray", "a fox & <b>")
        assert (asked.said, asked.error) == (["Got it"], "")
        assert scene.heard[0]["text"] == "a fox & <b>"
        await scene.ana.say(f"{scene.team.mention} go")
        message = await scene.slack.wait_message(scene.general)
        assert message.buttons == ["Go"]
        await scene.ana.click(message, "Go")
        await scene.slack.wait_message(scene.general, lambda each: each.text == "Gone")
        assert await scene.slack.post_signed("{}", secret="other") == 401
        old = str(int(scene.clock.now().timestamp()) - 301)
        assert await scene.slack.post_signed("{}", timestamp=old) == 401


async def test_the_bot_is_steered_from_another_process() -> None:
    async with outside() as slack, aiohttp.ClientSession() as session:
        client = AsyncWebClient(slack.bot_token, slack.api_base_url, session=session)
        await client.chat_postMessage(channel=slack.channel["id"], text="hi there")
        message = await slack.wait("message", channel=slack.channel, text="^hi")
        assert message["plain"] == "hi there"
        said = await slack.call("Ana", "say", "look", thread=message, files=[PNG])
        assert await slack.file(said["files"]["fox.png"]) == PNG[1]
        asked = await slack.call("Ana", "slash", "/ray", "a fox")
        assert asked["error"] == "dispatch_failed"
        assert [each["error"] for each in await slack.requests("chat.postMessage")] == [""]


async def test_whoever_installs_the_app_is_sent_back_with_a_code(scene: Scene) -> None:
    oauth = scene.slack.oauth
    oauth.installs, oauth.redirect_to = scene.team, "http://127.0.0.1:1/back"
    query = {"client_id": oauth.client_id, "state": "s", "scope": "chat:write,commands"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(scene.slack.authorize_url, params=query, allow_redirects=False) as reply,
    ):
        back = URL(reply.headers["Location"])
    given: dict[str, Any] = {
        "client_id": oauth.client_id,
        "client_secret": oauth.client_secret,
        "code": back.query["code"],
    }
    got = await scene.client.oauth_v2_access(**given)
    assert (back.query["state"], got["scope"]) == ("s", "chat:write,commands")
    with pytest.raises(SlackApiError, match="invalid_code"):
        await scene.client.oauth_v2_access(**given)


# ---- what else people do ---------------------------------------------------------------------


async def test_a_guest_of_another_workspace_shows_only_where_to_ask_for_a_file(
    scene: Scene,
) -> None:
    eve = scene.slack.person("Eve", scene.team, scene.general, team_id="T999999999")
    scene.slack.tells_files = True
    message = await eve.say(f"{scene.team.mention} move it", files=[PNG])
    event = scene.slack.envelopes[0].payload["event"]
    assert event["user_team"] == "T999999999"
    assert event["files"][0]["file_access"] == "check_file_info"
    got = await scene.client.files_info(file=message.files[0].id)
    assert got["file"]["mimetype"] == "image/png"
    told = await scene.client.users_info(user=eve.id, include_locale=True)
    assert (told["user"]["is_stranger"], told["user"]["locale"]) == (True, "en-GB")


async def test_a_shortcut_tells_the_whole_message_and_a_direct_one_is_heard(scene: Scene) -> None:
    opened: list[str] = []

    @scene.app.shortcut("animate")
    async def on_shortcut(ack: Any, shortcut: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        opened.append(shortcut["message"]["files"][0]["name"])
        await client.views_open(trigger_id=shortcut["trigger_id"], view=MODAL)

    @scene.app.event("message")
    async def on_message(event: dict[str, Any], say: Any) -> None:
        await say(f"{event['channel_type']} {event['files'][0]['name']}")

    scene.slack.remove_bot(scene.general)
    message = await scene.ana.say("look", files=[PNG])
    async with connected(scene):
        asked = await scene.ana.shortcut("animate", message)
        assert (await asked.wait_view()).title == "Clip"
        await scene.ana.say("move it", scene.ana.direct, files=[PNG])
        answer = await scene.slack.wait_message(scene.ana.direct)
        await scene.slack.wait_acked()
    assert (opened, answer.text) == (["fox.png"], "im fox.png")


async def test_a_home_tab_is_published_and_its_buttons_are_pressed(scene: Scene) -> None:
    label = {"type": "plain_text", "text": "Change"}
    button = {"type": "button", "action_id": "change", "text": label}
    home = {"type": "home", "blocks": [{"type": "actions", "elements": [button]}]}

    @scene.app.event("app_home_opened")
    async def on_home(event: dict[str, Any], client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view=home)

    @scene.app.action("change")
    async def on_change(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    async with connected(scene):
        await scene.ana.open_home()
        asked = await scene.ana.click(await scene.ana.wait_home(), "Change")
        await asked.wait_view()
        await scene.slack.wait_acked()


async def test_what_the_bot_carried_is_read_back_in_pages(scene: Scene) -> None:
    carried = {"event_type": "ray_job", "event_payload": {"key": "k"}}
    for number in range(3):
        await scene.client.chat_postMessage(
            channel=scene.general.id, text=f"hi {number}", metadata=carried
        )
    found: list[Any] = []
    cursor: str | None = None
    while cursor != "":
        got = await scene.client.conversations_history(
            channel=scene.general.id, limit=2, cursor=cursor, include_all_metadata=True
        )
        found += got["messages"]
        cursor = (got.get("response_metadata") or {}).get("next_cursor", "")
    assert [each["text"] for each in found] == ["hi 2", "hi 1", "hi 0"]
    assert found[0]["metadata"] == carried
    first = scene.slack.said(scene.general)[0]
    got = await scene.client.conversations_history(
        channel=scene.general.id, latest=first.ts, inclusive=True, limit=1
    )
    assert got["messages"][0]["metadata"] == {"event_type": "ray_job"}
