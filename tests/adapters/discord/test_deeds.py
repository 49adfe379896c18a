"""Making something of a clip by its id, and what is refused: in private, with nothing started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bot.job import JobState
from bot.request import to_video
from tests.adapters.discord.conftest import Community, LocalDiscord
from tests.adapters.discord.test_commands import all_jobs, deliver_again, job_of
from tests.discord_server import Message

OpenCommunity = Callable[..., Awaitable[Community]]


async def made(community: Community, prompt: str, **options: Any) -> Message:
    """A finished clip of Ana's in the channel."""
    known = len(community.clips())
    await community.ana.slash("ray create", prompt=prompt, **options)
    await community.discord.wait_for(lambda: len(community.clips()) > known, 30)
    clip = community.clips()[-1]
    await community.bot.delivered(job_of(clip))
    return clip


async def test_a_command_makes_of_any_clip_what_its_buttons_do(community: Community) -> None:
    fox, owl = await made(community, "a red fox"), await made(community, "an owl")
    [first, second] = job_of(fox), job_of(owl)
    offered = await community.ana.autocomplete("ray more", "id", "owl", act="join")
    assert offered == [{"name": f"{second} · an owl", "value": second}]
    by_id = await community.ana.autocomplete("ray more", "id", first[:-1], act="join")
    assert [each["value"] for each in by_id] == [first]
    assert await community.ben.autocomplete("ray more", "id", "", act="join") == []

    asked = await community.ana.slash("ray more", id=f" {first.upper()} ", act="join")
    form = await community.ana.modal(asked)
    fields = {each["label"]: each["component"] for each in form["components"]}
    assert [each["value"] for each in fields["One of your clips"]["options"]] == [second]
    told = await community.ana.answer(
        await community.ana.submit_modal(asked, {"One of your clips": [second]})
    )
    assert told.is_ephemeral
    assert "Follow it here" in told.content
    await community.discord.wait_for(lambda: len(community.clips()) == 3, 30)
    newest = (await all_jobs(community))[0]
    assert (newest.parent, newest.request.relation) == (first, "join")
    await community.bot.delivered(newest.id)
    shown = await community.ana.answer(await community.ana.slash("ray show", id=newest.id))
    assert f"Goes on from [{first}](" in shown.content
    above = await community.ana.answer(await community.ana.slash("ray show", id=first))
    assert f"[{newest.id}](" in above.content
    assert "a join" in above.content
    await community.bot.check_books()


async def test_what_is_on_the_list_is_asked_for_in_its_form(open_community: OpenCommunity) -> None:
    # Luma names no price for these two, so they are off until the operator enters one.
    prices = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
    community = await open_community(luma={"prices": prices})
    clip = await made(community, "a red fox", resolution="540p")
    # What becomes of each is in the journeys of the core.
    community.bot.simulator.faults.slow(1000, times=4)
    listed: dict[str, dict[str, Any]] = {
        "prequel": {"What happened before?": "it wakes"},
        "modify": {"How far?": ["flex_2"], "What does it look like?": "a drawing"},
        "upscale": {"Size": ["1080p"]},
        "audio": {"What does it sound like?": "paws", "What should not be heard": "wind"},
    }
    for act, values in listed.items():
        asked = await community.ben.choose(clip, "More…", act)
        form = await community.ben.modal(asked)
        options = [each["component"].get("options", ()) for each in form["components"]]
        assert all("$" in each["label"] for some in options for each in some)
        told = await community.ben.answer(await community.ben.submit_modal(asked, values))
        started = await community.bot.job(job_of(told))
        assert (started.request.relation, started.parent) == (act, job_of(clip))
    await community.bot.check_books()


async def test_a_draft_is_made_large_at_a_price_that_is_shown_first(community: Community) -> None:
    draft = await made(community, "a red fox", draft=True)
    [first] = await all_jobs(community)
    assert to_video(first.work).resolution == "540p"
    asked = await community.ben.slash("ray more", id=first.id, act="final")
    form = await community.ben.modal(asked)
    [size] = [each["component"] for each in form["components"] if each["label"] == "Size"]
    usual = [each for each in size["options"] if each.get("default")]
    assert [each["label"].partition(" · ")[0] for each in usual] == ["1080p"]
    assert "≈ $" in usual[0]["label"]
    await community.ben.answer(await community.ben.submit_modal(asked))
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    final = await community.bot.job(job_of(community.clips()[-1]))
    assert to_video(final.work).resolution == "1080p"
    assert final.request.requester.user == str(community.ben.id)
    assert draft.buttons
    refused = await community.ana.slash(
        "ray create", prompt="a fox", draft=True, resolution="1080p"
    )
    assert "leave" in (await community.ana.answer(refused)).content
    await community.bot.check_books()


async def test_what_cannot_be_made_is_refused_in_private(community: Community) -> None:
    clip = await made(community, "a red fox")
    first = job_of(clip)

    async def refusal(act: str, job: str) -> str:
        told = await community.ben.answer(await community.ben.slash("ray more", id=job, act=act))
        assert told.is_ephemeral
        return told.content

    assert "looks like" in await refusal("loop", "my fox")
    assert "There is no job" in await refusal("loop", "r-0000000000")
    assert "There is no job" in await refusal("extend", "r-0000000000")
    asked = await community.ben.click(clip, "Extend")
    await community.ben.modal(asked)
    for act, field, value in (("reframe", "Shape", "1:1"), ("several", "How many?", "5")):
        asked = await community.ben.choose(clip, "More…", act)
        form = await community.ben.modal(asked)
        [choice] = [each["component"] for each in form["components"] if each["label"] == field]
        assert value not in [each["value"] for each in choice["options"]]

    await community.delete(community.ana, clip)
    assert "was deleted" in await refusal("loop", first)
    assert "was deleted" in await refusal("extend", first)
    offered = await community.ana.autocomplete("ray more", "id", "fox", act="loop")
    assert offered == []
    assert len(await all_jobs(community)) == 1
    await community.bot.check_books()


async def test_a_clip_of_another_server_is_not_found(
    open_community: OpenCommunity, local_discord: LocalDiscord
) -> None:
    other = local_discord.discord.guild("Owls")
    eve = local_discord.discord.person("Eve", other)
    community = await open_community(
        access={"servers": [str(local_discord.guild.id), str(other.id)]}
    )
    first = job_of(await made(community, "a red fox"))
    for act in ("loop", "extend", "remix"):
        told = await eve.answer(await eve.slash("ray more", id=first, act=act))
        assert told.is_ephemeral
        assert "There is no job" in told.content
        assert "fox" not in told.content
    assert len(await all_jobs(community)) == 1


async def test_a_failed_clip_gives_nothing_to_go_on_from(community: Community) -> None:
    community.bot.simulator.faults.fail("It broke")
    await community.ana.slash("ray create", prompt="a red fox")
    status = await community.discord.wait_message(community.general, lambda each: each.content)
    job = job_of(status)
    await community.bot.until(job, JobState.FAILED)
    told = await community.ana.answer(await community.ana.slash("ray more", id=job, act="loop"))
    assert told.is_ephemeral
    assert "has no clip" in told.content
    assert len(await all_jobs(community)) == 1


async def test_what_was_made_of_a_clip_is_not_remixed(community: Community) -> None:
    clip = await made(community, "a red fox", resolution="540p")
    community.bot.simulator.faults.fail("It broke")
    asked = await community.ana.choose(clip, "More…", "modify")
    await community.ana.modal(asked)
    values = {"How far?": ["flex_2"], "What does it look like?": "a drawing"}
    failed = job_of(await community.ana.answer(await community.ana.submit_modal(asked, values)))
    await community.bot.until(failed, JobState.FAILED)
    status = await community.discord.wait_message(
        community.general, lambda each: f"`{failed}`" in each.content and "Retry" in each.buttons
    )
    assert list(status.buttons) == ["Retry"]
    asked = await community.ana.choose(clip, "More…", "reframe")
    await community.ana.modal(asked)
    told = await community.ana.answer(await community.ana.submit_modal(asked, {"Shape": ["16:9"]}))
    reframed = job_of(told)
    await community.bot.delivered(reframed)
    for job in (failed, reframed):
        told = await community.ana.answer(
            await community.ana.slash("ray more", id=job, act="remix")
        )
        assert told.is_ephemeral
        assert f"was made of {job_of(clip)}" in told.content
    assert len(await all_jobs(community)) == 3
    await community.bot.check_books()


async def test_several_are_confirmed_together(open_community: OpenCommunity) -> None:
    community = await open_community(limits={"confirm_above_usd": 0.5})
    clip = await made(community, "a red fox", resolution="540p")
    known = len(community.discord.said(community.general))
    asked = await community.ana.choose(clip, "More…", "several")
    await community.ana.modal(asked)
    await community.ana.answer(await community.ana.submit_modal(asked, {"How many?": ["4"]}))
    waiting = await community.discord.wait_message(
        community.general, lambda each: "Confirm" in each.buttons
    )
    said = waiting.content.replace("\\", "")
    assert "These 4 clips cost about $0.55 together. Make them?" in said
    assert {job.cost for job in (await all_jobs(community))[:-1]} == {0}
    await community.ana.answer(await community.ana.click(waiting, "Confirm"))
    await community.discord.wait_for(lambda: len(community.clips()) == 5)
    assert known < len(community.discord.said(community.general))
    await community.bot.check_books()


async def test_one_press_that_arrives_twice_makes_one_clip(community: Community) -> None:
    clip = await made(community, "a red fox")
    pressed = await community.ana.click(clip, "Loop")
    deliver_again(community)
    await community.ana.answer(pressed)
    await community.discord.wait_for(lambda: len(community.clips()) == 2, 30)
    assert len(await all_jobs(community)) == 2
    await community.bot.check_books()
