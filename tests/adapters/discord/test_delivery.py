"""What Raybot posts, edits and deletes, over true HTTP: each of its answers has its action."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest

from adapters.discord import refusals
from adapters.discord.delivery import Delivery
from adapters.discord.messages import to_nonce
from bot import notices as n
from bot.errors import (
    BotError,
    ClipTooLarge,
    DeliveryError,
    DeliveryUnavailable,
    EditsPaused,
    PostedBefore,
    ThreadGone,
)
from bot.refs import Attachment, JobId, MessageRef, Micros, ThreadRef
from bot.request import ImageFrame, Requester, VideoWork
from tests.discord_server import Channel, DiscordServer, Message, Permission, Person
from tests.discord_server.faults import VIA
from tests.fakes import MovableClock, digest_of

JOB = JobId("r-00000abcde")
KEY = f"{JOB}:clip"
POST, EDIT = ("POST", r"^/channels/\d+/messages$"), ("PATCH", r"^/channels/\d+/messages/\d+$")
MIB = 1 << 20


@dataclass
class Memory:
    """What a post must not forget."""

    kept: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    async def put(self, name: str, value: str) -> None:
        self.kept[name] = value


@dataclass
class Desk:
    """The port alone, with a client that signed in and hears nothing."""

    discord: DiscordServer
    ana: Person
    delivery: Delivery
    clock: MovableClock
    clip: Path
    memo: Memory

    @property
    def thread(self) -> ThreadRef:
        return self.place(self.ana.here)

    def place(self, channel: Channel) -> ThreadRef:
        workspace = str(channel.guild.id) if channel.guild else "@me"
        return ThreadRef(adapter="discord", workspace=workspace, channel=str(channel.id))

    def about(self, **more: Any) -> n.About:
        requester = Requester(adapter="discord", workspace="1", user=str(self.ana.id))
        work = more.pop("work", VideoWork(prompt="a red fox"))
        return n.About(job_id=JOB, requester=requester, work=work, **more)

    def delivered(self, **more: Any) -> n.Delivered:
        given: dict[str, Any] = {
            "about": self.about(),
            "path": str(self.clip),
            "filename": f"ray-flash-2_{JOB}_a-red-fox.mp4",
            "width": 960,
            "height": 540,
            "seconds": 5.0,
            "bytes": self.clip.stat().st_size,
            "charged": Micros(180_000),
            "took": timedelta(seconds=40),
        }
        return n.Delivered(**{**given, **more})

    def done(self) -> n.Done:
        return n.Done(about=self.about(), charged=Micros(1), took=timedelta(seconds=4))

    async def post(self, notice: n.Notice | None = None) -> MessageRef:
        said = notice or self.delivered()
        return await self.delivery.post(self.thread, said, key=KEY, memo=self.memo)

    async def status(self) -> MessageRef:
        """A status message that stands in the channel."""
        memo, notice = Memory(), n.Accepted(about=self.about())
        return await self.delivery.post(self.thread, notice, key=f"{JOB}:status", memo=memo)

    async def other_status(self, channel: Channel) -> MessageRef:
        """A status message of another job."""
        job, memo = JobId(f"r-{channel.id % 10**6:06}{len(self.said)}"), Memory()
        notice = n.Accepted(about=replace(self.about(), job_id=job))
        place = self.place(channel)
        return await self.delivery.post(place, notice, key=f"{job}:status", memo=memo)

    def count(self, which: tuple[str, str]) -> int:
        return len(self.discord.requests_to(*which))

    @property
    def said(self) -> list[Message]:
        return self.discord.said(self.ana.here)


@pytest.fixture
async def desk(
    discord_server: DiscordServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    monkeypatch.setattr(discord.http.Route, "BASE", discord_server.api_base_url)
    clock, clip = MovableClock(), tmp_path / "clip.mp4"
    clip.write_bytes(bytes(300_000))
    delivery = Delivery(clock=clock, upload_limit_bytes=20 * MIB, can_host=True)
    ana = discord_server.person("Ana", discord_server.guild("Foxes"))
    nobody = discord.AllowedMentions.none()
    intents = discord.Intents(guilds=True)
    async with discord.Client(
        intents=intents, allowed_mentions=nobody, max_ratelimit_timeout=60.0
    ) as client:
        await client.login(discord_server.token)
        delivery._client = client
        yield Desk(discord_server, ana, delivery, clock, clip, Memory())


async def refused(desk: Desk, notice: n.Notice | None = None) -> BotError:
    with pytest.raises(BotError) as caught:
        await desk.post(notice)
    return caught.value


# ---- one clip, as it should be -----------------------------------------------------------------


async def test_a_clip_answers_its_status_message_and_calls_its_person_only(desk: Desk) -> None:
    status = await desk.status()
    prompt = "a fox @everyone @here **bold** <@1> https://example.com"
    work = VideoWork(prompt=prompt)
    ref = await desk.post(desk.delivered(about=desk.about(work=work)))

    _, clip = desk.said
    assert ref.message == str(clip.id)
    assert clip.reference is not None
    assert str(clip.reference.message_id) == status.message
    assert (clip.pings.users, clip.pings.everyone) == ({desk.ana.id}, False)
    assert desk.discord.pinged().users == {desk.ana.id}
    [attachment] = clip.attachments
    assert attachment.filename == f"ray-flash-2_{JOB}_a-red-fox.mp4"
    assert (attachment.description or "").startswith("AI-generated clip: a fox")
    sent = desk.discord.requests_to(*POST)[-1].body
    assert (sent["nonce"], sent["enforce_nonce"]) == (KEY, True)


async def test_a_digest_calls_nobody(desk: Desk) -> None:
    clip = await desk.status()
    liked = n.Starred(job_id=JOB, stars=4, name=f"<@{desk.ana.id}> **Ana**", message=clip)
    week, key = digest_of(liked), "digest:discord:1:2026-11-02"
    await desk.delivery.post(desk.thread, week, key=key, memo=Memory())
    said = desk.said[-1]
    assert said.content.startswith("**The week with Raybot, 26 Oct to 1 Nov 2026**")
    assert f"- ★ 4 · [{JOB}](<https://discord.com/channels/" in said.content
    assert "\\*\\*Ana" in said.content
    assert desk.discord.pinged().users == set()


async def test_a_clip_answers_the_message_that_asked(desk: Desk) -> None:
    asked = await desk.ana.say(desk.ana.here, "animate this")
    ref = MessageRef(thread=desk.thread, message=str(asked.id))
    await desk.status()
    await desk.post(desk.delivered(about=desk.about(asked_in=ref)))
    assert desk.said[-1].reference is not None
    assert desk.said[-1].reference.message_id == asked.id


async def test_a_clip_answers_nobody_whose_message_is_gone(desk: Desk) -> None:
    asked = await desk.ana.say(desk.ana.here, "animate this")
    await desk.ana.delete(asked)
    ref = MessageRef(thread=desk.thread, message=str(asked.id))
    await desk.post(desk.delivered(about=desk.about(asked_in=ref)))
    assert [each.reference for each in desk.said] == [None]
    assert desk.count(POST) == 1


async def test_a_spoiler_stays_one(desk: Desk) -> None:
    hidden = Attachment(adapter="discord", id="1/2/a0", filename="SPOILER_me.png", is_spoiler=True)
    work = VideoWork(prompt="my birthday", start_frame=ImageFrame(attachment=hidden))
    await desk.post(desk.delivered(about=desk.about(work=work)))
    [clip] = desk.said
    [attachment] = clip.attachments
    assert attachment.filename == f"SPOILER_{JOB}.mp4"
    assert "birthday" not in (attachment.description or "")
    assert "|| my birthday ||" in clip.content


def test_a_long_key_has_a_nonce_of_its_own() -> None:
    keys = [f"provider:{each}:ProviderAuthError:2026-11-22" for each in ("luma", "fal")]
    nonces = {to_nonce(each) for each in [*keys, KEY]}
    assert len(nonces) == 3
    assert all(len(each) <= 25 for each in nonces)


# ---- what Discord says, and what is done -------------------------------------------------------

GONE = (10003, 10004, 10013, 10015, 40058, 40067, 50001, 50007, 50008, 50013, 50024, 50027)


@pytest.mark.parametrize("code", [*GONE, 50278, 160005, 99999])
async def test_a_place_that_takes_nothing_is_asked_once(desk: Desk, code: int) -> None:
    status = 404 if code in {10003, 10004, 10013, 10015} else 403
    desk.discord.faults.error(*POST, status, code)
    error = await refused(desk)
    assert type(error) is ThreadGone
    assert error.sentence
    assert (desk.count(POST), desk.said) == (1, [])


async def test_the_lacking_permission_is_named(desk: Desk) -> None:
    desk.discord.faults.error(*POST, 403, 50013)
    assert "Attach Files" in (await refused(desk)).sentence


async def test_what_may_have_been_posted_is_not_posted_elsewhere_once_nothing_is_let_in(
    desk: Desk,
) -> None:
    desk.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(desk), DeliveryUnavailable)
    desk.discord.faults.error(*POST, 403, 50013)
    assert isinstance(await refused(desk), PostedBefore)
    assert len(desk.said) == 1


async def test_a_clock_that_was_put_back_posts_nothing_twice(desk: Desk) -> None:
    desk.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(desk), DeliveryUnavailable)
    desk.clock.set_wall(hours=-1)
    desk.clock.move(minutes=10)
    await desk.post()
    assert len(desk.said) == 1


async def test_a_message_that_was_deleted_meanwhile_is_not_posted_again(desk: Desk) -> None:
    await desk.post()
    desk.discord.posting.remove(desk.said[0])
    assert type(await refused(desk)) is PostedBefore
    assert desk.said == []


async def test_who_only_stands_by_finds_a_post_whose_nonce_is_forgotten(desk: Desk) -> None:
    desk.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(desk), DeliveryUnavailable)
    desk.clock.move(minutes=10)
    desk.discord.clock.move(minutes=10)
    found = await desk.post()
    assert [str(each.id) for each in desk.said] == [found.message]
    assert desk.count(POST) == 1


@pytest.mark.parametrize("hidden", [Permission.READ_MESSAGE_HISTORY, Permission.VIEW_CHANNEL])
async def test_who_only_stands_by_posts_nothing_where_it_cannot_look(
    desk: Desk, hidden: Permission
) -> None:
    desk.discord.faults.drop(*POST, when="after")
    await refused(desk)
    desk.discord.overwrite(desk.ana.here, desk.discord.app.bot, deny=hidden)
    desk.clock.move(minutes=10)
    desk.discord.clock.move(minutes=10)
    error = await refused(desk)
    assert type(error) is PostedBefore
    assert "Read Message History" in error.sentence
    assert desk.count(POST) == 1


async def test_who_only_stands_by_knows_what_a_boosted_server_takes(desk: Desk) -> None:
    assert desk.ana.here.guild is not None
    desk.ana.here.guild.boost_tier = 3
    await desk.status()
    assert desk.delivery.limits(desk.thread).max_upload_bytes == 100 * MIB
    await desk.post()
    assert len(desk.discord.requests_to("GET", r"^/guilds/\d+$")) == 1
    desk.discord.faults.error(*POST, 413, 40005)
    desk.memo = Memory()
    assert isinstance(await refused(desk, desk.delivered(bytes=60 * MIB)), DeliveryUnavailable)
    assert desk.delivery.limits(desk.thread).max_upload_bytes == 50 * MIB


async def test_without_the_history_a_clip_answers_nobody(desk: Desk) -> None:
    await desk.status()
    desk.discord.faults.error(*POST, 400, 160002)
    await desk.post()
    assert (desk.said[-1].reference, desk.count(POST)) == (None, 3)


async def test_a_form_that_is_refused_is_tried_without_the_reply_and_then_later(
    desk: Desk,
) -> None:
    await desk.status()
    desk.discord.faults.error(*POST, 400, 50035, times=2)
    error = await refused(desk)
    assert isinstance(error, DeliveryUnavailable)
    assert desk.count(POST) == 3


async def test_a_status_message_that_is_refused_for_its_form_is_given_up(desk: Desk) -> None:
    desk.discord.faults.error(*POST, 400, 50006)
    assert type(await refused(desk, n.Accepted(about=desk.about()))) is ThreadGone


@pytest.mark.parametrize("code", [200000, 240000])
async def test_words_that_are_not_welcome_are_left_out(desk: Desk, code: int) -> None:
    await desk.status()
    desk.discord.faults.error(*POST, 400, 160002)
    desk.discord.faults.error(*POST, 400, code)
    await desk.post()
    clip = desk.said[-1]
    [attachment] = clip.attachments
    assert desk.count(POST) == 4
    shown = f"{clip.content} {attachment.filename} {attachment.description}"
    assert "fox" not in shown
    assert JOB in shown


async def test_a_clip_that_is_too_large_lowers_what_the_place_takes(desk: Desk) -> None:
    desk.discord.faults.error(*POST, 413, 40005, times=3)
    assert desk.delivery.limits(desk.thread).max_upload_bytes == 20 * MIB
    for size, then in ((15 * MIB, 10 * MIB), (9 * MIB, 8 * MIB), (300_000, 150_000)):
        error = await refused(desk, desk.delivered(bytes=size))
        assert isinstance(error, DeliveryUnavailable)
        assert desk.delivery.limits(desk.thread).max_upload_bytes == then
    assert desk.count(POST) == 3


async def test_a_picture_of_a_clip_that_is_too_large_is_the_end(desk: Desk) -> None:
    desk.discord.faults.add(*POST, status=413, json={"message": "from a proxy"})
    error = await refused(desk, desk.delivered(form="poster", original_link="https://x.example/c"))
    assert isinstance(error, ClipTooLarge)


@pytest.mark.parametrize(
    ("status", "code", "headers"),
    [
        (403, 40333, VIA),
        (403, 0, {}),
        (401, 0, VIA),
        (429, 0, {"Retry-After": "90"}),
    ],
)
async def test_who_is_shut_out_stays_away_for_a_while(
    desk: Desk, status: int, code: int, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    json = {"message": "no", "code": code}
    desk.discord.faults.add(*POST, status=status, json=json, headers=headers)
    error = await refused(desk)
    assert isinstance(error, DeliveryUnavailable)
    pause = 90 if "Retry-After" in headers else refusals.SHUT_OUT_SECONDS
    assert error.retry_after == pause
    for _ in range(5):
        again = await refused(desk)
        assert isinstance(again, DeliveryUnavailable)
        assert again.retry_after is not None
        assert again.retry_after <= pause
    assert desk.count(POST) == 1
    desk.clock.move(seconds=pause + 1)
    await desk.post()
    assert len(desk.said) == 1
    assert desk.discord.token not in caplog.text


async def test_a_pause_that_discord_asks_for_is_kept(desk: Desk) -> None:
    desk.discord.faults.too_many(*POST, retry_after=0.05)
    await desk.post()
    assert (desk.count(POST), len(desk.said)) == (2, 1)


async def test_a_long_pause_is_left_to_the_job(desk: Desk) -> None:
    desk.discord.faults.too_many(*POST, retry_after=300.0)
    error = await refused(desk)
    assert isinstance(error, DeliveryUnavailable)
    assert (error.retry_after, desk.count(POST)) == (300.0, 1)


@pytest.mark.parametrize(("status", "code"), [(503, 0), (503, 130000), (400, 12345), (404, 0)])
async def test_what_may_pass_is_tried_again_later(desk: Desk, status: int, code: int) -> None:
    desk.discord.faults.error(*POST, status, code)
    assert isinstance(await refused(desk), DeliveryUnavailable)
    assert desk.count(POST) == 1
    await desk.post()
    assert len(desk.said) == 1


async def test_a_short_fault_is_bridged(desk: Desk) -> None:
    desk.discord.faults.error(*POST, 500, 0)
    await desk.post()
    assert (desk.count(POST), len(desk.said)) == (2, 1)


async def test_a_connection_cut_before_is_no_post(desk: Desk) -> None:
    desk.discord.faults.drop(*POST)
    assert isinstance(await refused(desk), DeliveryUnavailable)
    await desk.post()
    assert (desk.count(POST), len(desk.said)) == (2, 1)


@pytest.mark.parametrize("how", ["drop", "delay", "503"])
async def test_an_answer_that_is_lost_makes_no_second_message(desk: Desk, how: str) -> None:
    match how:
        case "drop":
            desk.discord.faults.drop(*POST, when="after")
        case "delay":
            desk.delivery._patience = 0.3
            desk.discord.faults.delay(*POST, 0.6, when="after")
        case _:
            desk.discord.faults.add(*POST, status=503, when="after")
    assert isinstance(await refused(desk), DeliveryUnavailable)
    desk.delivery._patience = 5.0
    ref = await desk.post()
    assert [str(each.id) for each in desk.said] == [ref.message]
    assert desk.count(POST) == 2


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_question_is_not_taken_for_the_status_it_stands_beside(
    desk: Desk, when: Any
) -> None:
    asked, key = n.ConsentAsked(about=desk.about(), owner="77"), f"{JOB}:consent:0"
    # Where nobody need be known before its past is looked through.
    place, post = desk.place(desk.ana.dm), desk.delivery.post
    status = n.Accepted(about=desk.about())
    first = await post(place, status, key=f"{JOB}:status", memo=Memory())
    desk.discord.faults.drop(*POST, when=when)
    with pytest.raises(DeliveryUnavailable):
        await post(place, asked, key=key, memo=desk.memo)
    # Long enough that Discord has forgotten the nonce; it was answered meanwhile.
    desk.clock.move(seconds=100)
    ref = await post(place, replace(asked, answer="over"), key=key, memo=desk.memo)
    said = [str(each.id) for each in desk.discord.said(desk.ana.dm)]
    assert said == [first.message, ref.message]


async def test_who_is_silent_is_not_waited_for_for_ever(desk: Desk) -> None:
    gate = desk.discord.faults.hold(*POST)
    desk.delivery._patience = 0.1
    error = await refused(desk)
    assert isinstance(error, DeliveryUnavailable)
    gate.open()


async def test_a_bot_that_is_not_connected_says_so(desk: Desk) -> None:
    assert desk.delivery._client is not None
    await desk.delivery._client.close()
    assert isinstance(await refused(desk), DeliveryUnavailable)
    assert desk.count(POST) == 0


# ---- edits -------------------------------------------------------------------------------------


async def test_a_status_message_is_edited_in_place(desk: Desk) -> None:
    status = await desk.status()
    await desk.delivery.edit(status, desk.done())
    [message] = desk.said
    assert message.content.startswith("**Delivered**")
    assert message.buttons == {}
    assert not message.pings


async def test_an_edit_in_an_archived_thread_waits_for_something_to_say(desk: Desk) -> None:
    thread = await desk.ana.open_thread(desk.ana.here, "foxes")
    place = desk.place(thread)
    memo, told = Memory(), desk.about()
    status = await desk.delivery.post(
        place, n.Accepted(about=told), key=f"{JOB}:status", memo=memo
    )
    await desk.ana.archive(thread)
    await desk.delivery.edit(status, n.Fetching(about=told))
    assert desk.discord.world.channels[thread.id].is_archived
    failed = n.Failed(about=told, code="provider", sentence="It broke.", charged=Micros(0))
    await desk.delivery.edit(status, failed)
    assert not thread.is_archived
    [message] = desk.discord.said(thread)
    assert "It broke." in message.content


async def test_an_edit_in_a_locked_thread_is_given_up(desk: Desk) -> None:
    status = await desk.status()
    desk.discord.faults.error(*EDIT, 400, 50083, times=2)
    with pytest.raises(ThreadGone):
        await desk.delivery.edit(status, desk.done())


async def test_an_edit_of_a_deleted_message_is_given_up(desk: Desk) -> None:
    status = await desk.status()
    desk.discord.posting.remove(desk.said[0])
    with pytest.raises(ThreadGone) as caught:
        await desk.delivery.edit(status, desk.done())
    assert type(caught.value) is ThreadGone


async def test_words_that_are_not_welcome_are_left_out_of_an_edit(desk: Desk) -> None:
    status = await desk.status()
    desk.discord.faults.error(*EDIT, 400, 200000)
    await desk.delivery.edit(status, n.Fetching(about=desk.about()))
    assert "fox" not in desk.said[0].content
    assert desk.count(EDIT) == 2


async def no_more_edits(desk: Desk, message: MessageRef, **limit: Any) -> None:
    """Discord takes no more edits of old messages in this one's channel."""
    given = {"code": 30046, "retry_after": 0.01, "times": 5, **limit}
    desk.discord.faults.too_many(*EDIT, **given)
    with pytest.raises(EditsPaused) as caught:
        await desk.delivery.edit(message, desk.done())
    known = given["retry_after"] if given["times"] == 1 else refusals.EDITS_PAUSE_SECONDS
    assert caught.value.retry_after == known


@pytest.mark.parametrize("limit", [{}, {"retry_after": 90.0, "times": 1}])
async def test_old_messages_of_a_channel_are_left_alone_for_a_while(
    desk: Desk, limit: dict[str, float]
) -> None:
    old, other = await desk.status(), await desk.other_status(desk.ana.here)
    assert desk.ana.here.guild is not None
    elsewhere = desk.discord.channel(desk.ana.here.guild, "elsewhere")
    far = await desk.other_status(elsewhere)
    desk.clock.move(hours=2)
    desk.discord.clock.move(hours=2)
    new = await desk.other_status(desk.ana.here)
    await no_more_edits(desk, old, **limit)
    tried = desk.count(EDIT)
    for each in (old, other):
        with pytest.raises(EditsPaused):
            await desk.delivery.edit(each, desk.done())
    assert desk.count(EDIT) == tried
    await desk.delivery.edit(far, desk.done())
    await desk.delivery.edit(new, desk.done())
    desk.clock.move(seconds=95)
    await desk.delivery.edit(old, desk.done())
    assert desk.count(EDIT) == tried + 3


async def test_a_young_message_that_is_to_wait_has_no_old_ones_wait_with_it(desk: Desk) -> None:
    status = await desk.status()
    desk.discord.faults.too_many(*EDIT, retry_after=90.0)
    with pytest.raises(DeliveryUnavailable) as caught:
        await desk.delivery.edit(status, desk.done())
    assert not isinstance(caught.value, EditsPaused)


async def test_what_takes_an_old_messages_place_answers_who_asked_and_not_that(
    desk: Desk,
) -> None:
    await desk.status()
    failed = n.Failed(about=desk.about(), code="x", sentence="It broke.", charged=Micros(0))
    await desk.post(failed)
    assert desk.said[-1].reference is None


# ---- the rest of the port ----------------------------------------------------------------------


async def test_a_last_word_said_anew_is_not_taken_for_the_old_message(desk: Desk) -> None:
    # Where nobody need be known before its past is looked through.
    place, post = desk.place(desk.ana.dm), desk.delivery.post
    status = n.Accepted(about=desk.about())
    old = await post(place, status, key=f"{JOB}:status", memo=Memory())
    failed = n.Failed(about=desk.about(), code="x", sentence="It broke.", charged=Micros(0))
    # Only edits of messages that are an hour old are paused, and only then it is said anew.
    for clock in (desk.clock, desk.discord.clock):
        clock.move(minutes=55)
    desk.discord.faults.drop(*POST, when="before")
    with pytest.raises(DeliveryUnavailable):
        await post(place, failed, key=f"{JOB}:last", memo=desk.memo)
    for clock in (desk.clock, desk.discord.clock):
        clock.move(seconds=100)
    new = await post(place, failed, key=f"{JOB}:last", memo=desk.memo)
    said = [str(each.id) for each in desk.discord.said(desk.ana.dm)]
    assert said == [old.message, new.message]


async def test_deleting_what_is_gone_is_fine(desk: Desk) -> None:
    status = await desk.status()
    await desk.delivery.delete(status)
    await desk.delivery.delete(status)
    assert desk.said == []


async def test_a_message_in_an_archived_thread_can_be_deleted(desk: Desk) -> None:
    thread = await desk.ana.open_thread(desk.ana.here, "foxes")
    ref = await desk.delivery.post(desk.place(thread), desk.delivered(), key=KEY, memo=desk.memo)
    await desk.ana.archive(thread)
    desk.discord.faults.error("DELETE", "/messages/", 400, 50083)
    await desk.delivery.delete(ref)
    assert desk.discord.said(thread) == []


async def test_direct_messages_that_are_closed_are_no_place(desk: Desk) -> None:
    desk.ana.user.accepts_direct_messages = False
    direct = await desk.delivery.direct(desk.about().requester)
    assert direct.channel == str(desk.ana.dm.id)
    with pytest.raises(ThreadGone, match="closed"):
        await desk.delivery.post(direct, desk.delivered(), key=KEY, memo=desk.memo)


async def test_a_wait_for_the_status_message_ends(desk: Desk) -> None:
    assert await desk.delivery.placed(JOB, 0.01) is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(desk.delivery.placed(JOB, 5))
        await asyncio.sleep(0)
        status = await desk.status()
    assert waiting.result() == status


async def test_a_try_that_was_surely_refused_leaves_no_doubt(desk: Desk) -> None:
    desk.discord.faults.error(*POST, 403, 50013)
    await refused(desk)
    desk.clock.move(minutes=10)
    await desk.post()
    assert desk.discord.requests_to("GET", "/messages") == []
    assert len(desk.said) == 1


async def test_no_words_of_people_and_no_secret_are_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk.discord.faults.error(*POST, 400, 50035)
    with pytest.raises(DeliveryError):
        await desk.post()
    await desk.post()
    assert "discord.invalid_form" in caplog.text
    assert not re.search("fox", caplog.text)
    assert desk.discord.token not in caplog.text
