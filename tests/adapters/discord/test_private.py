"""`private:true`: only its person sees the answer, also when the interaction has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.job import JobState
from bot.refs import JobId
from bot.store import jobs
from tests.adapters.discord.conftest import Street, Town, picture
from tests.adapters.discord.test_commands import all_jobs, finished, job_of
from tests.discord_server import Interaction, Message

OpenStreet = Callable[..., Awaitable[Street]]


async def private_clip(street: Street, asked: Interaction) -> Message:
    """The clip in place of the private answer."""

    def look() -> Message | None:
        original = asked.original
        return original if original is not None and original.attachments else None

    found = await street.discord.wait_for(look, 15)
    assert found is not None
    return found


def move(town: Town, **by: float) -> None:
    """Let time pass for the bot and for Discord."""
    town.clock.move(**by)
    town.discord.clock.move(**by)


async def test_a_private_clip_is_seen_by_its_person_alone(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    assert clip.is_ephemeral
    assert clip.seen_by == street.ana.id
    assert street.discord.said(street.general) == []
    await street.house.delivered(job_of(clip))
    await street.house.check_books()


async def test_what_is_asked_under_a_private_clip_stays_private(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    await street.house.delivered(job_of(clip))
    retried = await street.ana.click(clip, "Variation")
    assert (await private_clip(street, retried)).is_ephemeral
    remixed = await street.ana.click(clip, "Remix")
    await street.ana.modal(remixed)
    sent = await street.ana.submit_modal(remixed, {"Prompt": "a blue secret"})
    assert (await private_clip(street, sent)).is_ephemeral
    assert street.discord.said(street.general) == []


async def test_a_button_that_is_pressed_twice_buys_one_private_clip_and_answers_both(
    street: Street,
) -> None:
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    await street.house.delivered(job_of(clip))
    first, second = [await street.ana.click(clip, "Variation") for _ in range(2)]
    assert (await private_clip(street, first)).is_ephemeral
    newest, _ = await all_jobs(street)
    assert newest.id in (await street.ana.answer(second)).content
    await street.house.check_books()


async def variations(street: Street, count: int) -> tuple[Interaction, list[JobId]]:
    """So many variations of a private clip, asked for and made."""
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    await street.house.delivered(job_of(clip))
    pressed = await street.ana.choose(clip, "More…", "several")
    await street.ana.modal(pressed)
    sent = await street.ana.submit_modal(pressed, {"How many?": [str(count)]})
    await street.ana.answer(sent)
    made = sorted({each.id for each in await all_jobs(street)} - {job_of(clip)})
    for job_id in made:
        await street.house.delivered(job_id)
    return sent, made


def shown(messages: list[Message]) -> list[str]:
    """The jobs whose clips stand in these messages."""
    return sorted(job_of(each) for each in messages if each.attachments)


async def test_each_of_several_private_variations_is_seen(street: Street) -> None:
    sent, made = await variations(street, 4)
    assert len(made) == 4
    assert shown(street.ana.ephemeral(sent)) == made
    assert all(each.seen_by == street.ana.id for each in street.ana.ephemeral(sent))
    assert [*street.discord.said(street.ana.dm), *street.discord.said(street.general)] == []
    deleted = sent.followups[0]
    await street.delete(street.ana, deleted)
    await street.discord.wait_for(lambda: not deleted.attachments)
    assert len(shown(street.ana.ephemeral(sent))) == 3
    await street.house.check_books()


async def test_a_variation_whose_private_answer_is_in_doubt_comes_directly(
    street: Street,
) -> None:
    street.discord.faults.drop("POST", "/webhooks/[^/]+/[^/]+$", when="after")
    sent, made = await variations(street, 2)
    private, direct = shown(street.ana.ephemeral(sent)), shown(street.discord.said(street.ana.dm))
    assert [len(private), len(direct)] == [1, 1]
    assert sorted([*private, *direct]) == made
    await street.house.check_books()


async def test_a_private_clip_is_deleted_where_it_stands(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    await street.house.delivered(job_of(clip))
    await street.delete(street.ana, clip)
    street.house.clock.move(seconds=6)
    await street.discord.wait_for(lambda: not clip.attachments)


async def test_a_private_clip_stays_private_when_it_is_remixed_by_its_id(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    clip = await private_clip(street, asked)
    await street.house.delivered(job_of(clip))
    remixed = await street.ana.slash("ray more", id=job_of(clip), act="remix")
    await street.ana.modal(remixed)
    sent = await street.ana.submit_modal(remixed, {"Prompt": "a blue secret"})
    assert (await private_clip(street, sent)).is_ephemeral
    assert street.discord.said(street.general) == []
    newest = (await all_jobs(street))[0]
    told = await street.ben.answer(await street.ben.slash("ray show", id=newest.id))
    assert "There is no job" in told.content


async def test_a_refusal_ends_the_private_answer(street: Street) -> None:
    asked = await street.ana.slash(
        "ray create", prompt="a fox", start_frame=b"no picture", private=True
    )
    answer = await street.ana.answer(asked)
    assert answer.is_ephemeral
    assert "image" in answer.content


async def test_a_clip_that_took_longer_than_the_interaction_comes_directly(
    street: Street, town: Town
) -> None:
    street.house.simulator.faults.slow(100_000)
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    status = await street.ana.answer(asked)
    await street.house.simulator.wait_for_creates(1)
    move(town, minutes=16)
    [generation] = street.house.simulator.generations.values()
    await street.house.simulator.finish(generation.id)
    clip = await finished(street, street.ana.dm)
    assert job_of(clip) == job_of(status)
    assert street.discord.said(street.general) == []


async def told_directly(street: Street, words: str) -> Message:
    """What came to Ana by direct message, once it says so."""

    def look() -> Message | None:
        return next((m for m in street.discord.said(street.ana.dm) if words in m.content), None)

    found = await street.discord.wait_for(look, 15)
    assert found is not None
    return found


async def test_a_private_request_that_fails_late_is_told_directly_and_once(town: Town) -> None:
    async with town.street() as street:
        town.simulator.faults.slow(100_000)
        asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
        status = await street.ana.answer(asked)
        await town.simulator.wait_for_creates(1)
        move(town, minutes=16)
        [generation] = town.simulator.generations.values()
        await town.simulator.fail(generation.id, "Prompt not allowed by moderation")
        told = await told_directly(street, job_of(status))
        assert "Nothing was charged" in told.content
    async with town.street() as street:
        await street.house.until(job_of(status), JobState.FAILED)
        await street.ana.answer(await street.ana.slash("ray usage"))
        assert street.discord.said(street.ana.dm) == [told]
        assert street.discord.said(street.general) == []


async def test_a_private_clip_whose_answer_was_closed_comes_directly(street: Street) -> None:
    street.house.simulator.faults.slow(100_000)
    asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    status = await street.ana.answer(asked)
    await street.house.simulator.wait_for_creates(1)
    street.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    [generation] = street.house.simulator.generations.values()
    await street.house.simulator.finish(generation.id)
    clip = await finished(street, street.ana.dm)
    assert job_of(clip) == job_of(status)
    assert (await street.house.delivered(job_of(clip))).cost > 0


async def test_a_private_request_whose_first_answer_was_closed_goes_on_directly(
    open_street: OpenStreet,
) -> None:
    street = await open_street(limits={"confirm_above_usd": 0.1})
    street.discord.faults.error("PATCH", "/messages/@original$", 404, 10008, times=99)
    await street.ana.slash("ray create", prompt="a secret fox", duration="9s", private=True)
    asks = await told_directly(street, "Make it?")
    await street.ana.click(asks, "Confirm")
    clip = await finished(street, street.ana.dm)
    assert job_of(clip) == job_of(asks)
    assert street.discord.said(street.general) == []


async def test_what_is_told_directly_is_told_once_although_its_answer_is_lost(
    street: Street,
) -> None:
    original = ("PATCH", "/messages/@original$")
    street.house.simulator.faults.slow(100_000)
    street.discord.faults.error(*original, 404, 10008, times=99)
    street.discord.faults.drop("POST", r"/channels/\d+/messages$", when="after")
    await street.ana.slash("ray create", prompt="a secret fox", private=True)
    await street.house.simulator.wait_for_creates(1)
    await street.hurry(lambda: len(street.discord.requests_to(*original)) > 1)
    [generation] = street.house.simulator.generations.values()
    await street.house.simulator.finish(generation.id)
    await finished(street, street.ana.dm)
    await street.hurry(lambda: "Delivered" in statuses(street)[0].content)
    assert len(statuses(street)) == 1


def statuses(street: Street) -> list[Message]:
    return [each for each in street.discord.said(street.ana.dm) if not each.attachments]


async def test_a_private_request_that_a_crash_cut_off_is_told_directly(town: Town) -> None:
    async with town.street() as street:
        asked = await street.ana.slash("ray animate", image=picture(), private=True)
        await street.house.delivered(job_of(await private_clip(street, asked)))
        [job] = await all_jobs(street)
        request = job.request.model_copy(update={"dedupe_key": "cut off"})
        # As the bot leaves it that is killed while it reads the image.
        await street.house.app.database.write(
            lambda tx: jobs.insert(tx, request, street.house.clock.now(), retry_of=None)
        )
    town.discord.cdn.lose_ephemeral()
    async with town.street() as street:
        told = await told_directly(street, "Nothing was charged")
        ended = await street.house.until(job_of(told), JobState.FAILED)
        assert ended.request.dedupe_key == "cut off"
        assert street.discord.said(street.general) == []


async def test_after_a_restart_a_private_clip_comes_directly(town: Town) -> None:
    async with town.street() as street:
        town.simulator.faults.slow(100_000)
        asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
        await street.ana.answer(asked)
        await town.simulator.wait_for_creates(1)
    async with town.street() as street:
        [generation] = town.simulator.generations.values()
        await town.simulator.finish(generation.id)
        clip = await finished(street, street.ana.dm)
        assert street.discord.said(street.general) == []
        # Its buttons work there, although nobody may ask for clips in direct messages.
        answer = await street.delete(street.ana, clip)
        assert "is deleted" in answer.content
        assert clip.is_deleted
        assert len(await all_jobs(street)) == 1


async def test_whom_nothing_reaches_is_shown_the_clip_later(town: Town) -> None:
    town.ana.user.accepts_direct_messages = False
    async with town.street() as street:
        town.simulator.faults.slow(100_000)
        asked = await street.ana.slash("ray create", prompt="a secret fox", private=True)
        status = await street.ana.answer(asked)
        await town.simulator.wait_for_creates(1)
    async with town.street() as street:
        [generation] = town.simulator.generations.values()
        await town.simulator.finish(generation.id)
        kept = await street.house.until(job_of(status), JobState.FAILED)
        assert kept.cost > 0
        shown = await street.ana.answer(await street.ana.slash("ray show", id=kept.id))
        assert shown.files


async def test_the_image_of_a_private_request_is_in_no_channel(street: Street) -> None:
    asked = await street.ana.slash(
        "ray animate", image=picture(), prompt="a secret fox", private=True
    )
    await private_clip(street, asked)
    assert street.discord.said(street.general) == []
