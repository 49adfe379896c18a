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
from tests.adapters.slack.harness import JOB, DeliveryHarness, opened
from tests.fakes import Memory, digest_of
from tests.slack_server.messages import to_cursor

POST, EDIT, PAST = "chat.postMessage", "chat.update", "conversations.history"
REPLIES = "conversations.replies"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[DeliveryHarness]:
    async with opened(tmp_path) as harness:
        yield harness


async def in_vain(harness: DeliveryHarness) -> DeliveryUnavailable:
    """A try whose answer is lost, or that has to come again."""
    with pytest.raises(DeliveryUnavailable) as caught:
        await harness.say()
    return caught.value


# ---- one message, as it should be --------------------------------------------------------------


async def test_a_status_message_carries_its_job_and_unfurls_nothing(
    harness: DeliveryHarness,
) -> None:
    ref = await harness.say()
    [said] = harness.said()
    assert ref == to_message(harness.place(), said.ts)
    [call] = harness.calls(POST)
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
    assert harness.delivery.told == [harness.accepted()]


async def test_it_is_posted_into_the_thread_that_asked(harness: DeliveryHarness) -> None:
    parent = await harness.say()
    harness.memo = Memory()
    await harness.say(harness.place(parent.message))
    assert harness.calls(POST)[-1].args["thread_ts"] == parent.message


async def test_what_is_for_one_person_goes_to_their_direct_messages(
    harness: DeliveryHarness,
) -> None:
    ref = await harness.say(harness.private)
    assert harness.said() == []
    await harness.delivery.edit(ref, harness.failed())
    [said] = harness.said(harness.direct)
    assert said.text.startswith("*No clip this time*")


async def test_whoever_waits_is_told_where_a_status_message_is(harness: DeliveryHarness) -> None:
    assert await harness.delivery.placed(JOB, 0) is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(harness.delivery.placed(JOB, 10))
        posted = await harness.say()
    assert waiting.result() == posted == await harness.delivery.placed(JOB, 0)


async def test_the_operator_is_told_in_their_channel(harness: DeliveryHarness) -> None:
    notice = n.Operator(code="x", sentence="The key is refused.")
    await harness.delivery.post(harness.place(), notice, key="operator:1", memo=harness.memo)
    [call] = harness.calls(POST)
    sent = call.args
    assert sent["metadata"]["event_payload"] == {"job_id": "", "key": "operator:1"}


async def test_the_operator_is_not_told_twice(harness: DeliveryHarness) -> None:
    notice = n.Operator(code="x", sentence="The key is refused.")
    harness.drop(POST)
    for _ in range(2):
        with pytest.raises(DeliveryUnavailable):
            await harness.delivery.post(harness.place(), notice, key="operator:1", memo=Memory())
    harness.clock.move(seconds=30)
    await harness.delivery.post(harness.place(), notice, key="operator:1", memo=Memory())
    assert len(harness.said()) == 1


async def test_a_digest_whose_answer_was_lost_is_found_by_the_next_process(
    harness: DeliveryHarness,
) -> None:
    week = digest_of(
        Starred(job_id=JOB, stars=4, name="<!channel> *Ana*", message=await harness.say())
    )
    key, harness.memo = "digest:slack:T1:2026-11-02", Memory()
    harness.drop(POST)
    with pytest.raises(DeliveryUnavailable):
        await harness.delivery.post(harness.place(), week, key=key, memo=harness.memo)
    harness.clock.move(seconds=30)
    async with harness.restarted() as next_one:
        ref = await next_one.delivery.post(harness.place(), week, key=key, memo=next_one.memo)
    _, said = harness.said()
    assert ref.message == said.ts
    assert said.text.startswith("*The week with Raybot, 26 Oct to 1 Nov 2026*")
    assert "&lt;!channel&gt;" in said.text
    assert f"|{JOB}> by " in said.text, "the way to the clip"


async def test_slack_hosts_no_image_for_others(harness: DeliveryHarness) -> None:
    status = await harness.say()
    assert not harness.delivery.limits(harness.place()).can_host
    hosting = Hosting(
        job_id=JOB,
        slot="start",
        requester=harness.about().requester,
        thread=harness.place(),
        status=status,
        is_hidden=False,
    )
    with pytest.raises(ThreadGone):
        await harness.delivery.host(harness.clip, hosting)


# ---- never twice -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_message_whose_answer_was_lost_is_found(
    harness: DeliveryHarness, is_restarted: bool
) -> None:
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    if is_restarted:
        async with harness.restarted() as next_one:
            ref = await next_one.say()
    else:
        ref = await harness.say()
    [said] = harness.said()
    assert ref.message == said.ts
    assert len(harness.calls(POST)) == 1


@pytest.mark.parametrize("said", [{}, {"ts": None}, {"ts": ""}])
async def test_a_message_whose_answer_does_not_name_it_is_looked_for(
    harness: DeliveryHarness, said: dict[str, str | None]
) -> None:
    harness.answer(POST, {"ok": True, **said}, when="after")
    await in_vain(harness)
    harness.clock.move(seconds=30)
    ref = await harness.say()
    assert [ref.message] == [each.ts for each in harness.said()]


async def test_what_never_arrived_is_posted_then(harness: DeliveryHarness) -> None:
    harness.drop(POST, "before")
    await in_vain(harness)
    harness.clock.move(seconds=30)
    await harness.say()
    assert len(harness.said()) == 1


async def test_a_later_try_whose_answer_was_lost_is_found_as_well(
    harness: DeliveryHarness,
) -> None:
    harness.drop(POST, "before")
    await in_vain(harness)
    harness.clock.move(hours=1)
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(hours=1)
    await harness.say()
    assert len(harness.said()) == 1


async def test_what_may_be_on_its_way_is_waited_for(harness: DeliveryHarness) -> None:
    harness.drop(POST)
    await in_vain(harness)
    async with harness.restarted() as next_one:
        error = await in_vain(next_one)
    assert 0 < (error.retry_after or 0) <= 10
    assert len(harness.said()) == 1


async def test_it_is_found_in_its_thread(harness: DeliveryHarness) -> None:
    asked = n.Operator(code="x", sentence="somebody asks")
    parent = await harness.delivery.post(harness.place(), asked, key="asked", memo=Memory())
    harness.drop(POST)
    with pytest.raises(DeliveryUnavailable):
        await harness.say(harness.place(parent.message))
    harness.clock.move(seconds=30)
    ref = await harness.say(harness.place(parent.message))
    assert ref.message == harness.said()[-1].ts
    assert len(harness.said()) == 2
    assert harness.calls(REPLIES)[0].args["ts"] == parent.message


async def test_the_past_is_looked_through_page_by_page_and_gone_on_with(
    harness: DeliveryHarness,
) -> None:
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    harness.show_few(200)
    await harness.chatter(450)
    harness.pause(PAST, 60)
    assert (await in_vain(harness)).retry_after == 60
    ref = await harness.say()
    assert ref.message == harness.said()[0].ts
    cursors = [each.args.get("cursor", "") for each in harness.calls(PAST)]
    assert cursors == ["", "", to_cursor(200), to_cursor(400)]


async def test_a_long_look_comes_again_where_it_ended(harness: DeliveryHarness) -> None:
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    await harness.chatter(2100)
    await in_vain(harness)
    async with harness.restarted() as next_one:
        ref = await next_one.say()
    assert ref.message == harness.said()[0].ts
    assert len(harness.calls(PAST)) == 11


async def test_a_place_in_the_past_that_slack_forgot_is_looked_for_anew(
    harness: DeliveryHarness,
) -> None:
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    harness.memo.kept["cursor"] = "old"
    harness.refuse(PAST, "invalid_cursor")
    await in_vain(harness)
    assert (await harness.say()).message == harness.said()[0].ts


async def test_the_same_key_in_the_message_of_another_is_not_ours(
    harness: DeliveryHarness,
) -> None:
    harness.drop(POST, "before")
    await in_vain(harness)
    harness.clock.move(seconds=30)
    metadata = {"event_type": "ray_job", "event_payload": {"key": f"{JOB}:status"}}
    await harness.forge(metadata)
    await harness.say()
    assert len(harness.calls(POST)) == 2


@pytest.mark.parametrize("code", ["missing_scope", "not_in_channel", "channel_not_found"])
async def test_where_nobody_can_look_it_is_not_posted_again(
    harness: DeliveryHarness, code: str
) -> None:
    harness.drop(POST)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    harness.refuse(PAST, code, needed="channels:history")
    with pytest.raises(PostedBefore):
        await harness.say()
    assert len(harness.calls(POST)) == 1


@pytest.mark.parametrize("code", ["internal_error", "fatal_error"])
async def test_an_error_that_may_have_posted_is_looked_into(
    harness: DeliveryHarness, code: str
) -> None:
    harness.refuse(POST, code)
    await in_vain(harness)
    harness.clock.move(seconds=30)
    await harness.say()
    assert len(harness.calls(PAST)) == 1


# ---- what Slack says, and what is done ---------------------------------------------------------


async def test_a_pause_is_kept_and_leaves_no_doubt(harness: DeliveryHarness) -> None:
    harness.pause(POST, 17)
    assert (await in_vain(harness)).retry_after == 17
    await harness.say()
    assert len(harness.said()) == 1
    assert harness.calls(PAST) == []


@pytest.mark.parametrize("code", ["not_in_channel", "is_archived", "restricted_action", "new"])
async def test_a_place_that_takes_nothing_is_asked_once(
    harness: DeliveryHarness, code: str
) -> None:
    harness.refuse(POST, code)
    with pytest.raises(ThreadGone) as caught:
        await harness.say()
    assert type(caught.value) is ThreadGone
    assert harness.said() == []


async def test_a_token_that_ended_is_given_up(harness: DeliveryHarness) -> None:
    harness.refuse(POST, "token_revoked")
    for _ in range(2):
        with pytest.raises(ThreadGone, match="removed"):
            await harness.say()
    assert harness.accounts.lost == [harness.team.id]
    assert len(harness.calls(POST)) == 1


async def test_a_token_that_is_not_let_in_is_not_given_up(harness: DeliveryHarness) -> None:
    harness.refuse(POST, "invalid_auth")
    await in_vain(harness)
    assert harness.accounts.lost == []
    await harness.say()


async def test_before_it_is_connected_nothing_is_sent(harness: DeliveryHarness) -> None:
    await harness.delivery.clients.__aexit__()
    assert (await in_vain(harness)).retry_after == 2
    async with harness.delivery.clients:
        await harness.say()
    assert harness.calls(PAST) == []


async def test_what_nobody_expects_of_a_web_server_is_slacks_problem(
    harness: DeliveryHarness,
) -> None:
    harness.answer(POST, None, status=503)
    await in_vain(harness)


async def test_no_proxy_of_the_environment_hears_our_token(
    harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-other")
    await harness.say()
    assert harness.calls(POST)[0].token == harness.team.bot_token


# ---- edits -------------------------------------------------------------------------------------


async def test_an_edit_brings_its_blocks(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    await harness.delivery.edit(ref, harness.done())
    [call] = harness.calls(EDIT)
    sent = call.args
    assert (sent["channel"], sent["ts"]) == (harness.channel.id, ref.message)
    assert sent["text"]
    assert sent["blocks"]
    assert "metadata" not in sent
    assert harness.delivery.told[-1] == harness.done()


async def test_a_message_that_was_deleted_cannot_be_edited(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    await harness.wipe()
    with pytest.raises(ThreadGone):
        await harness.delivery.edit(ref, harness.failed())


@pytest.mark.parametrize("code", ["edit_window_closed", "cant_update_message"])
async def test_last_words_that_no_clip_tells_may_be_said_anew(
    harness: DeliveryHarness, code: str
) -> None:
    ref = await harness.say()
    harness.refuse(EDIT, code)
    with pytest.raises(EditsPaused):
        await harness.delivery.edit(ref, harness.failed())
    harness.refuse(EDIT, code)
    with pytest.raises(ThreadGone):
        await harness.delivery.edit(ref, harness.done())


async def test_edits_of_running_jobs_leave_room_for_last_words(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    for _ in range(MOST_RUNNING):
        await harness.delivery.edit(ref, harness.accepted())
    with pytest.raises(DeliveryUnavailable) as caught:
        await harness.delivery.edit(ref, harness.accepted())
    assert 0 < (caught.value.retry_after or 0) <= 60
    for _ in range(MOST - MOST_RUNNING):
        await harness.delivery.edit(ref, harness.failed())
    with pytest.raises(DeliveryUnavailable):
        await harness.delivery.edit(ref, harness.failed())
    assert len(harness.calls(EDIT)) == MOST
    harness.clock.move(seconds=61)
    await harness.delivery.edit(ref, harness.failed())


async def test_a_pause_with_edits_holds_for_the_whole_workspace(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    harness.pause(EDIT, 20)
    for _ in range(2):
        with pytest.raises(DeliveryUnavailable) as caught:
            await harness.delivery.edit(ref, harness.failed())
        assert caught.value.retry_after == pytest.approx(20, abs=6)
    assert len(harness.calls(EDIT)) == 1
    harness.clock.move(seconds=21)
    await harness.delivery.edit(ref, harness.failed())


# ---- removal and direct messages ---------------------------------------------------------------


async def test_a_message_is_removed_once_and_then_is_gone(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    await harness.delivery.delete(ref)
    assert harness.said() == []
    await harness.delivery.delete(ref)


async def test_what_slack_does_not_let_us_remove_is_said(harness: DeliveryHarness) -> None:
    ref = await harness.say()
    harness.refuse("chat.delete", "cant_delete_message")
    with pytest.raises(ThreadGone):
        await harness.delivery.delete(ref)


async def test_a_clip_is_removed_with_its_file(harness: DeliveryHarness) -> None:
    ref = await harness.show()
    await harness.delivery.delete(ref)
    assert harness.said() == []
    assert len(harness.calls("files.delete")) == 1
    await harness.delivery.delete(ref)


async def test_a_clip_without_its_file_is_removed_as_far_as_may_be(
    harness: DeliveryHarness,
) -> None:
    ref: MessageRef = await harness.show()
    harness.refuse("chat.delete", "cant_delete_message")
    await harness.delivery.delete(ref)
    assert harness.clips() == []


async def test_a_clip_stays_where_its_workspace_keeps_everything(harness: DeliveryHarness) -> None:
    ref: MessageRef = await harness.show()
    harness.refuse("chat.delete", "compliance_exports_prevent_deletion")
    with pytest.raises(ThreadGone, match="keeps everything"):
        await harness.delivery.delete(ref)


async def test_a_person_is_written_to_directly(harness: DeliveryHarness) -> None:
    thread = await harness.delivery.direct(harness.about().requester)
    assert thread == harness.direct
    await harness.say(thread)
    assert len(harness.said(harness.direct)) == 1
    harness.refuse("conversations.open", "cannot_dm_bot")
    with pytest.raises(ThreadGone):
        await harness.delivery.direct(harness.about().requester)


@pytest.mark.parametrize("said", [{}, {"channel": None}, {"channel": {"id": ""}}])
async def test_an_answer_that_names_no_conversation_is_none(
    harness: DeliveryHarness, said: dict[str, object]
) -> None:
    harness.answer("conversations.open", {"ok": True, **said})
    with pytest.raises(DeliveryUnavailable):
        await harness.delivery.direct(harness.about().requester)
