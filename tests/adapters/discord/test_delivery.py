"""What Raybot posts, edits and deletes, over true HTTP: each of its answers has its action."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
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
from bot.ports import Hosting
from bot.refs import Attachment, JobId, MessageRef, Micros, ThreadRef
from bot.request import ImageFrame, Requester, VideoWork
from tests.discord_server import Channel, DiscordServer, Message, Permission, Person
from tests.discord_server.faults import VIA
from tests.fakes import Memory, MovableClock, digest_of

JOB = JobId("r-00000abcde")
KEY = f"{JOB}:clip"
POST, EDIT = ("POST", r"^/channels/\d+/messages$"), ("PATCH", r"^/channels/\d+/messages/\d+$")
MIB = 1 << 20


@dataclass
class DeliveryHarness:
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
async def harness(
    discord_server: DiscordServer,
    clock: MovableClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[DeliveryHarness]:
    monkeypatch.setattr(discord.http.Route, "BASE", discord_server.api_base_url)
    clip = tmp_path / "clip.mp4"
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
        yield DeliveryHarness(discord_server, ana, delivery, clock, clip, Memory())


async def refused(harness: DeliveryHarness, notice: n.Notice | None = None) -> BotError:
    with pytest.raises(BotError) as caught:
        await harness.post(notice)
    return caught.value


# ---- one clip, as it should be -----------------------------------------------------------------


async def test_a_clip_answers_its_status_message_and_calls_its_person_only(
    harness: DeliveryHarness,
) -> None:
    status = await harness.status()
    prompt = "a fox @everyone @here **bold** <@1> https://example.com"
    work = VideoWork(prompt=prompt)
    ref = await harness.post(harness.delivered(about=harness.about(work=work)))

    _, clip = harness.said
    assert ref.message == str(clip.id)
    assert clip.reference is not None
    assert str(clip.reference.message_id) == status.message
    assert (clip.pings.users, clip.pings.everyone) == ({harness.ana.id}, False)
    assert harness.discord.pinged().users == {harness.ana.id}
    [attachment] = clip.attachments
    assert attachment.filename == f"ray-flash-2_{JOB}_a-red-fox.mp4"
    assert (attachment.description or "").startswith("AI-generated clip: a fox")
    sent = harness.discord.requests_to(*POST)[-1].body
    assert (sent["nonce"], sent["enforce_nonce"]) == (KEY, True)


async def test_a_digest_calls_nobody(harness: DeliveryHarness) -> None:
    clip = await harness.status()
    liked = n.Starred(job_id=JOB, stars=4, name=f"<@{harness.ana.id}> **Ana**", message=clip)
    week, key = digest_of(liked), "digest:discord:1:2026-11-02"
    await harness.delivery.post(harness.thread, week, key=key, memo=Memory())
    said = harness.said[-1]
    assert said.content.startswith("**The week with Raybot, 26 Oct to 1 Nov 2026**")
    assert f"- ★ 4 · [{JOB}](<https://discord.com/channels/" in said.content
    assert "\\*\\*Ana" in said.content
    assert harness.discord.pinged().users == set()


async def test_a_clip_answers_the_message_that_asked(harness: DeliveryHarness) -> None:
    asked = await harness.ana.say(harness.ana.here, "animate this")
    ref = MessageRef(thread=harness.thread, message=str(asked.id))
    await harness.status()
    await harness.post(harness.delivered(about=harness.about(asked_in=ref)))
    assert harness.said[-1].reference is not None
    assert harness.said[-1].reference.message_id == asked.id


async def test_a_clip_answers_nobody_whose_message_is_gone(harness: DeliveryHarness) -> None:
    asked = await harness.ana.say(harness.ana.here, "animate this")
    await harness.ana.delete(asked)
    ref = MessageRef(thread=harness.thread, message=str(asked.id))
    await harness.post(harness.delivered(about=harness.about(asked_in=ref)))
    assert [each.reference for each in harness.said] == [None]
    assert harness.count(POST) == 1


async def test_a_spoiler_stays_one(harness: DeliveryHarness) -> None:
    hidden = Attachment(adapter="discord", id="1/2/a0", filename="SPOILER_me.png", is_spoiler=True)
    work = VideoWork(prompt="my birthday", start_frame=ImageFrame(attachment=hidden))
    await harness.post(harness.delivered(about=harness.about(work=work)))
    [clip] = harness.said
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
async def test_a_place_that_takes_nothing_is_asked_once(
    harness: DeliveryHarness, code: int
) -> None:
    status = 404 if code in {10003, 10004, 10013, 10015} else 403
    harness.discord.faults.error(*POST, status, code)
    error = await refused(harness)
    assert type(error) is ThreadGone
    assert error.sentence
    assert (harness.count(POST), harness.said) == (1, [])


async def test_the_lacking_permission_is_named(harness: DeliveryHarness) -> None:
    harness.discord.faults.error(*POST, 403, 50013)
    assert "Attach Files" in (await refused(harness)).sentence


async def test_what_may_have_been_posted_is_not_posted_elsewhere_once_nothing_is_let_in(
    harness: DeliveryHarness,
) -> None:
    harness.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(harness), DeliveryUnavailable)
    harness.discord.faults.error(*POST, 403, 50013)
    assert isinstance(await refused(harness), PostedBefore)
    assert len(harness.said) == 1


async def test_a_clock_that_was_put_back_posts_nothing_twice(harness: DeliveryHarness) -> None:
    harness.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(harness), DeliveryUnavailable)
    harness.clock.set_wall(hours=-1)
    harness.clock.move(minutes=10)
    await harness.post()
    assert len(harness.said) == 1


async def test_a_message_that_was_deleted_meanwhile_is_not_posted_again(
    harness: DeliveryHarness,
) -> None:
    await harness.post()
    harness.discord.posting.remove(harness.said[0])
    assert type(await refused(harness)) is PostedBefore
    assert harness.said == []


async def test_an_edit_that_outlives_its_client_is_tried_again(harness: DeliveryHarness) -> None:
    status = await harness.status()
    harness.discord.faults.add(*EDIT, status=502)
    edit = asyncio.create_task(harness.delivery.edit(status, n.Accepted(about=harness.about())))
    await harness.discord.wait_request(*EDIT)
    await harness.delivery._online.close()
    with pytest.raises(DeliveryUnavailable):
        await edit


async def test_who_only_stands_by_finds_a_post_whose_nonce_is_forgotten(
    harness: DeliveryHarness,
) -> None:
    harness.discord.faults.drop(*POST, when="after")
    assert isinstance(await refused(harness), DeliveryUnavailable)
    harness.clock.move(minutes=10)
    harness.discord.clock.move(minutes=10)
    found = await harness.post()
    assert [str(each.id) for each in harness.said] == [found.message]
    assert harness.count(POST) == 1


@pytest.mark.parametrize("hidden", [Permission.READ_MESSAGE_HISTORY, Permission.VIEW_CHANNEL])
async def test_who_only_stands_by_posts_nothing_where_it_cannot_look(
    harness: DeliveryHarness, hidden: Permission
) -> None:
    harness.discord.faults.drop(*POST, when="after")
    await refused(harness)
    harness.discord.overwrite(harness.ana.here, harness.discord.app.bot, deny=hidden)
    harness.clock.move(minutes=10)
    harness.discord.clock.move(minutes=10)
    error = await refused(harness)
    assert type(error) is PostedBefore
    assert "Read Message History" in error.sentence
    assert harness.count(POST) == 1


async def test_who_only_stands_by_knows_what_a_boosted_server_takes(
    harness: DeliveryHarness,
) -> None:
    assert harness.ana.here.guild is not None
    harness.ana.here.guild.boost_tier = 3
    assert await harness.delivery.max_upload(harness.thread) == 100 * MIB
    await harness.post()
    assert len(harness.discord.requests_to("GET", r"^/guilds/\d+$")) == 1
    harness.discord.faults.error(*POST, 413, 40005)
    harness.memo = Memory()
    assert isinstance(
        await refused(harness, harness.delivered(bytes=60 * MIB)), DeliveryUnavailable
    )
    assert await harness.delivery.max_upload(harness.thread) == 50 * MIB


async def test_a_boost_that_comes_later_is_seen_within_an_hour(harness: DeliveryHarness) -> None:
    harness.discord.faults.error(*POST, 413, 40005)
    assert await harness.delivery.max_upload(harness.thread) == 20 * MIB
    await refused(harness, harness.delivered(bytes=15 * MIB))
    assert harness.ana.here.guild is not None
    harness.ana.here.guild.boost_tier = 3
    harness.clock.move(minutes=59)
    assert await harness.delivery.max_upload(harness.thread) == 10 * MIB
    harness.clock.move(minutes=1)
    assert await harness.delivery.max_upload(harness.thread) == 100 * MIB
    assert len(harness.discord.requests_to("GET", r"^/guilds/\d+$")) == 2


async def test_without_the_history_a_clip_answers_nobody(harness: DeliveryHarness) -> None:
    await harness.status()
    harness.discord.faults.error(*POST, 400, 160002)
    await harness.post()
    assert (harness.said[-1].reference, harness.count(POST)) == (None, 3)


async def test_a_form_that_is_refused_is_tried_without_the_reply_and_then_later(
    harness: DeliveryHarness,
) -> None:
    await harness.status()
    harness.discord.faults.error(*POST, 400, 50035, times=2)
    error = await refused(harness)
    assert isinstance(error, DeliveryUnavailable)
    assert harness.count(POST) == 3


async def test_a_status_message_that_is_refused_for_its_form_is_given_up(
    harness: DeliveryHarness,
) -> None:
    harness.discord.faults.error(*POST, 400, 50006)
    assert type(await refused(harness, n.Accepted(about=harness.about()))) is ThreadGone


@pytest.mark.parametrize("code", [200000, 240000])
async def test_words_that_are_not_welcome_are_left_out(
    harness: DeliveryHarness, code: int
) -> None:
    await harness.status()
    harness.discord.faults.error(*POST, 400, 160002)
    harness.discord.faults.error(*POST, 400, code)
    await harness.post()
    clip = harness.said[-1]
    [attachment] = clip.attachments
    assert harness.count(POST) == 4
    shown = f"{clip.content} {attachment.filename} {attachment.description}"
    assert "fox" not in shown
    assert JOB in shown


async def test_a_clip_that_is_too_large_lowers_what_the_place_takes(
    harness: DeliveryHarness,
) -> None:
    harness.discord.faults.error(*POST, 413, 40005, times=3)
    assert await harness.delivery.max_upload(harness.thread) == 20 * MIB
    for size, then in ((15 * MIB, 10 * MIB), (9 * MIB, 8 * MIB), (300_000, 150_000)):
        error = await refused(harness, harness.delivered(bytes=size))
        assert isinstance(error, DeliveryUnavailable)
        assert await harness.delivery.max_upload(harness.thread) == then
    assert harness.count(POST) == 3


async def test_a_picture_of_a_clip_that_is_too_large_is_the_end(harness: DeliveryHarness) -> None:
    harness.discord.faults.add(*POST, status=413, json={"message": "from a proxy"})
    error = await refused(
        harness, harness.delivered(form="poster", original_link="https://x.example/c")
    )
    assert isinstance(error, ClipTooLarge)


@pytest.mark.parametrize(
    ("status", "code", "headers", "pause"),
    [
        (403, 40333, VIA, refusals.SHUT_OUT_SECONDS),
        (403, 0, {}, refusals.SHUT_OUT_SECONDS),
        (401, 0, VIA, refusals.SHUT_OUT_SECONDS),
        (429, 0, {"Retry-After": "90"}, 90),
        (429, 0, {"Retry-After": "86400"}, refusals.LONGEST_SHUT_OUT_SECONDS),
    ],
)
async def test_who_is_shut_out_stays_away_for_a_while(
    harness: DeliveryHarness,
    status: int,
    code: int,
    headers: dict[str, str],
    pause: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    json = {"message": "no", "code": code}
    harness.discord.faults.add(*POST, status=status, json=json, headers=headers)
    error = await refused(harness)
    assert isinstance(error, DeliveryUnavailable)
    assert error.retry_after == pause
    for _ in range(5):
        again = await refused(harness)
        assert isinstance(again, DeliveryUnavailable)
        assert again.retry_after is not None
        assert again.retry_after <= pause
    assert harness.count(POST) == 1
    harness.clock.move(seconds=pause + 1)
    await harness.post()
    assert len(harness.said) == 1
    assert harness.discord.token not in caplog.text


async def test_a_pause_that_discord_asks_for_is_kept(harness: DeliveryHarness) -> None:
    harness.discord.faults.too_many(*POST, retry_after=0.05)
    await harness.post()
    assert (harness.count(POST), len(harness.said)) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "pause"), [(300.0, 300.0), (1e300, refusals.LONGEST_SHUT_OUT_SECONDS)]
)
async def test_a_long_pause_is_left_to_the_job(
    harness: DeliveryHarness, asked: float, pause: float
) -> None:
    harness.discord.faults.too_many(*POST, retry_after=asked)
    error = await refused(harness)
    assert isinstance(error, DeliveryUnavailable)
    assert (error.retry_after, harness.count(POST)) == (pause, 1)


@pytest.mark.parametrize(("status", "code"), [(503, 0), (503, 130000), (400, 12345), (404, 0)])
async def test_what_may_pass_is_tried_again_later(
    harness: DeliveryHarness, status: int, code: int
) -> None:
    harness.discord.faults.error(*POST, status, code)
    assert isinstance(await refused(harness), DeliveryUnavailable)
    assert harness.count(POST) == 1
    await harness.post()
    assert len(harness.said) == 1


async def test_a_short_fault_is_bridged(harness: DeliveryHarness) -> None:
    harness.discord.faults.error(*POST, 500, 0)
    await harness.post()
    assert (harness.count(POST), len(harness.said)) == (2, 1)


async def test_a_connection_cut_before_is_no_post(harness: DeliveryHarness) -> None:
    harness.discord.faults.drop(*POST)
    assert isinstance(await refused(harness), DeliveryUnavailable)
    await harness.post()
    assert (harness.count(POST), len(harness.said)) == (2, 1)


@pytest.mark.parametrize("how", ["drop", "delay", "503"])
async def test_an_answer_that_is_lost_makes_no_second_message(
    harness: DeliveryHarness, how: str
) -> None:
    match how:
        case "drop":
            harness.discord.faults.drop(*POST, when="after")
        case "delay":
            harness.delivery._patience = 1.0
            harness.discord.faults.delay(*POST, 30, when="after")
        case _:
            harness.discord.faults.add(*POST, status=503, when="after")
    assert isinstance(await refused(harness), DeliveryUnavailable)
    harness.delivery._patience = 5.0
    ref = await harness.post()
    assert [str(each.id) for each in harness.said] == [ref.message]
    assert harness.count(POST) == 2


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_question_is_not_taken_for_the_status_it_stands_beside(
    harness: DeliveryHarness, when: Any
) -> None:
    asked, key = n.ConsentAsked(about=harness.about(), owner="77"), f"{JOB}:consent:0"
    # Where nobody need be known before its past is looked through.
    place, post = harness.place(harness.ana.dm), harness.delivery.post
    status = n.Accepted(about=harness.about())
    first = await post(place, status, key=f"{JOB}:status", memo=Memory())
    harness.discord.faults.drop(*POST, when=when)
    with pytest.raises(DeliveryUnavailable):
        await post(place, asked, key=key, memo=harness.memo)
    # Long enough that Discord has forgotten the nonce; it was answered meanwhile.
    harness.clock.move(seconds=100)
    ref = await post(place, replace(asked, answer="over"), key=key, memo=harness.memo)
    said = [str(each.id) for each in harness.discord.said(harness.ana.dm)]
    assert said == [first.message, ref.message]


async def test_a_letter_with_images_is_not_taken_for_the_status(
    harness: DeliveryHarness,
) -> None:
    about = harness.about()
    place = await harness.delivery.direct(about.requester)

    async def say() -> MessageRef:
        notice, memo = n.Accepted(about=about), harness.memo
        return await harness.delivery.post(place, notice, key=f"{JOB}:status", memo=memo)

    harness.discord.faults.drop(*POST)
    with pytest.raises(DeliveryUnavailable):
        await say()
    image = harness.clip.with_name("start.jpg")
    image.write_bytes(bytes(100))
    hosted = await harness.delivery.host(
        image,
        Hosting(
            job_id=JOB,
            slot="start",
            requester=about.requester,
            thread=place,
            status=None,
            is_hidden=False,
        ),
    )
    # Long enough that Discord has forgotten the nonce.
    harness.clock.move(seconds=100)
    found = await say()
    assert hosted.letter is not None
    letter, status = harness.discord.said(harness.ana.dm)
    assert (hosted.letter.message, found.message) == (str(letter.id), str(status.id))


async def test_who_is_silent_is_not_waited_for_for_ever(harness: DeliveryHarness) -> None:
    gate = harness.discord.faults.hold(*POST)
    harness.delivery._patience = 0.1
    error = await refused(harness)
    assert isinstance(error, DeliveryUnavailable)
    gate.open()


async def test_a_bot_that_is_not_connected_says_so(harness: DeliveryHarness) -> None:
    assert harness.delivery._client is not None
    await harness.delivery._client.close()
    assert isinstance(await refused(harness), DeliveryUnavailable)
    assert harness.count(POST) == 0


# ---- edits -------------------------------------------------------------------------------------


async def test_a_status_message_is_edited_in_place(harness: DeliveryHarness) -> None:
    status = await harness.status()
    await harness.delivery.edit(status, harness.done())
    [message] = harness.said
    assert message.content.startswith("**Delivered**")
    assert message.buttons == {}
    assert not message.pings


async def test_an_edit_in_an_archived_thread_waits_for_something_to_say(
    harness: DeliveryHarness,
) -> None:
    thread = await harness.ana.open_thread(harness.ana.here, "foxes")
    place = harness.place(thread)
    memo, told = Memory(), harness.about()
    status = await harness.delivery.post(
        place, n.Accepted(about=told), key=f"{JOB}:status", memo=memo
    )
    await harness.ana.archive(thread)
    await harness.delivery.edit(status, n.Fetching(about=told))
    assert harness.discord.world.channels[thread.id].is_archived
    failed = n.Failed(about=told, code="provider", sentence="It broke.", charged=Micros(0))
    await harness.delivery.edit(status, failed)
    assert not thread.is_archived
    [message] = harness.discord.said(thread)
    assert "It broke." in message.content


async def test_an_edit_in_a_locked_thread_is_given_up(harness: DeliveryHarness) -> None:
    status = await harness.status()
    harness.discord.faults.error(*EDIT, 400, 50083, times=2)
    with pytest.raises(ThreadGone):
        await harness.delivery.edit(status, harness.done())


async def test_an_edit_of_a_deleted_message_is_given_up(harness: DeliveryHarness) -> None:
    status = await harness.status()
    harness.discord.posting.remove(harness.said[0])
    with pytest.raises(ThreadGone) as caught:
        await harness.delivery.edit(status, harness.done())
    assert type(caught.value) is ThreadGone


async def test_words_that_are_not_welcome_are_left_out_of_an_edit(
    harness: DeliveryHarness,
) -> None:
    status = await harness.status()
    harness.discord.faults.error(*EDIT, 400, 200000)
    await harness.delivery.edit(status, n.Fetching(about=harness.about()))
    assert "fox" not in harness.said[0].content
    assert harness.count(EDIT) == 2


async def no_more_edits(harness: DeliveryHarness, message: MessageRef, **limit: Any) -> None:
    """Discord takes no more edits of old messages in this one's channel."""
    given = {"code": 30046, "retry_after": 0.01, "times": 5, **limit}
    harness.discord.faults.too_many(*EDIT, **given)
    with pytest.raises(EditsPaused) as caught:
        await harness.delivery.edit(message, harness.done())
    known = given["retry_after"] if given["times"] == 1 else refusals.EDITS_PAUSE_SECONDS
    assert caught.value.retry_after == known


@pytest.mark.parametrize("limit", [{}, {"retry_after": 90.0, "times": 1}])
async def test_old_messages_of_a_channel_are_left_alone_for_a_while(
    harness: DeliveryHarness, limit: dict[str, float]
) -> None:
    old, other = await harness.status(), await harness.other_status(harness.ana.here)
    assert harness.ana.here.guild is not None
    elsewhere = harness.discord.channel(harness.ana.here.guild, "elsewhere")
    far = await harness.other_status(elsewhere)
    harness.clock.move(hours=2)
    harness.discord.clock.move(hours=2)
    new = await harness.other_status(harness.ana.here)
    await no_more_edits(harness, old, **limit)
    tried = harness.count(EDIT)
    for each in (old, other):
        with pytest.raises(EditsPaused):
            await harness.delivery.edit(each, harness.done())
    assert harness.count(EDIT) == tried
    await harness.delivery.edit(far, harness.done())
    await harness.delivery.edit(new, harness.done())
    harness.clock.move(seconds=95)
    await harness.delivery.edit(old, harness.done())
    assert harness.count(EDIT) == tried + 3


async def test_old_messages_are_edited_again_after_an_hour_however_long_a_pause_is(
    harness: DeliveryHarness,
) -> None:
    status = await harness.status()
    harness.clock.move(hours=2)
    harness.discord.clock.move(hours=2)
    harness.discord.faults.too_many(*EDIT, code=30046, retry_after=86400.0)
    with pytest.raises(EditsPaused) as caught:
        await harness.delivery.edit(status, harness.done())
    assert caught.value.retry_after == refusals.LONGEST_SHUT_OUT_SECONDS
    harness.clock.move(seconds=refusals.LONGEST_SHUT_OUT_SECONDS + 1)
    await harness.delivery.edit(status, harness.done())
    assert harness.count(EDIT) == 2


async def test_a_young_message_that_is_to_wait_has_no_old_ones_wait_with_it(
    harness: DeliveryHarness,
) -> None:
    status = await harness.status()
    harness.discord.faults.too_many(*EDIT, retry_after=90.0)
    with pytest.raises(DeliveryUnavailable) as caught:
        await harness.delivery.edit(status, harness.done())
    assert not isinstance(caught.value, EditsPaused)


async def test_what_takes_an_old_messages_place_answers_who_asked_and_not_that(
    harness: DeliveryHarness,
) -> None:
    await harness.status()
    failed = n.Failed(about=harness.about(), code="x", sentence="It broke.", charged=Micros(0))
    await harness.post(failed)
    assert harness.said[-1].reference is None


# ---- the rest of the port ----------------------------------------------------------------------


async def test_a_last_word_said_anew_is_not_taken_for_the_old_message(
    harness: DeliveryHarness,
) -> None:
    # Where nobody need be known before its past is looked through.
    place, post = harness.place(harness.ana.dm), harness.delivery.post
    status = n.Accepted(about=harness.about())
    old = await post(place, status, key=f"{JOB}:status", memo=Memory())
    failed = n.Failed(about=harness.about(), code="x", sentence="It broke.", charged=Micros(0))
    # Only edits of messages that are an hour old are paused, and only then it is said anew.
    for clock in (harness.clock, harness.discord.clock):
        clock.move(minutes=55)
    harness.discord.faults.drop(*POST, when="before")
    with pytest.raises(DeliveryUnavailable):
        await post(place, failed, key=f"{JOB}:last", memo=harness.memo)
    for clock in (harness.clock, harness.discord.clock):
        clock.move(seconds=100)
    new = await post(place, failed, key=f"{JOB}:last", memo=harness.memo)
    said = [str(each.id) for each in harness.discord.said(harness.ana.dm)]
    assert said == [old.message, new.message]


async def test_deleting_what_is_gone_is_fine(harness: DeliveryHarness) -> None:
    status = await harness.status()
    await harness.delivery.delete(status)
    await harness.delivery.delete(status)
    assert harness.said == []


async def test_a_message_in_an_archived_thread_can_be_deleted(harness: DeliveryHarness) -> None:
    thread = await harness.ana.open_thread(harness.ana.here, "foxes")
    ref = await harness.delivery.post(
        harness.place(thread), harness.delivered(), key=KEY, memo=harness.memo
    )
    await harness.ana.archive(thread)
    harness.discord.faults.error("DELETE", "/messages/", 400, 50083)
    await harness.delivery.delete(ref)
    assert harness.discord.said(thread) == []


async def test_direct_messages_that_are_closed_are_no_place(harness: DeliveryHarness) -> None:
    harness.ana.user.accepts_direct_messages = False
    direct = await harness.delivery.direct(harness.about().requester)
    assert direct.channel == str(harness.ana.dm.id)
    with pytest.raises(ThreadGone, match="closed"):
        await harness.delivery.post(direct, harness.delivered(), key=KEY, memo=harness.memo)


async def test_a_wait_for_the_status_message_ends(harness: DeliveryHarness) -> None:
    assert await harness.delivery.placed(JOB, 0.01) is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(harness.delivery.placed(JOB, 5))
        await asyncio.sleep(0)
        status = await harness.status()
    assert waiting.result() == status


async def test_a_try_that_was_surely_refused_leaves_no_doubt(harness: DeliveryHarness) -> None:
    harness.discord.faults.error(*POST, 403, 50013)
    await refused(harness)
    harness.clock.move(minutes=10)
    await harness.post()
    assert harness.discord.requests_to("GET", "/messages") == []
    assert len(harness.said) == 1


async def test_no_words_of_people_and_no_secret_are_logged(
    harness: DeliveryHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness.discord.faults.error(*POST, 400, 50035)
    with pytest.raises(DeliveryError):
        await harness.post()
    await harness.post()
    assert "discord.invalid_form" in caplog.text
    assert not re.search("fox", caplog.text)
    assert harness.discord.token not in caplog.text
