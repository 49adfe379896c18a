"""`private:true`: only its person sees the answer, also when the interaction has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from aiohttp import web

from bot.job import JobState
from bot.refs import JobId
from bot.store import jobs, messages
from tests.adapters.discord.conftest import Community, LocalDiscord, picture
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.discord_server import Interaction, Message

OpenCommunity = Callable[..., Awaitable[Community]]


async def private_clip(community: Community, asked: Interaction) -> Message:
    """The clip in place of the private answer."""

    def look() -> Message | None:
        original = asked.original
        return original if original is not None and original.attachments else None

    found = await community.discord.wait_for(look, 30)
    assert found is not None
    return found


def move(local_discord: LocalDiscord, **by: float) -> None:
    """Let time pass for the bot and for Discord."""
    local_discord.clock.move(**by)
    local_discord.discord.clock.move(**by)


async def test_a_private_clip_is_seen_by_its_person_alone(community: Community) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    assert clip.is_ephemeral
    assert clip.seen_by == community.ana.id
    assert community.discord.said(community.general) == []
    await community.bot.delivered(job_of(clip))
    await community.bot.check_books()


async def test_what_is_asked_under_a_private_clip_stays_private(community: Community) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    await community.bot.delivered(job_of(clip))
    retried = await community.ana.click(clip, "Variation")
    assert (await private_clip(community, retried)).is_ephemeral
    remixed = await community.ana.click(clip, "Remix")
    await community.ana.modal(remixed)
    sent = await community.ana.submit_modal(remixed, {"Prompt": "a blue secret"})
    assert (await private_clip(community, sent)).is_ephemeral
    assert community.discord.said(community.general) == []


async def test_a_button_that_is_pressed_twice_buys_one_private_clip_and_answers_both(
    community: Community,
) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    await community.bot.delivered(job_of(clip))
    presses = [await community.ana.click(clip, "Variation") for _ in range(2)]

    def started() -> Interaction | None:
        return next(
            (each for each in presses if each.original and each.original.attachments), None
        )

    first = await community.discord.wait_for(started, 30)
    [second] = [each for each in presses if each is not first]
    newest, _ = await all_jobs(community)
    assert newest.id in (await community.ana.answer(second)).content
    await community.bot.check_books()


async def variations(community: Community, count: int) -> tuple[Interaction, list[JobId]]:
    """So many variations of a private clip, asked for and made."""
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    await community.bot.delivered(job_of(clip))
    pressed = await community.ana.choose(clip, "More…", "several")
    await community.ana.modal(pressed)
    sent = await community.ana.submit_modal(pressed, {"How many?": [str(count)]})
    await community.ana.answer(sent)
    made = sorted({each.id for each in await all_jobs(community)} - {job_of(clip)})
    for job_id in made:
        await community.bot.delivered(job_id)
    return sent, made


def shown(messages: list[Message]) -> list[str]:
    """The jobs whose clips stand in these messages."""
    return sorted(job_of(each) for each in messages if each.attachments)


async def test_each_of_several_private_variations_is_seen(community: Community) -> None:
    sent, made = await variations(community, 4)
    assert len(made) == 4
    assert shown(community.ana.ephemeral(sent)) == made
    assert all(each.seen_by == community.ana.id for each in community.ana.ephemeral(sent))
    assert [
        *community.discord.said(community.ana.dm),
        *community.discord.said(community.general),
    ] == []
    deleted = sent.followups[0]
    await community.delete(community.ana, deleted)
    await community.discord.wait_for(lambda: not deleted.attachments)
    assert len(shown(community.ana.ephemeral(sent))) == 3
    await community.bot.check_books()


async def test_a_variation_whose_private_answer_is_in_doubt_comes_directly(
    community: Community,
) -> None:
    community.discord.faults.drop("POST", "/webhooks/[^/]+/[^/]+$", when="after")
    sent, made = await variations(community, 2)
    private, direct = (
        shown(community.ana.ephemeral(sent)),
        shown(community.discord.said(community.ana.dm)),
    )
    assert [len(private), len(direct)] == [1, 1]
    assert sorted([*private, *direct]) == made
    await community.bot.check_books()


async def test_a_private_clip_is_deleted_where_it_stands(community: Community) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    await community.bot.delivered(job_of(clip))
    await community.delete(community.ana, clip)
    community.bot.clock.move(seconds=6)
    await community.discord.wait_for(lambda: not clip.attachments)


async def test_a_private_clip_stays_private_when_it_is_remixed_by_its_id(
    community: Community,
) -> None:
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(community, asked)
    await community.bot.delivered(job_of(clip))
    remixed = await community.ana.slash("ray more", id=job_of(clip), act="remix")
    await community.ana.modal(remixed)
    sent = await community.ana.submit_modal(remixed, {"Prompt": "a blue secret"})
    assert (await private_clip(community, sent)).is_ephemeral
    assert community.discord.said(community.general) == []
    newest = (await all_jobs(community))[0]
    told = await community.ben.answer(await community.ben.slash("ray show", id=newest.id))
    assert "There is no job" in told.content


async def test_a_refusal_ends_the_private_answer(community: Community) -> None:
    asked = await community.ana.slash(
        "ray create", prompt="a fox", start_frame=b"no picture", private=True
    )
    answer = await community.ana.answer(asked)
    assert answer.is_ephemeral
    assert "image" in answer.content


async def test_a_clip_that_took_longer_than_the_interaction_comes_directly(
    community: Community, local_discord: LocalDiscord
) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    status = await community.ana.answer(asked)
    await community.bot.simulator.wait_for_creates(1)
    move(local_discord, minutes=16)
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    clip = await finished(community, community.ana.dm)
    assert job_of(clip) == job_of(status)
    assert community.discord.said(community.general) == []


async def told_directly(community: Community, words: str) -> Message:
    """What came to Ana by direct message, once it says so."""

    def look() -> Message | None:
        return next(
            (m for m in community.discord.said(community.ana.dm) if words in m.content), None
        )

    found = await community.discord.wait_for(look, 30)
    assert found is not None
    return found


async def test_a_private_request_that_fails_late_is_told_directly_and_once(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        local_discord.simulator.faults.slow(100_000)
        asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
        status = await community.ana.answer(asked)
        await local_discord.simulator.wait_for_creates(1)
        move(local_discord, minutes=16)
        [generation] = local_discord.simulator.generations.values()
        await local_discord.simulator.fail(generation.id, "Prompt not allowed by moderation")
        told = await told_directly(community, job_of(status))
        assert "Nothing was charged" in told.content
    async with local_discord.community() as community:
        await community.bot.until(job_of(status), JobState.FAILED)
        await community.ana.answer(await community.ana.slash("ray usage"))
        assert community.discord.said(community.ana.dm) == [told]
        assert community.discord.said(community.general) == []


async def test_a_private_clip_whose_answer_was_closed_comes_directly(community: Community) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    status = await community.ana.answer(asked)
    await community.bot.simulator.wait_for_creates(1)
    community.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    clip = await finished(community, community.ana.dm)
    assert job_of(clip) == job_of(status)
    assert (await community.bot.delivered(job_of(clip))).cost > 0


async def test_a_private_request_whose_first_answer_was_closed_goes_on_directly(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.1})
    community.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    await community.ana.slash("ray create", prompt="a secret fox", duration="9s", private=True)
    asks = await told_directly(community, "Make it?")
    await community.ana.click(asks, "Confirm")
    clip = await finished(community, community.ana.dm)
    assert job_of(clip) == job_of(asks)
    assert community.discord.said(community.general) == []


async def test_what_is_told_directly_is_told_once_although_its_answer_is_lost(
    community: Community,
) -> None:
    community.bot.simulator.faults.slow(100_000)
    community.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    community.discord.faults.drop("POST", r"/channels/\d+/messages$", when="after")
    await community.ana.slash("ray create", prompt="a secret fox", private=True)
    await community.bot.simulator.wait_for_creates(1)
    [job] = await all_jobs(community)
    await community.until_kept(messages.status_key(job.id))
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    await finished(community, community.ana.dm)
    await community.hurry(lambda: "Delivered" in statuses(community)[0].content)
    assert len(statuses(community)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_private_clip_comes_directly_although_an_answer_is_lost(
    community: Community, when: Literal["before", "after"]
) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    await community.ana.answer(asked)
    await community.bot.simulator.wait_for_creates(1)
    community.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    community.discord.faults.drop("POST", r"/channels/\d+/messages$", when=when)
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    clip = await finished(community, community.ana.dm)
    ended = await community.bot.delivered(job_of(clip))
    assert ended.message is not None
    assert ended.message.message == str(clip.id)
    assert shown(community.discord.said(community.ana.dm)) == [job_of(clip)]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_private_last_word_comes_directly_although_an_answer_is_lost(
    community: Community, when: Literal["before", "after"]
) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    status = await community.ana.answer(asked)
    await community.bot.simulator.wait_for_creates(1)
    community.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    community.discord.faults.drop("POST", r"/channels/\d+/messages$", when=when)
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.fail(generation.id, "Prompt not allowed by moderation")
    await community.bot.until(job_of(status), JobState.FAILED)
    await community.until_kept(messages.last_key(job_of(status)))
    told = await told_directly(community, job_of(status))
    assert "Nothing was charged" in told.content
    assert community.discord.said(community.ana.dm) == [told]


async def test_a_clip_that_may_stand_among_direct_messages_is_not_posted_elsewhere(
    community: Community,
) -> None:
    community.bot.simulator.faults.slow(100_000)
    await community.ana.slash("ray create", prompt="a fox")
    await community.bot.simulator.wait_for_creates(1)
    await community.discord.wait_for(lambda: community.discord.said(community.general))
    here, directly = (
        rf"/channels/{each.id}/messages$" for each in (community.general, community.ana.dm)
    )
    community.discord.faults.error("POST", here, 403, 50001)
    community.discord.faults.drop("POST", directly, when="after")
    [generation] = community.bot.simulator.generations.values()
    await community.bot.simulator.finish(generation.id)
    clip = await finished(community, community.ana.dm)
    assert shown(community.discord.said(community.ana.dm)) == [job_of(clip)]
    assert shown(community.discord.said(community.general)) == []


def statuses(community: Community) -> list[Message]:
    return [each for each in community.discord.said(community.ana.dm) if not each.attachments]


async def test_a_private_request_that_a_crash_cut_off_is_told_directly(
    local_discord: LocalDiscord,
) -> None:
    async with local_discord.community() as community:
        asked = await community.ana.slash("ray animate", image=picture(), private=True)
        await community.bot.delivered(job_of(await private_clip(community, asked)))
        [job] = await all_jobs(community)
        request = job.request.model_copy(update={"dedupe_key": "cut off"})
        # As the bot leaves it that is killed while it reads the image.
        await community.bot.app.database.write(
            lambda tx: jobs.insert(tx, request, community.bot.clock.now(), retry_of=None)
        )
    local_discord.discord.cdn.lose_ephemeral()
    async with local_discord.community() as community:
        told = await told_directly(community, "Nothing was charged")
        ended = await community.bot.until(job_of(told), JobState.FAILED)
        assert ended.request.dedupe_key == "cut off"
        assert community.discord.said(community.general) == []


async def test_after_minutes_without_a_gateway_a_private_clip_comes_directly(
    community: Community, monkeypatch: pytest.MonkeyPatch
) -> None:
    community.bot.simulator.faults.slow(100_000)
    asked = await community.ana.slash("ray create", prompt="a red fox", private=True)
    job_id = job_of(await community.ana.answer(asked))
    await community.bot.until(job_id, JobState.GENERATING)
    gateway = community.discord.gateway

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=502)

    listener: Any = community.bot.app._adapters["discord"]
    client = listener._session.client
    # So long that the client is replaced, and its session closed.
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "serve", away)
        gateway.drop_all()
        await community.hurry(lambda: listener._session.client is not client, seconds=15)
    await community.hurry(lambda: gateway.connected, seconds=1)
    [generation] = community.bot.simulator.generations
    await community.bot.simulator.finish(generation)
    await community.hurry(lambda: community.clips(community.ana.dm), seconds=2)
    await community.bot.delivered(job_id)


async def test_after_a_restart_a_private_clip_comes_directly(local_discord: LocalDiscord) -> None:
    async with local_discord.community() as community:
        local_discord.simulator.faults.slow(100_000)
        asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
        await community.ana.answer(asked)
        await local_discord.simulator.wait_for_creates(1)
    async with local_discord.community() as community:
        [generation] = local_discord.simulator.generations.values()
        await local_discord.simulator.finish(generation.id)
        clip = await finished(community, community.ana.dm)
        assert community.discord.said(community.general) == []
        # Its buttons work there, although nobody may ask for clips in direct messages.
        answer = await community.delete(community.ana, clip)
        assert "is deleted" in answer.content
        assert clip.is_deleted
        assert len(await all_jobs(community)) == 1


async def test_whom_nothing_reaches_is_shown_the_clip_later(local_discord: LocalDiscord) -> None:
    local_discord.ana.user.accepts_direct_messages = False
    async with local_discord.community() as community:
        local_discord.simulator.faults.slow(100_000)
        asked = await community.ana.slash("ray create", prompt="a secret fox", private=True)
        status = await community.ana.answer(asked)
        await local_discord.simulator.wait_for_creates(1)
    async with local_discord.community() as community:
        [generation] = local_discord.simulator.generations.values()
        await local_discord.simulator.finish(generation.id)
        kept = await community.bot.until(job_of(status), JobState.FAILED)
        assert kept.cost > 0
        shown = await community.ana.answer(await community.ana.slash("ray show", id=kept.id))
        assert shown.files


async def test_the_image_of_a_private_request_is_in_no_channel(community: Community) -> None:
    asked = await community.ana.slash(
        "ray animate", image=picture(), prompt="a secret fox", private=True
    )
    await private_clip(community, asked)
    assert community.discord.said(community.general) == []
