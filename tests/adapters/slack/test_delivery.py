"""What Raybot posts, edits and deletes, over true HTTP: each of its answers has its action."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.slack.addresses import to_message
from adapters.slack.pace import MOST, MOST_RUNNING
from bot import notices as n
from bot.errors import DeliveryUnavailable, EditsPaused, PostedBefore, ThreadGone
from bot.notices import Starred
from bot.ports import Hosting
from bot.refs import MessageRef
from tests.adapters.slack.desk import JOB, Desk, Memory, opened
from tests.fakes import digest_of
from tests.slack_server.messages import to_cursor

POST, EDIT, PAST = "chat.postMessage", "chat.update", "conversations.history"
REPLIES = "conversations.replies"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


async def in_vain(desk: Desk) -> DeliveryUnavailable:
    """A try whose answer is lost, or that has to come again."""
    with pytest.raises(DeliveryUnavailable) as caught:
        await desk.say()
    return caught.value


# ---- one message, as it should be --------------------------------------------------------------


async def test_a_status_message_carries_its_job_and_unfurls_nothing(desk: Desk) -> None:
    ref = await desk.say()
    [said] = desk.said()
    assert ref == to_message(desk.place(), said.ts)
    [call] = desk.calls(POST)
    sent = call.args
    assert sent["metadata"] == {
        "event_type": "ray_job",
        "event_payload": {"job_id": JOB, "key": f"{JOB}:status"},
    }
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)
    assert sent["text"]
    assert sent["blocks"]
    assert "thread_ts" not in sent
    assert "link_names" not in sent
    assert desk.delivery.told == [desk.accepted()]


async def test_it_is_posted_into_the_thread_that_asked(desk: Desk) -> None:
    parent = await desk.say()
    desk.memo = Memory()
    await desk.say(desk.place(parent.message))
    assert desk.calls(POST)[-1].args["thread_ts"] == parent.message


async def test_what_is_for_one_person_goes_to_their_direct_messages(desk: Desk) -> None:
    ref = await desk.say(desk.private)
    assert desk.said() == []
    await desk.delivery.edit(ref, desk.failed())
    [said] = desk.said(desk.direct)
    assert said.text.startswith("*No clip this time*")


async def test_whoever_waits_is_told_where_a_status_message_is(desk: Desk) -> None:
    assert await desk.delivery.placed(JOB, 0) is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(desk.delivery.placed(JOB, 10))
        posted = await desk.say()
    assert waiting.result() == posted == await desk.delivery.placed(JOB, 0)


async def test_the_operator_is_told_in_their_channel(desk: Desk) -> None:
    notice = n.Operator(code="x", sentence="The key is refused.")
    await desk.delivery.post(desk.place(), notice, key="operator:1", memo=desk.memo)
    [call] = desk.calls(POST)
    sent = call.args
    assert sent["metadata"]["event_payload"] == {"job_id": "", "key": "operator:1"}


async def test_the_operator_is_not_told_twice(desk: Desk) -> None:
    notice = n.Operator(code="x", sentence="The key is refused.")
    desk.drop(POST)
    for _ in range(2):
        with pytest.raises(DeliveryUnavailable):
            await desk.delivery.post(desk.place(), notice, key="operator:1", memo=Memory())
    desk.clock.move(seconds=30)
    await desk.delivery.post(desk.place(), notice, key="operator:1", memo=Memory())
    assert len(desk.said()) == 1


async def test_a_digest_whose_answer_was_lost_is_found_by_the_next_process(desk: Desk) -> None:
    week = digest_of(
        Starred(job_id=JOB, stars=4, name="<!channel> *Ana*", message=await desk.say())
    )
    key, desk.memo = "digest:slack:T1:2026-11-02", Memory()
    desk.drop(POST)
    with pytest.raises(DeliveryUnavailable):
        await desk.delivery.post(desk.place(), week, key=key, memo=desk.memo)
    desk.clock.move(seconds=30)
    async with desk.restarted() as next_one:
        ref = await next_one.delivery.post(desk.place(), week, key=key, memo=next_one.memo)
    _, said = desk.said()
    assert ref.message == said.ts
    assert said.text.startswith("*The week with Raybot, 26 Oct to 1 Nov 2026*")
    assert "&lt;!channel&gt;" in said.text
    assert f"|{JOB}> by " in said.text, "the way to the clip"


async def test_slack_hosts_no_image_for_others(desk: Desk) -> None:
    status = await desk.say()
    assert not desk.delivery.limits(desk.place()).can_host
    hosting = Hosting(
        job_id=JOB,
        slot="start",
        requester=desk.about().requester,
        thread=desk.place(),
        status=status,
        is_hidden=False,
    )
    with pytest.raises(ThreadGone):
        await desk.delivery.host(desk.clip, hosting)


# ---- never twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_message_whose_answer_was_lost_is_found(desk: Desk, is_restarted: bool) -> None:
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    if is_restarted:
        async with desk.restarted() as next_one:
            ref = await next_one.say()
    else:
        ref = await desk.say()
    [said] = desk.said()
    assert ref.message == said.ts
    assert len(desk.calls(POST)) == 1


async def test_what_never_arrived_is_posted_then(desk: Desk) -> None:
    desk.drop(POST, "before")
    await in_vain(desk)
    desk.clock.move(seconds=30)
    await desk.say()
    assert len(desk.said()) == 1


async def test_a_later_try_whose_answer_was_lost_is_found_as_well(desk: Desk) -> None:
    desk.drop(POST, "before")
    await in_vain(desk)
    desk.clock.move(hours=1)
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(hours=1)
    await desk.say()
    assert len(desk.said()) == 1


async def test_what_may_be_on_its_way_is_waited_for(desk: Desk) -> None:
    desk.drop(POST)
    await in_vain(desk)
    async with desk.restarted() as next_one:
        error = await in_vain(next_one)
    assert 0 < (error.retry_after or 0) <= 10
    assert len(desk.said()) == 1


async def test_it_is_found_in_its_thread(desk: Desk) -> None:
    asked = n.Operator(code="x", sentence="somebody asks")
    parent = await desk.delivery.post(desk.place(), asked, key="asked", memo=Memory())
    desk.drop(POST)
    with pytest.raises(DeliveryUnavailable):
        await desk.say(desk.place(parent.message))
    desk.clock.move(seconds=30)
    ref = await desk.say(desk.place(parent.message))
    assert ref.message == desk.said()[-1].ts
    assert len(desk.said()) == 2
    assert desk.calls(REPLIES)[0].args["ts"] == parent.message


async def test_the_past_is_looked_through_page_by_page_and_gone_on_with(desk: Desk) -> None:
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    desk.show_few(200)
    await desk.chatter(450)
    desk.pause(PAST, 60)
    assert (await in_vain(desk)).retry_after == 60
    ref = await desk.say()
    assert ref.message == desk.said()[0].ts
    cursors = [each.args.get("cursor", "") for each in desk.calls(PAST)]
    assert cursors == ["", "", to_cursor(200), to_cursor(400)]


async def test_a_long_look_comes_again_where_it_ended(desk: Desk) -> None:
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    await desk.chatter(2100)
    await in_vain(desk)
    async with desk.restarted() as next_one:
        ref = await next_one.say()
    assert ref.message == desk.said()[0].ts
    assert len(desk.calls(PAST)) == 11


async def test_a_place_in_the_past_that_slack_forgot_is_looked_for_anew(desk: Desk) -> None:
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    desk.memo.kept["cursor"] = "old"
    desk.refuse(PAST, "invalid_cursor")
    await in_vain(desk)
    assert (await desk.say()).message == desk.said()[0].ts


async def test_the_same_key_in_the_message_of_another_is_not_ours(desk: Desk) -> None:
    desk.drop(POST, "before")
    await in_vain(desk)
    desk.clock.move(seconds=30)
    metadata = {"event_type": "ray_job", "event_payload": {"key": f"{JOB}:status"}}
    await desk.forge(metadata)
    await desk.say()
    assert len(desk.calls(POST)) == 2


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel", "channel_not_found"])
async def test_where_nobody_can_look_it_is_not_posted_again(desk: Desk, code: str) -> None:
    desk.drop(POST)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    desk.refuse(PAST, code, needed="channels:history")
    with pytest.raises(PostedBefore):
        await desk.say()
    assert len(desk.calls(POST)) == 1


@pytest.mark.parametrize("code", ["internal_error", "fatal_error"])
async def test_an_error_that_may_have_posted_is_looked_into(desk: Desk, code: str) -> None:
    desk.refuse(POST, code)
    await in_vain(desk)
    desk.clock.move(seconds=30)
    await desk.say()
    assert len(desk.calls(PAST)) == 1


# ---- what Slack says, and what is done ---------------------------------------------------------


async def test_a_pause_is_kept_and_leaves_no_doubt(desk: Desk) -> None:
    desk.pause(POST, 17)
    assert (await in_vain(desk)).retry_after == 17
    await desk.say()
    assert len(desk.said()) == 1
    assert desk.calls(PAST) == []


@pytest.mark.parametrize("code", ["not_in_channel", "is_archived", "restricted_action", "new"])
async def test_a_place_that_takes_nothing_is_asked_once(desk: Desk, code: str) -> None:
    desk.refuse(POST, code)
    with pytest.raises(ThreadGone) as caught:
        await desk.say()
    assert type(caught.value) is ThreadGone
    assert desk.said() == []


async def test_a_token_that_ended_is_given_up(desk: Desk) -> None:
    desk.refuse(POST, "token_revoked")
    for _ in range(2):
        with pytest.raises(ThreadGone, match="removed"):
            await desk.say()
    assert desk.accounts.lost == [desk.team.id]
    assert len(desk.calls(POST)) == 1


async def test_a_token_that_is_not_let_in_is_not_given_up(desk: Desk) -> None:
    desk.refuse(POST, "invalid_auth")
    await in_vain(desk)
    assert desk.accounts.lost == []
    await desk.say()


async def test_before_it_is_connected_nothing_is_sent(desk: Desk) -> None:
    await desk.delivery.clients.__aexit__()
    assert (await in_vain(desk)).retry_after == 2
    async with desk.delivery.clients:
        await desk.say()
    assert desk.calls(PAST) == []


async def test_what_nobody_expects_of_a_web_server_is_slacks_problem(desk: Desk) -> None:
    desk.answer(POST, None, status=503)
    await in_vain(desk)


async def test_no_proxy_of_the_environment_hears_our_token(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-other")
    await desk.say()
    assert desk.calls(POST)[0].token == desk.team.bot_token


# ---- edits -------------------------------------------------------------------------------------


async def test_an_edit_brings_its_blocks(desk: Desk) -> None:
    ref = await desk.say()
    await desk.delivery.edit(ref, desk.done())
    [call] = desk.calls(EDIT)
    sent = call.args
    assert (sent["channel"], sent["ts"]) == (desk.channel.id, ref.message)
    assert sent["text"]
    assert sent["blocks"]
    assert "metadata" not in sent
    assert desk.delivery.told[-1] == desk.done()


async def test_a_message_that_was_deleted_cannot_be_edited(desk: Desk) -> None:
    ref = await desk.say()
    await desk.wipe()
    with pytest.raises(ThreadGone):
        await desk.delivery.edit(ref, desk.failed())


@pytest.mark.parametrize("code", ["edit_window_closed", "cant_update_message"])
async def test_last_words_that_no_clip_tells_may_be_said_anew(desk: Desk, code: str) -> None:
    ref = await desk.say()
    desk.refuse(EDIT, code)
    with pytest.raises(EditsPaused):
        await desk.delivery.edit(ref, desk.failed())
    desk.refuse(EDIT, code)
    with pytest.raises(ThreadGone):
        await desk.delivery.edit(ref, desk.done())


async def test_edits_of_running_jobs_leave_room_for_last_words(desk: Desk) -> None:
    ref = await desk.say()
    for _ in range(MOST_RUNNING):
        await desk.delivery.edit(ref, desk.accepted())
    with pytest.raises(DeliveryUnavailable) as caught:
        await desk.delivery.edit(ref, desk.accepted())
    assert 0 < (caught.value.retry_after or 0) <= 60
    for _ in range(MOST - MOST_RUNNING):
        await desk.delivery.edit(ref, desk.failed())
    with pytest.raises(DeliveryUnavailable):
        await desk.delivery.edit(ref, desk.failed())
    assert len(desk.calls(EDIT)) == MOST
    desk.clock.move(seconds=61)
    await desk.delivery.edit(ref, desk.failed())


async def test_a_pause_with_edits_holds_for_the_whole_workspace(desk: Desk) -> None:
    ref = await desk.say()
    desk.pause(EDIT, 20)
    for _ in range(2):
        with pytest.raises(DeliveryUnavailable) as caught:
            await desk.delivery.edit(ref, desk.failed())
        assert caught.value.retry_after == pytest.approx(20, abs=1)
    assert len(desk.calls(EDIT)) == 1
    desk.clock.move(seconds=21)
    await desk.delivery.edit(ref, desk.failed())


# ---- removal and direct messages ---------------------------------------------------------------


async def test_a_message_is_removed_once_and_then_is_gone(desk: Desk) -> None:
    ref = await desk.say()
    await desk.delivery.delete(ref)
    assert desk.said() == []
    await desk.delivery.delete(ref)


async def test_what_slack_does_not_let_us_remove_is_said(desk: Desk) -> None:
    ref = await desk.say()
    desk.refuse("chat.delete", "cant_delete_message")
    with pytest.raises(ThreadGone):
        await desk.delivery.delete(ref)


async def test_a_clip_is_removed_with_its_file(desk: Desk) -> None:
    ref = await desk.show()
    await desk.delivery.delete(ref)
    assert desk.said() == []
    assert len(desk.calls("files.delete")) == 1
    await desk.delivery.delete(ref)


async def test_a_clip_without_its_file_is_removed_as_far_as_may_be(desk: Desk) -> None:
    ref: MessageRef = await desk.show()
    desk.refuse("chat.delete", "cant_delete_message")
    await desk.delivery.delete(ref)
    assert desk.clips() == []


async def test_a_clip_stays_where_its_workspace_keeps_everything(desk: Desk) -> None:
    ref: MessageRef = await desk.show()
    desk.refuse("chat.delete", "compliance_exports_prevent_deletion")
    with pytest.raises(ThreadGone, match="keeps everything"):
        await desk.delivery.delete(ref)


async def test_a_person_is_written_to_directly(desk: Desk) -> None:
    thread = await desk.delivery.direct(desk.about().requester)
    assert thread == desk.direct
    await desk.say(thread)
    assert len(desk.said(desk.direct)) == 1
    desk.refuse("conversations.open", "cannot_dm_bot")
    with pytest.raises(ThreadGone):
        await desk.delivery.direct(desk.about().requester)
