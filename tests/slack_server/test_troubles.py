"""The true slack_bolt and slack_sdk against this server: what goes wrong, and other doors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient
from yarl import URL

from tests.slack_server import NotPossible
from tests.slack_server.remote import outside
from tests.slack_server.scene import PNG, Scene, connected


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


async def test_a_call_is_answered_with_just_what_a_test_plans(scene: Scene) -> None:
    file = {"id": "F1", "mode": "hidden_by_limit"}
    scene.slack.faults.answer("files.info", {"ok": True, "file": file})
    assert (await scene.client.files_info(file="F1"))["file"] == file
    with pytest.raises(SlackApiError, match="file_not_found"):
        await scene.client.files_info(file="F1")
    scene.slack.faults.answer("auth.test", "<html>", status=503, content_type="text/html")
    with pytest.raises(SlackApiError) as caught:
        await scene.client.auth_test()
    assert caught.value.response.status_code == 503
    assert [each.error for each in scene.slack.requests_to("auth.test")] == ["<html>"]


async def test_downloads_are_noted_and_meet_faults(scene: Scene) -> None:
    message = await scene.ana.say("look", files=[PNG])
    url = scene.slack.payloads.file(message.files[0])["url_private"]
    scene.slack.faults.fail("download", "try again", status=503)
    bearer = {"Authorization": f"Bearer {scene.team.bot_token}"}
    statuses = []
    async with aiohttp.ClientSession() as session:
        for headers in (bearer, {}, bearer):
            async with session.get(url, headers=headers, allow_redirects=False) as reply:
                statuses.append(reply.status)
    assert statuses == [503, 302, 200]
    noted = scene.slack.requests_to("download")
    assert [each.error for each in noted] == ["try again", "302", ""]
    assert [bool(each.token) for each in noted] == [True, False, True]


async def test_another_bot_has_its_own_name_and_metadata(scene: Scene) -> None:
    metadata = {"event_type": "ray_job", "event_payload": {"job_id": "r-1"}}
    other = scene.slack.person("Other", scene.team, scene.general, is_bot=True)
    await other.say("It is me.", metadata=metadata)
    await scene.client.chat_postMessage(channel=scene.general.id, text="No, me.")
    told = await scene.client.conversations_history(
        channel=scene.general.id, include_all_metadata=True
    )
    ours, theirs = told["messages"]
    assert theirs["metadata"] == metadata
    assert (ours["user"], ours["bot_id"]) == (scene.team.bot_user, scene.team.bot_id)
    assert all(ours[each] != theirs[each] for each in ("user", "bot_id", "app_id"))
    with pytest.raises(NotPossible):
        await scene.ana.say("Me too.", metadata=metadata)


async def test_a_clip_with_words_outlives_its_file(scene: Scene) -> None:
    buttons = [{"type": "section", "text": {"type": "mrkdwn", "text": "A fox"}}]
    for blocks in (buttons, []):
        place = await scene.client.files_getUploadURLExternal(filename="clip.mp4", length=4)
        async with aiohttp.ClientSession() as session:
            await session.post(place["upload_url"], data=b"clip")
        await scene.client.files_completeUploadExternal(
            files=[{"id": place["file_id"]}],
            channel_id=scene.general.id,
            blocks=json.dumps(blocks),
        )
        await scene.client.files_delete(file=place["file_id"])
    [left] = scene.slack.posted(scene.general)
    assert left.plain == "A fox"


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
        sockets = scene.slack.line.sockets
        [old] = sockets
        await scene.slack.refresh()
        await scene.slack.wait_request("apps.connections.open", 2)
        await scene.slack.wait_for(lambda: sockets and old not in sockets)


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


# The SDK itself still uses what aiohttp will take away.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
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


async def test_a_dead_ticket_is_refused_and_a_lost_socket_comes_back(scene: Scene) -> None:
    async with connected(scene):
        await scene.slack.line.cut()
        await scene.slack.wait_request("apps.connections.open", 2)
        await scene.slack.wait_connected()
    await scene.slack.wait_left()
    scene.slack.dead_tickets = 1
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(base_url=scene.slack.api_base_url, session=session)
        for is_dead in (True, False):
            got = await client.apps_connections_open(app_token=scene.slack.app_token)
            if is_dead:
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(got["url"])
                continue
            async with session.ws_connect(got["url"]) as socket:
                assert (await socket.receive_json())["type"] == "hello"


async def test_an_acknowledgement_after_three_seconds_is_none(scene: Scene) -> None:
    @scene.app.command("/ray")
    async def ray(ack: Any) -> None:
        scene.clock.move(seconds=3.5)
        await ack("Too late")

    async with connected(scene):
        asked = await scene.ana.slash("/ray", "a fox", seconds=0)
        await scene.slack.wait_for(lambda: asked.error)
    assert (asked.error, asked.said, asked.is_acked) == ("operation_timeout", [], False)


async def test_a_workspace_that_took_the_app_out(scene: Scene) -> None:
    @scene.app.event("app_uninstalled")
    async def gone() -> None:
        pass

    async with connected(scene):
        await scene.slack.uninstall(scene.team)
        await scene.slack.wait_acked()
    with pytest.raises(SlackApiError, match="account_inactive"):
        await scene.client.auth_test()


async def test_a_file_that_is_never_shown_and_then_withdrawn(scene: Scene) -> None:
    scene.slack.shares = "never"
    place = await scene.client.files_getUploadURLExternal(filename="clip.mp4", length=4)
    scene.slack.faults.fail("upload", "try again", status=503)
    async with aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(2):
            async with session.post(place["upload_url"], data=b"clip") as reply:
                statuses.append(reply.status)
    assert statuses == [503, 200]
    file = place["file_id"]
    scene.slack.faults.drop("files.completeUploadExternal", when="after")
    with pytest.raises(aiohttp.ClientError):
        await scene.client.files_completeUploadExternal(
            files=[{"id": file, "title": "A fox"}], channel_id=scene.general.id
        )
    assert (await scene.client.files_info(file=file))["file"]["shares"] == {}
    await scene.client.files_delete(file=file)
    with pytest.raises(SlackApiError, match="file_deleted"):
        await scene.client.files_info(file=file)
    assert not scene.slack.posted(scene.general)
