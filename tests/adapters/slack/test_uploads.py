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
from tests.adapters.slack.harness import JOB, MIB, DeliveryHarness, opened
from tests.fakes import Memory

PLACE, BYTES, SHOW = "files.getUploadURLExternal", "upload", "files.completeUploadExternal"
INFO, DELETE = "files.info", "files.delete"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[DeliveryHarness]:
    async with opened(tmp_path) as harness:
        yield harness


async def later(harness: DeliveryHarness, thread: ThreadRef | None = None) -> DeliveryUnavailable:
    """A try that has to come again; the time until then passes."""
    with pytest.raises(DeliveryUnavailable) as caught:
        await harness.show(thread)
    harness.clock.move(seconds=caught.value.retry_after or 30)
    return caught.value


async def shown(harness: DeliveryHarness, thread: ThreadRef | None = None) -> MessageRef:
    """The clip, after as many tries as it takes."""
    for _ in range(60):
        try:
            return await harness.show(thread)
        except DeliveryUnavailable as error:
            harness.clock.move(seconds=error.retry_after or 30)
    raise AssertionError("It never came.")


# ---- one clip, as it should be -----------------------------------------------------------------


async def test_a_clip_is_shown_with_its_buttons(harness: DeliveryHarness) -> None:
    ref = await harness.show()
    [clip] = harness.clips()
    assert ref == to_message(harness.place(), clip.ts, file_id=clip.file)
    [place], [sent], [show] = harness.calls(PLACE), harness.calls(BYTES), harness.calls(SHOW)
    assert int(place.args["length"]) == sent.length == 300_000
    assert harness.content(clip.file) == harness.clip.read_bytes()
    assert sent.authorization == ""
    [file] = json.loads(show.args["files"])
    assert file["id"] == clip.file
    assert file["title"] == "AI-generated clip: a red fox"
    assert place.args["filename"].endswith(".mp4")
    assert "alt_txt" not in place.args
    assert json.loads(show.args["blocks"])
    assert "initial_comment" not in show.args
    assert "thread_ts" not in show.args
    assert harness.delivery.told == [harness.delivered()]


async def test_a_long_prompt_has_room(harness: DeliveryHarness) -> None:
    work = VideoWork(prompt="лиса 🦊" * 200)
    await harness.show(about=harness.about(work=work))
    assert len(harness.clips()) == 1


@pytest.mark.parametrize(
    ("method", "said"),
    [(PLACE, {}), (PLACE, {"upload_url": "https://files.slack.com/u"}), (SHOW, {})],
)
async def test_an_answer_that_says_too_little_is_asked_for_again(
    harness: DeliveryHarness, method: str, said: dict[str, str]
) -> None:
    harness.slack.faults.answer(method, {"ok": True} | said)
    await shown(harness)
    assert len(harness.clips()) == 1


def asked(harness: DeliveryHarness, thread: ThreadRef, ts: str = "1.5") -> MessageRef:
    return MessageRef(thread=thread, message=ts)


async def test_it_goes_into_the_thread_of_what_asked_for_it(harness: DeliveryHarness) -> None:
    status = await harness.say()
    harness.memo = Memory()
    ref = await harness.show(about=harness.about(asked_in=status))
    assert harness.calls(SHOW)[0].args["thread_ts"] == status.message
    assert ref.thread == harness.place(status.message)


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
    harness: DeliveryHarness, thread: ThreadRef, asked_in: ThreadRef | None, parent: str
) -> None:
    about = harness.about(asked_in=asked(harness, asked_in) if asked_in else None)
    assert parent_for(thread, harness.delivered(about=about)) == parent


async def test_in_private_it_goes_to_direct_messages(harness: DeliveryHarness) -> None:
    ref = await harness.show(harness.private)
    [clip] = harness.clips(harness.direct)
    assert harness.clips() == []
    assert ref.message.startswith(clip.ts)


async def test_it_is_waited_for(harness: DeliveryHarness) -> None:
    harness.hold(3)
    ref = await harness.show()
    assert ref.message.endswith(f"/{harness.files[0]}")
    assert (len(harness.calls(INFO)), len(harness.calls(SHOW))) == (4, 1)


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
    with pytest.raises(DeliveryUnavailable):
        to_share({"id": "F1", "shares": {"public": {"C1": [{"ts": None}]}}}, here)


# ---- answers that are lost ---------------------------------------------------------------------


async def test_the_last_calls_answer_is_not_needed(harness: DeliveryHarness) -> None:
    harness.drop(SHOW)
    ref = await harness.show()
    [clip] = harness.clips()
    assert ref.message == f"{clip.ts}/{clip.file}"
    assert len(harness.calls(SHOW)) == 1


async def test_a_last_call_that_never_arrived_is_made_for_another_file(
    harness: DeliveryHarness,
) -> None:
    harness.drop(SHOW, "before")
    await later(harness)
    await shown(harness)
    lost, other = harness.files
    assert [each.file for each in harness.clips()] == [other]
    assert harness.withdrawn == [lost]


async def test_bytes_that_were_lost_are_sent_again(harness: DeliveryHarness) -> None:
    harness.drop(BYTES, "before")
    await later(harness)
    await harness.show()
    assert len(harness.calls(PLACE)) == 2
    assert len(harness.clips()) == 1


async def test_what_comes_late_is_found_by_the_next_process(harness: DeliveryHarness) -> None:
    harness.hold(len(LOOKS) + 1)
    harness.drop(SHOW)
    await later(harness)
    async with harness.restarted() as next_one:
        ref = await next_one.show()
    assert ref.message.endswith(f"/{harness.files[0]}")
    assert len(harness.calls(SHOW)) == 1


@pytest.mark.parametrize("is_shown", [True, False])
async def test_words_that_take_the_place_of_a_clip_leave_none_beside_them(
    harness: DeliveryHarness, is_shown: bool
) -> None:
    harness.hold(len(LOOKS) + 1 if is_shown else None)
    harness.drop(SHOW)
    await later(harness)
    harness.clock.move(minutes=0 if is_shown else 3)
    # It was decided meanwhile, so that the same message would say something else.
    decided = Reviewed(about=harness.about(), verdict="reject")
    place, key = harness.place(), f"{JOB}:clip"
    ref = await harness.hurry(harness.delivery.post(place, decided, key=key, memo=harness.memo))
    assert [each.ts for each in harness.said()] == [ref.message.partition("/")[0]]
    assert ref.message.endswith(f"/{harness.files[0]}") is is_shown
    assert harness.withdrawn == ([] if is_shown else harness.files)


async def test_a_clip_that_is_never_shown_is_said_to_be(harness: DeliveryHarness) -> None:
    harness.hold()
    with pytest.raises(ThreadGone, match="never showed") as caught:
        await shown(harness)
    assert type(caught.value) is ThreadGone
    assert len(harness.calls(SHOW)) == MOST_IN_VAIN
    assert harness.withdrawn == harness.files
    harness.go_on()
    await shown(harness, harness.direct)
    assert (harness.clips(), len(harness.clips(harness.direct))) == ([], 1)


async def test_a_file_that_slack_does_not_know_yet_is_looked_for_again(
    harness: DeliveryHarness,
) -> None:
    harness.refuse(INFO, "file_not_found")
    await harness.show()
    assert len(harness.calls(INFO)) == 2
    assert len(harness.calls(PLACE)) == 1


async def test_a_clip_that_was_deleted_meanwhile_is_not_posted_again(
    harness: DeliveryHarness,
) -> None:
    harness.hold()
    await later(harness)
    harness.remove(harness.files[0])
    with pytest.raises(PostedBefore, match="deleted"):
        await harness.show()


async def test_what_is_left_of_a_deleted_clip_is_no_reason_to_post_it_again(
    harness: DeliveryHarness,
) -> None:
    harness.answer(INFO, {"ok": True, "file": {"id": "F1", "mode": "tombstone"}})
    with pytest.raises(PostedBefore, match="deleted"):
        await harness.show()


@pytest.mark.parametrize("code", ["missing_scope", "token_revoked"])
async def test_where_nobody_can_look_it_is_not_posted_again(
    harness: DeliveryHarness, code: str
) -> None:
    harness.refuse(INFO, code, needed="files:read")
    with pytest.raises(PostedBefore):
        await harness.show()
    assert len(harness.calls(SHOW)) == 1


async def test_what_cannot_be_withdrawn_is_not_posted_again(harness: DeliveryHarness) -> None:
    harness.hold()
    await later(harness)
    harness.clock.move(minutes=3)
    harness.refuse(DELETE, "cant_delete_file")
    with pytest.raises(PostedBefore):
        await harness.show()
    assert len(harness.calls(SHOW)) == 1


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
    harness: DeliveryHarness, after: int, is_kept: bool, is_shared: bool
) -> None:
    if not is_shared:
        harness.hold()
    harness.memo = memo = Fragile(after, is_kept=is_kept)
    with contextlib.suppress(Killed, ThreadGone):
        await shown(harness)
    harness.go_on()
    async with harness.restarted() as next_one:
        next_one.memo = Memory(dict(memo.kept))
        ref = await shown(next_one)
    [clip] = harness.clips()
    assert ref.message == f"{clip.ts}/{clip.file}"


# ---- what Slack says, and what is done ---------------------------------------------------------


async def test_a_pause_before_the_last_call_costs_no_second_upload(
    harness: DeliveryHarness,
) -> None:
    harness.pause(SHOW, 20)
    assert (await later(harness)).retry_after == 20
    await harness.show()
    assert (len(harness.calls(PLACE)), len(harness.clips())) == (1, 1)


async def test_a_channel_that_does_not_take_it_leaves_it_for_direct_messages(
    harness: DeliveryHarness,
) -> None:
    harness.leave()
    with pytest.raises(ThreadGone, match="/invite @ray"):
        await harness.show()
    await harness.show(harness.direct)
    assert (len(harness.calls(PLACE)), len(harness.clips(harness.direct))) == (1, 1)


async def test_after_a_restart_it_is_found_where_it_was_shown(harness: DeliveryHarness) -> None:
    harness.leave()
    with pytest.raises(ThreadGone):
        await harness.show()
    harness.hold(len(LOOKS) + 1)
    direct = harness.direct
    await later(harness, direct)
    async with harness.restarted() as next_one:
        ref = await next_one.show()
    assert ref.thread == direct
    assert len(harness.clips(harness.direct)) == 1


async def test_a_clip_whose_blocks_are_refused_comes_with_words(harness: DeliveryHarness) -> None:
    harness.refuse(SHOW, "invalid_blocks")
    await harness.show()
    assert harness.calls(SHOW)[-1].args["initial_comment"]
    assert "blocks" not in harness.calls(SHOW)[-1].args
    assert len(harness.calls(PLACE)) == 1


async def test_where_the_status_message_is_gone_it_goes_to_the_channel(
    harness: DeliveryHarness,
) -> None:
    about = harness.about(asked_in=asked(harness, harness.place()))
    harness.refuse(SHOW, "thread_not_found")
    await harness.show(about=about)
    assert "thread_ts" not in harness.calls(SHOW)[-1].args
    assert len(harness.calls(PLACE)) == 1


async def test_where_the_thread_is_gone_it_does_not_go_to_the_channel(
    harness: DeliveryHarness,
) -> None:
    harness.refuse(SHOW, "thread_not_found")
    with pytest.raises(ThreadGone):
        await harness.show(harness.place("1.5"))
    assert harness.clips() == []


async def test_a_picture_of_a_clip_says_what_it_shows(harness: DeliveryHarness) -> None:
    await harness.show(form="poster", original_link="https://example.com/clip")
    assert "a red fox" in harness.calls(PLACE)[0].args["alt_txt"]


async def test_words_that_are_refused_too_are_tried_later(harness: DeliveryHarness) -> None:
    for _ in range(2):
        harness.refuse(SHOW, "invalid_blocks")
    await later(harness)
    await harness.show()
    assert len(harness.clips()) == 1


async def test_an_internal_error_is_looked_into_and_then_has_words_only(
    harness: DeliveryHarness,
) -> None:
    harness.refuse(SHOW, "internal_error")
    await shown(harness)
    assert [each.file for each in harness.clips()] == harness.files[1:]
    assert "initial_comment" in harness.calls(SHOW)[-1].args


async def test_what_was_uploaded_smaller_is_not_shown_with_the_words_of_the_clip_itself(
    harness: DeliveryHarness,
) -> None:
    """A process that was killed knew how much the place takes; the next one does not."""
    harness.pause(SHOW, 20)
    with pytest.raises(DeliveryUnavailable):
        await harness.show(form="smaller")
    harness.clock.move(seconds=20)
    await harness.show()
    assert len(harness.calls(PLACE)) == 2
    assert [each.file for each in harness.clips()] == harness.files[1:]


async def test_a_file_that_slack_dropped_is_uploaded_again(harness: DeliveryHarness) -> None:
    harness.pause(SHOW, 20)
    await later(harness)
    harness.refuse(SHOW, "file_not_found")
    await later(harness)
    await harness.show()
    assert (len(harness.calls(PLACE)), len(harness.clips())) == (2, 1)


@pytest.mark.parametrize("code", ["storage_limit_reached", "file_uploads_disabled"])
async def test_a_workspace_that_takes_no_files_is_told_of(
    harness: DeliveryHarness, code: str
) -> None:
    harness.refuse(PLACE, code)
    with pytest.raises(ThreadGone) as caught:
        await harness.show()
    assert "workspace" in caught.value.sentence


@pytest.mark.parametrize("method", [PLACE, SHOW])
async def test_a_clip_that_is_too_large_comes_smaller(
    harness: DeliveryHarness, method: str
) -> None:
    harness.refuse(method, "file_upload_size_restricted")
    await later(harness)
    lower = await harness.delivery.max_upload(harness.place())
    assert lower < harness.clip.stat().st_size
    harness.clip.write_bytes(bytes(lower))
    await harness.show()
    assert int(harness.calls(PLACE)[-1].args["length"]) == lower
    assert len(harness.clips()) == 1


async def test_a_picture_that_is_too_large_is_kept(harness: DeliveryHarness) -> None:
    harness.refuse(PLACE, "file_upload_size_restricted")
    with pytest.raises(ClipTooLarge):
        await harness.show(form="poster", bytes=MIB)


async def test_an_upload_that_is_refused_comes_again(harness: DeliveryHarness) -> None:
    harness.answer(BYTES, None, status=500)
    await later(harness)
    harness.answer(BYTES, None, status=307, headers={"Location": "/api/auth.test"})
    await later(harness)
    assert harness.calls("auth.test") == []
    harness.answer(BYTES, None, status=413)
    await later(harness)
    await harness.show()
    assert len(harness.clips()) == 1
