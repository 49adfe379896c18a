"""The true slack_bolt and slack_sdk against this server: what people do."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack_server.scene import MODAL, PNG, Scene, connected


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
