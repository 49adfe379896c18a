"""A clip in Slack, over true HTTP: shown once, whatever happens between its three calls."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.slack.addresses import to_message, to_thread
from adapters.slack.uploads import LOOKS, MOST_IN_VAIN, parent_for, to_share
from bot.errors import ClipTooLarge, DeliveryUnavailable, PostedBefore, ThreadGone
from bot.notices import Reviewed
from bot.refs import MessageRef, ThreadRef
from bot.request import VideoWork
from tests.adapters.slack.desk import JOB, MIB, Desk, Memory, opened

PLACE, BYTES, SHOW = "files.getUploadURLExternal", "upload", "files.completeUploadExternal"
INFO, DELETE = "files.info", "files.delete"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


async def later(desk: Desk, thread: ThreadRef | None = None) -> DeliveryUnavailable:
    """A try that has to come again; the time until then passes."""
    with pytest.raises(DeliveryUnavailable) as caught:
        await desk.show(thread)
    desk.clock.move(seconds=caught.value.retry_after or 30)
    return caught.value


async def shown(desk: Desk, thread: ThreadRef | None = None) -> MessageRef:
    """The clip, after as many tries as it takes."""
    for _ in range(60):
        try:
            return await desk.show(thread)
        except DeliveryUnavailable as error:
            desk.clock.move(seconds=error.retry_after or 30)
    raise AssertionError("It never came.")


# ---- one clip, as it should be -----------------------------------------------------------------


async def test_a_clip_is_shown_with_its_buttons(desk: Desk) -> None:
    ref = await desk.show()
    [clip] = desk.clips()
    assert ref == to_message(desk.place(), clip.ts, file_id=clip.file)
    [place], [sent], [show] = desk.calls(PLACE), desk.calls(BYTES), desk.calls(SHOW)
    assert int(place.args["length"]) == sent.length == 300_000
    assert desk.content(clip.file) == desk.clip.read_bytes()
    assert sent.authorization == ""
    [file] = json.loads(show.args["files"])
    assert file["id"] == clip.file
    assert file["title"] == "AI-generated clip: a red fox"
    assert place.args["filename"].endswith(".mp4")
    assert "alt_txt" not in place.args
    assert json.loads(show.args["blocks"])
    assert "initial_comment" not in show.args
    assert "thread_ts" not in show.args
    assert desk.delivery.told == [desk.delivered()]


async def test_a_long_prompt_has_room(desk: Desk) -> None:
    work = VideoWork(prompt="лиса 🦊" * 200)
    await desk.show(about=desk.about(work=work))
    assert len(desk.clips()) == 1


def asked(desk: Desk, thread: ThreadRef, ts: str = "1.5") -> MessageRef:
    return MessageRef(thread=thread, message=ts)


async def test_it_goes_into_the_thread_of_what_asked_for_it(desk: Desk) -> None:
    status = await desk.say()
    desk.memo = Memory()
    ref = await desk.show(about=desk.about(asked_in=status))
    assert desk.calls(SHOW)[0].args["thread_ts"] == status.message
    assert ref.thread == desk.place(status.message)


@pytest.mark.parametrize(
    ("thread", "asked_in", "parent"),
    [
        (to_thread("T1", "C1", "1.0"), None, "1.0"),
        (to_thread("T1", "C1", "1.0"), to_thread("T1", "C1", "1.0"), "1.0"),
        (to_thread("T1", "C1"), None, ""),
        (to_thread("T1", "C1"), to_thread("T1", "C1"), "1.5"),
        (to_thread("T1", "C1"), to_thread("T1", "C1", "1.2"), "1.2"),
        (to_thread("T1", "D1"), to_thread("T1", "C1"), ""),
        (to_thread("T1", "C1", only="D1"), to_thread("T1", "C1"), ""),
        (to_thread("T2", "C1"), to_thread("T1", "C1"), ""),
    ],
)
async def test_its_thread_is_of_the_same_channel(
    desk: Desk, thread: ThreadRef, asked_in: ThreadRef | None, parent: str
) -> None:
    about = desk.about(asked_in=asked(desk, asked_in) if asked_in else None)
    assert parent_for(thread, desk.delivered(about=about)) == parent


async def test_in_private_it_goes_to_direct_messages(desk: Desk) -> None:
    ref = await desk.show(desk.private)
    [clip] = desk.clips(desk.direct)
    assert desk.clips() == []
    assert ref.message.startswith(clip.ts)


async def test_it_is_waited_for(desk: Desk) -> None:
    desk.hold(3)
    ref = await desk.show()
    assert ref.message.endswith(f"/{desk.files[0]}")
    assert (len(desk.calls(INFO)), len(desk.calls(SHOW))) == (4, 1)


def test_shares_are_read() -> None:
    here = to_thread("T1", "C1")
    assert to_share({"id": "F1"}, here) is None
    assert to_share({"id": "F1", "shares": {}}, here) is None
    assert to_share({"id": "F1", "shares": {"public": {"C1": []}}}, here) is None
    both = {"private": {"D1": [{"ts": "2.0"}]}, "public": {"C1": [{"ts": "1.0"}]}}
    assert to_share({"id": "F1", "shares": both}, here) == to_message(here, "1.0", file_id="F1")
    direct = {"private": {"D1": [{"ts": "2.0"}]}}
    found = to_share({"id": "F1", "shares": direct}, here)
    assert found == to_message(to_thread("T1", "D1"), "2.0", file_id="F1")


# ---- answers that are lost ---------------------------------------------------------------------


async def test_the_last_calls_answer_is_not_needed(desk: Desk) -> None:
    desk.drop(SHOW)
    ref = await desk.show()
    [clip] = desk.clips()
    assert ref.message == f"{clip.ts}/{clip.file}"
    assert len(desk.calls(SHOW)) == 1


async def test_a_last_call_that_never_arrived_is_made_for_another_file(desk: Desk) -> None:
    desk.drop(SHOW, "before")
    await later(desk)
    await shown(desk)
    lost, other = desk.files
    assert [each.file for each in desk.clips()] == [other]
    assert desk.withdrawn == [lost]


async def test_bytes_that_were_lost_are_sent_again(desk: Desk) -> None:
    desk.drop(BYTES, "before")
    await later(desk)
    await desk.show()
    assert len(desk.calls(PLACE)) == 2
    assert len(desk.clips()) == 1


async def test_what_comes_late_is_found_by_the_next_process(desk: Desk) -> None:
    desk.hold(len(LOOKS) + 1)
    desk.drop(SHOW)
    await later(desk)
    async with desk.restarted() as next_one:
        ref = await next_one.show()
    assert ref.message.endswith(f"/{desk.files[0]}")
    assert len(desk.calls(SHOW)) == 1


@pytest.mark.parametrize("is_shown", [True, False])
async def test_words_that_take_the_place_of_a_clip_leave_none_beside_them(
    desk: Desk, is_shown: bool
) -> None:
    desk.hold(len(LOOKS) + 1 if is_shown else None)
    desk.drop(SHOW)
    await later(desk)
    desk.clock.move(minutes=0 if is_shown else 3)
    # It was decided meanwhile, so that the same message would say something else.
    decided = Reviewed(about=desk.about(), verdict="reject")
    place, key = desk.place(), f"{JOB}:clip"
    ref = await desk.hurry(desk.delivery.post(place, decided, key=key, memo=desk.memo))
    assert [each.ts for each in desk.said()] == [ref.message.partition("/")[0]]
    assert ref.message.endswith(f"/{desk.files[0]}") is is_shown
    assert desk.withdrawn == ([] if is_shown else desk.files)


async def test_a_clip_that_is_never_shown_is_said_to_be(desk: Desk) -> None:
    desk.hold()
    with pytest.raises(ThreadGone, match="never showed") as caught:
        await shown(desk)
    assert type(caught.value) is ThreadGone
    assert len(desk.calls(SHOW)) == MOST_IN_VAIN
    assert desk.withdrawn == desk.files
    desk.go_on()
    await shown(desk, desk.direct)
    assert (desk.clips(), len(desk.clips(desk.direct))) == ([], 1)


async def test_a_file_that_slack_does_not_know_yet_is_looked_for_again(desk: Desk) -> None:
    desk.refuse(INFO, "file_not_found")
    await desk.show()
    assert len(desk.calls(INFO)) == 2
    assert len(desk.calls(PLACE)) == 1


async def test_a_clip_that_was_deleted_meanwhile_is_not_posted_again(desk: Desk) -> None:
    desk.hold()
    await later(desk)
    desk.remove(desk.files[0])
    with pytest.raises(PostedBefore, match="deleted"):
        await desk.show()


async def test_what_is_left_of_a_deleted_clip_is_no_reason_to_post_it_again(desk: Desk) -> None:
    desk.answer(INFO, {"ok": True, "file": {"id": "F1", "mode": "tombstone"}})
    with pytest.raises(PostedBefore, match="deleted"):
        await desk.show()


@pytest.mark.parametrize("code", ["missing_scope", "token_revoked"])
async def test_where_nobody_can_look_it_is_not_posted_again(desk: Desk, code: str) -> None:
    desk.refuse(INFO, code, needed="files:read")
    with pytest.raises(PostedBefore):
        await desk.show()
    assert len(desk.calls(SHOW)) == 1


async def test_what_cannot_be_withdrawn_is_not_posted_again(desk: Desk) -> None:
    desk.hold()
    await later(desk)
    desk.clock.move(minutes=3)
    desk.refuse(DELETE, "cant_delete_file")
    with pytest.raises(PostedBefore):
        await desk.show()
    assert len(desk.calls(SHOW)) == 1


# ---- processes that die ------------------------------------------------------------------------


class Killed(BaseException):
    """The process ended."""


class Fragile(Memory):
    """A process that dies before or after it keeps something."""

    def __init__(self, after: int, *, is_kept: bool, kept: dict[str, str] | None = None) -> None:
        super().__init__(kept or {})
        self._left = after
        self._is_kept = is_kept

    async def put(self, name: str, value: str) -> None:
        self._left -= 1
        if self._left >= 0 or self._is_kept:
            await super().put(name, value)
        if self._left < 0:
            raise Killed


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize(
    ("is_shared", "after"), [(True, 0), (True, 1), *((False, each) for each in range(9))]
)
async def test_one_clip_whenever_a_process_dies(
    desk: Desk, after: int, is_kept: bool, is_shared: bool
) -> None:
    if not is_shared:
        desk.hold()
    desk.memo = memo = Fragile(after, is_kept=is_kept)
    with contextlib.suppress(Killed, ThreadGone):
        await shown(desk)
    desk.go_on()
    async with desk.restarted() as next_one:
        next_one.memo = Memory(dict(memo.kept))
        ref = await shown(next_one)
    [clip] = desk.clips()
    assert ref.message == f"{clip.ts}/{clip.file}"


# ---- what Slack says, and what is done ---------------------------------------------------------


async def test_a_pause_before_the_last_call_costs_no_second_upload(desk: Desk) -> None:
    desk.pause(SHOW, 20)
    assert (await later(desk)).retry_after == 20
    await desk.show()
    assert (len(desk.calls(PLACE)), len(desk.clips())) == (1, 1)


async def test_a_channel_that_does_not_take_it_leaves_it_for_direct_messages(desk: Desk) -> None:
    desk.leave()
    with pytest.raises(ThreadGone, match="/invite @ray"):
        await desk.show()
    await desk.show(desk.direct)
    assert (len(desk.calls(PLACE)), len(desk.clips(desk.direct))) == (1, 1)


async def test_after_a_restart_it_is_found_where_it_was_shown(desk: Desk) -> None:
    desk.leave()
    with pytest.raises(ThreadGone):
        await desk.show()
    desk.hold(len(LOOKS) + 1)
    direct = desk.direct
    await later(desk, direct)
    async with desk.restarted() as next_one:
        ref = await next_one.show()
    assert ref.thread == direct
    assert len(desk.clips(desk.direct)) == 1


async def test_a_clip_whose_blocks_are_refused_comes_with_words(desk: Desk) -> None:
    desk.refuse(SHOW, "invalid_blocks")
    await desk.show()
    assert desk.calls(SHOW)[-1].args["initial_comment"]
    assert "blocks" not in desk.calls(SHOW)[-1].args
    assert len(desk.calls(PLACE)) == 1


async def test_where_the_status_message_is_gone_it_goes_to_the_channel(desk: Desk) -> None:
    about = desk.about(asked_in=asked(desk, desk.place()))
    desk.refuse(SHOW, "thread_not_found")
    await desk.show(about=about)
    assert "thread_ts" not in desk.calls(SHOW)[-1].args
    assert len(desk.calls(PLACE)) == 1


async def test_where_the_thread_is_gone_it_does_not_go_to_the_channel(desk: Desk) -> None:
    desk.refuse(SHOW, "thread_not_found")
    with pytest.raises(ThreadGone):
        await desk.show(desk.place("1.5"))
    assert desk.clips() == []


async def test_a_picture_of_a_clip_says_what_it_shows(desk: Desk) -> None:
    await desk.show(form="poster", original_link="https://example.com/clip")
    assert "a red fox" in desk.calls(PLACE)[0].args["alt_txt"]


async def test_words_that_are_refused_too_are_tried_later(desk: Desk) -> None:
    for _ in range(2):
        desk.refuse(SHOW, "invalid_blocks")
    await later(desk)
    await desk.show()
    assert len(desk.clips()) == 1


async def test_an_internal_error_is_looked_into_and_then_has_words_only(desk: Desk) -> None:
    desk.refuse(SHOW, "internal_error")
    await shown(desk)
    assert [each.file for each in desk.clips()] == desk.files[1:]
    assert "initial_comment" in desk.calls(SHOW)[-1].args


async def test_a_file_that_slack_dropped_is_uploaded_again(desk: Desk) -> None:
    desk.pause(SHOW, 20)
    await later(desk)
    desk.refuse(SHOW, "file_not_found")
    await later(desk)
    await desk.show()
    assert (len(desk.calls(PLACE)), len(desk.clips())) == (2, 1)


@pytest.mark.parametrize("code", ["storage_limit_reached", "file_uploads_disabled"])
async def test_a_workspace_that_takes_no_files_is_told_of(desk: Desk, code: str) -> None:
    desk.refuse(PLACE, code)
    with pytest.raises(ThreadGone) as caught:
        await desk.show()
    assert "workspace" in caught.value.sentence


@pytest.mark.parametrize("method", [PLACE, SHOW])
async def test_a_clip_that_is_too_large_comes_smaller(desk: Desk, method: str) -> None:
    desk.refuse(method, "file_upload_size_restricted")
    await later(desk)
    lower = desk.delivery.limits(desk.place()).max_upload_bytes
    assert lower < desk.clip.stat().st_size
    desk.clip.write_bytes(bytes(lower))
    await desk.show()
    assert int(desk.calls(PLACE)[-1].args["length"]) == lower
    assert len(desk.clips()) == 1


async def test_a_picture_that_is_too_large_is_kept(desk: Desk) -> None:
    desk.refuse(PLACE, "file_upload_size_restricted")
    with pytest.raises(ClipTooLarge):
        await desk.show(form="poster", bytes=MIB)


async def test_an_upload_that_is_refused_comes_again(desk: Desk) -> None:
    desk.answer(BYTES, None, status=500)
    await later(desk)
    desk.answer(BYTES, None, status=307, headers={"Location": "/api/auth.test"})
    await later(desk)
    assert desk.calls("auth.test") == []
    desk.answer(BYTES, None, status=413)
    await later(desk)
    await desk.show()
    assert len(desk.clips()) == 1
