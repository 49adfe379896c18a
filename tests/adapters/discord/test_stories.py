"""Stories in Discord: as one line, as a message, or by their form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.job import JobState
from bot.request import StoryWork
from tests.adapters.discord.conftest import Community
from tests.adapters.discord.test_commands import all_jobs
from tests.discord_server import Message

OpenCommunity = Callable[..., Awaitable[Community]]
LIMITS = {"confirm_above_usd": 0.2}


async def status(community: Community) -> Message:
    return await community.discord.wait_message(
        community.general, lambda each: "Make it?" in each.content
    )


async def test_a_story_is_told_in_a_form_that_keeps_what_was_written(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(limits=LIMITS)
    asked = await community.ana.slash("ray story", aspect_ratio="9:16")
    form = await community.ana.modal(asked)
    fields = {each["label"]: each["component"] for each in form["components"]}
    assert list(fields) == ["Shots", "Length and size", "Flags"]
    assert fields["Flags"]["value"] == "--ar 9:16"
    assert all("$" in each["label"] for each in fields["Length and size"]["options"])
    values = {"Shots": "a fox wakes", "Length and size": ["9s 540p"], "Flags": "--ar 16:9"}
    refused = await community.ana.answer(await community.ana.submit_modal(asked, values))
    assert refused.is_ephemeral
    assert "two shots or more" in refused.content
    again = await community.ana.click(refused, "Change the story")
    form = await community.ana.modal(again)
    fields = {each["label"]: each["component"] for each in form["components"]}
    assert [fields[name]["value"] for name in ("Shots", "Flags")] == ["a fox wakes", "--ar 16:9"]
    chosen = [each["value"] for each in fields["Length and size"]["options"] if each["default"]]
    assert chosen == ["9s 540p"]
    assert await all_jobs(community) == []
    # A flag in a line is none of its words, and leaves the lines as they are.
    values["Shots"] = "a fox wakes --ar 16:9\n\nit runs | it sleeps"
    await community.ana.answer(await community.ana.submit_modal(again, values))
    asks = await status(community)
    assert list(asks.buttons) == ["Confirm", "Cancel"]
    [film] = await all_jobs(community)
    assert isinstance(film.work, StoryWork)
    assert film.work.shots == ("a fox wakes", "it runs", "it sleeps")
    assert (film.work.aspect_ratio, film.work.duration) == ("16:9", "9s")
    assert not film.request.is_private, "it was asked for under a private refusal, and is not it"
    await community.ana.answer(await community.ana.click(asks, "Cancel"))
    await community.bot.check_books()


async def test_a_story_can_be_given_with_the_command_or_in_a_message(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(limits=LIMITS)
    refused = await community.ana.answer(
        await community.ana.slash(
            "ray story", lines="a fox | it runs", model="ray-2", private=True
        )
    )
    assert "Make it?" in refused.content
    [film] = await all_jobs(community)
    assert (film.work.kind, film.work.model, film.request.is_private) == ("story", "ray-2", True)
    bot = f"<@{community.discord.app.bot.id}>"
    await community.ben.say(community.general, f"{bot} story\na wolf wakes\nit runs")
    assert "a wolf wakes" in (await status(community)).content
    answer = await community.ana.answer(await community.ana.slash("ray story", lines="only one"))
    assert list(answer.buttons) == ["Change the story"]


async def test_flags_among_the_lines_of_a_story_are_no_shots(
    open_community: OpenCommunity,
) -> None:
    community = await open_community(limits=LIMITS)
    await community.ana.slash("ray story", lines="a fox wakes | it runs --ar 9:16")
    await status(community)
    [film] = await all_jobs(community)
    assert isinstance(film.work, StoryWork)
    assert (film.work.shots, film.work.aspect_ratio) == (("a fox wakes", "it runs"), "9:16")


async def test_a_story_that_may_be_made_is_not_offered_for_another_try(
    community: Community,
) -> None:
    community.discord.faults.error("PATCH", "/messages/@original$", 400, 0)
    answer = await community.ana.answer(
        await community.ana.slash("ray story", lines="a *fox* wakes | it runs")
    )
    assert "Type jobs to see whether it was taken" in answer.content.replace("`/ray jobs`", "jobs")
    assert answer.content.endswith("What you wrote:\n> a \\*fox\\* wakes\n> it runs")
    assert (answer.buttons, answer.attachments) == ({}, [])
    [film] = [job for job in await all_jobs(community) if job.is_film]
    assert film.state not in (JobState.FAILED, JobState.CANCELLED)


async def test_a_story_that_is_too_long_for_the_answer_is_given_back_as_a_file(
    community: Community,
) -> None:
    shots = f"a *fox* <@{community.ben.user.id}> @everyone {'wakes ' * 325}\nit runs | it ends 🦊"
    asked = await community.ana.slash("ray story")
    await community.ana.modal(asked)
    community.discord.faults.error("PATCH", "/messages/@original$", 400, 0)
    sent = await community.ana.submit_modal(asked, {"Shots": shots})
    answer = await community.ana.answer(sent)
    assert answer.is_ephemeral
    assert answer.content.endswith("\nWhat you wrote:")
    [file] = answer.attachments
    assert (file.filename, file.content.decode()) == ("story.txt", shots)
    assert not answer.pings


async def test_after_a_restart_the_story_has_to_be_told_again(community: Community) -> None:
    answer = await community.ana.answer(await community.ana.slash("ray story", lines="only one"))
    [button] = answer.components[0]["components"]
    button["custom_id"] = "ray:story:0123456789abcdef"
    forgotten = await community.ana.answer(await community.ana.click(answer, "Change the story"))
    assert "do not have your story any more" in forgotten.content
