"""The weekly digest of a place: what is in it, and that it is posted once, on the true program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.digest import last_due
from bot.errors import DeliveryUnavailable, NotAllowed, ThreadGone
from bot.job import Job, JobState
from bot.notices import Digest, Notice
from bot.refs import Micros, ThreadRef
from bot.request import Requester
from bot.simulator import Simulator
from bot.store import digests as digests_kept
from tests.bot.module_simulator import simulator
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

__all__ = ["simulator"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
ZONE = "Asia/Kathmandu"


def to_config(folder: Path, simulator: Simulator) -> Any:
    return to_test_config(
        folder,
        simulator,
        access={"servers": ["week", "left", "crash"], "direct_messages": True},
        limits={"timezone": ZONE, "usd_total_per_month": 5, "clips_per_tenant_per_month": 9},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    """One bot; each test has a place of its own."""
    config = to_config(tmp_path_factory.mktemp("shared"), simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
        yield bot


def guard(place: str) -> Requester:
    return to_requester("guard", workspace=place)


async def clip_of(
    bot: RunningBot, place: str, user: str, *, is_direct: bool = False, **more: Any
) -> Job:
    request = to_request(key=f"{place} {user}")
    asker = {"is_direct": True, "home": f"recording:{place}"} if is_direct else {}
    requester = to_requester(user, workspace=place).model_copy(update=asker)
    thread = ThreadRef(adapter="recording", workspace=place, channel="general")
    changes = {"requester": requester, "thread": thread, **more}
    job_id = (await bot.studio.submit(request.model_copy(update=changes))).job_id
    job = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.finish(str(job.generation_id))
    return await bot.delivered(job_id)


async def star(bot: RunningBot, job: Job, users: Collection[str]) -> None:
    for user in users:
        place = job.request.requester.workspace
        await bot.studio.gallery.star(job.id, to_requester(user, workspace=place))


def to_monday(clock: MovableClock) -> None:
    """Go on to the next time at which digests are due."""
    due = last_due(clock.now(), ZONE)
    clock.move(days=7, seconds=(due - clock.now()).total_seconds() + 1)


def digests(chat: RecordingAdapter, place: str) -> list[Post]:
    return [each for each in chat.posts if each.key.startswith(f"digest:recording:{place}:")]


async def until_posted(bot: RunningBot, place: str, count: int) -> None:
    """Go on until the bot posts that many by itself; its round may be under way just now."""
    async with asyncio.timeout(30):
        while len(digests(bot.chat, place)) < count:
            await bot.clock.let_pass(minutes=1, moment=0.01)


async def look(bot: RunningBot) -> None:
    """What a start of its own would post now; nothing that was shown before."""
    await bot.app._digests().post_due()


async def told(bot: RunningBot) -> str:
    """What only the operator hears."""
    return " ".join(each.sentence for each in await bot.notes())


# ---- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23T03:14", "2026-11-16T03:15"),
        ("2026-11-23T03:15", "2026-11-23T03:15"),
        ("2026-11-29T23:00", "2026-11-23T03:15"),
    ],
)
async def test_it_is_due_on_mondays_at_nine_where_people_are(now: str, due: str) -> None:
    moment, expected = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (now, due))
    assert last_due(moment, ZONE) == expected


# ---- what --------------------------------------------------------------------------------------


async def test_it_comes_once_a_week_with_sums_and_what_people_liked(
    shared_bot: RunningBot,
) -> None:
    here, admin = guard("week"), shared_bot.studio.admin
    to_monday(shared_bot.clock)
    liked, less, gone, hidden, letter, _ = await asyncio.gather(
        clip_of(shared_bot, "week", "ana"),
        clip_of(shared_bot, "week", "ben"),
        clip_of(shared_bot, "week", "bob"),
        clip_of(shared_bot, "week", "eve", is_age_restricted=True),
        clip_of(shared_bot, "week", "dan", is_direct=True),
        clip_of(shared_bot, "week", "pia", is_private=True),
    )
    for job, users in ((liked, "xy"), (less, "x"), (gone, "xyz"), (hidden, "xyz"), (letter, "x")):
        await star(shared_bot, job, users)
    await shared_bot.studio.delete(gone.id, to_requester("bob", workspace="week"))
    with pytest.raises(NotAllowed):
        await admin.set_digest(here.tenant, "news", actor=guard("left"))
    await admin.set_digest(here.tenant, "news", actor=here)
    assert (await admin.rules(here.tenant)).digest == "news"
    await look(shared_bot)
    assert digests(shared_bot.chat, "week") == [], "the week is not over"

    shared_bot.chat.before_post = lambda notice: (
        DeliveryUnavailable("away") if isinstance(notice, Digest) else None
    )
    to_monday(shared_bot.clock)
    await look(shared_bot)
    assert digests(shared_bot.chat, "week") == []
    shared_bot.chat.before_post = lambda _: None
    await look(shared_bot)
    await look(shared_bot)
    [post] = digests(shared_bot.chat, "week")
    week = post.notices[0]
    assert isinstance(week, Digest)
    assert post.ref.thread == ThreadRef(adapter="recording", workspace="week", channel="news")
    assert (week.until - week.since).days == 6
    assert (week.clips, week.people) == (6, 6)
    assert week.charged == liked.cost * 6
    assert [(each.job_id, each.stars, each.name) for each in week.starred] == [
        (liked.id, 2, "ana"),
        (less.id, 1, "ben"),
    ]
    assert week.starred[0].message == liked.message
    month = await admin.limits(here.tenant)
    used = month.used["usd_total_per_month"], month.used["clips_per_tenant_per_month"]
    assert (week.money_left, week.clips_left) == (Micros(5_000_000 - used[0]), 9 - used[1])

    to_monday(shared_bot.clock)
    await until_posted(shared_bot, "week", 2)
    quiet = digests(shared_bot.chat, "week")[1].notices[0]
    assert isinstance(quiet, Digest)
    assert (quiet.clips, quiet.starred, quiet.since > week.until) == (0, (), True)
    await admin.set_digest(here.tenant, "", actor=here)
    to_monday(shared_bot.clock)
    await look(shared_bot)
    assert len(digests(shared_bot.chat, "week")) == 2
    acts = [each.act for each in await admin.audit(here.tenant)]
    assert acts.count("digest") == 2


# ---- once, whatever happens --------------------------------------------------------------------


async def test_a_place_that_is_gone_wants_none_any_more(shared_bot: RunningBot) -> None:
    left, admin, now = guard("left"), shared_bot.studio.admin, shared_bot.clock.now()
    await admin.set_digest(left.tenant, "news", actor=left)
    shut = "recording:shut"
    await shared_bot.app.database.write(lambda tx: digests_kept.want(tx, shut, "news", now))
    shared_bot.chat.before_post = lambda notice: (
        ThreadGone("It is gone.") if _is_of(notice) else None
    )
    to_monday(shared_bot.clock)
    await look(shared_bot)
    await look(shared_bot)
    assert (await admin.rules(left.tenant)).digest == ""
    assert "digest of recording:left was turned off. It is gone." in await told(shared_bot)
    # Its own round may be under way beside this one, so the rows tell what is wanted from now on.
    due = last_due(shared_bot.clock.now(), ZONE)
    wanted = await shared_bot.app.database.read(lambda conn: digests_kept.due(conn, due))
    assert [each.tenant for each in wanted] == [shut]
    assert digests(shared_bot.chat, "shut") == [], "it is not served"
    assert "recording:shut" not in await told(shared_bot)


def _is_of(notice: Notice) -> bool:
    return isinstance(notice, Digest)


async def test_what_was_posted_before_a_crash_is_not_posted_again(
    simulator: Simulator, tmp_path: Path
) -> None:
    chat, clock, here = RecordingAdapter(), MovableClock(), guard("crash")
    memos: list[str | None] = []
    first_post = chat.post

    async def post(thread: ThreadRef, notice: Notice, *, key: str, memo: Any) -> object:
        if not isinstance(notice, Digest):
            return await first_post(thread, notice, key=key, memo=memo)
        memos.append(memo.get("tried"))
        await memo.put("tried", "yes")
        ref = await first_post(thread, notice, key=key, memo=memo)
        if len(memos) == 1:
            raise DeliveryUnavailable("The process died before it could write that down.")
        return ref

    chat.post = post  # type: ignore[method-assign, assignment]  # the platform takes it and dies
    for start in range(3):
        async with running(to_config(tmp_path, simulator), simulator, chat, clock) as bot:
            if start == 0:
                await bot.studio.admin.set_digest(here.tenant, "news", actor=here)
                to_monday(clock)
                await until_posted(bot, "crash", 1)
            else:
                await look(bot)
    assert len(digests(chat, "crash")) == 1
    assert memos[:2] == [None, "yes"], "an adapter is told that it may have been posted"
