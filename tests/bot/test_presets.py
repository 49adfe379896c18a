"""Styles and other things chosen beforehand: what they do to a work, and what is refused."""

from __future__ import annotations

import pytest

from bot.acts import Act
from bot.errors import InvalidRequest
from bot.job import JobState
from bot.presets import shown, with_defaults
from bot.refs import JobId
from bot.request import ImageWork, SourceClip, UpscaleWork, VideoWork, as_sent
from tests.conftest import RunningBot
from tests.fakes import to_requester


@pytest.mark.parametrize(
    ("prefix", "prompt", "suffix", "sent"),
    [
        ("", "a fox", "", "a fox"),
        ("watercolour of", "a fox", "", "watercolour of a fox"),
        ("", "a fox", ", 35mm film", "a fox, 35mm film"),
        (" watercolour of ", " a fox ", " at dusk ", "watercolour of a fox at dusk"),
        ("", "", "at dusk", "at dusk"),
    ],
)
def test_a_style_stands_around_the_prompt(
    prefix: str, prompt: str, suffix: str, sent: str
) -> None:
    work = as_sent(VideoWork(prompt=prompt, prefix=prefix, suffix=suffix))
    assert work.prompt == work.full_prompt == sent
    assert as_sent(work) == work


def test_what_is_typed_wins_and_a_clip_that_is_worked_on_keeps_its_own() -> None:
    chosen = {"concepts": "Orbit Left, zoom-in", "prefix": "ink of", "aspect_ratio": "9:16"}
    filled = with_defaults(VideoWork(prompt="a fox"), {}, chosen)
    assert filled.concepts == ("orbit_left", "zoom_in")
    typed = VideoWork(prompt="a fox", concepts=("static",), typed=frozenset({"concepts"}))
    assert with_defaults(typed, {}, chosen).concepts == ("static",)
    still = with_defaults(ImageWork(prompt="a fox"), {}, chosen)
    assert (still.full_prompt, still.aspect_ratio) == ("ink of a fox", "9:16")
    upscale = UpscaleWork(source=SourceClip(job_id=JobId("r-7k2m9q")))
    assert with_defaults(upscale, {}, chosen) == upscale


def test_where_no_model_is_known_every_value_there_is_can_be_chosen() -> None:
    with pytest.raises(InvalidRequest, match=r"^7s is not possible\. Choose 5s, 9s or 10s\.$"):
        with_defaults(VideoWork(prompt="a fox"), {}, {"duration": "7s"})


def test_how_values_are_shown() -> None:
    assert shown("loop", True) == "true"
    assert shown("concepts", ("pov", "static")) == shown("concepts", "pov,static") == "pov, static"
    assert shown("prefix", "Ink of") == "Ink of"


async def test_a_style_is_paid_for_once_and_goes_to_the_service(bot: RunningBot) -> None:
    person = to_requester()
    style = {"prefix": "watercolour of", "suffix": ", soft light", "concepts": "orbit left"}
    await bot.studio.preferences.change(person, style)
    job = await bot.until(await bot.ask("a fox"), JobState.GENERATING)
    [generation] = bot.simulator.generations.values()
    assert generation.order.prompt == "watercolour of a fox, soft light"
    assert generation.order.concepts == ("orbit_left",)
    assert (job.work.prompt, job.request.work.prompt) == ("a fox", "a fox")
    held = await bot.studio.preferences.in_channel(person, "c")
    assert {each.name: (each.value, each.source) for each in held}["concepts"] == (
        "orbit_left",
        "yours",
    )
    assert {each.name: each.source for each in held}["prefix"] == "yours"


async def test_what_is_made_again_has_the_style_of_then(bot: RunningBot) -> None:
    person = to_requester()
    await bot.studio.preferences.change(person, {"prefix": "watercolour of"})
    fox = await bot.until(await bot.ask("a fox"), JobState.GENERATING)
    await bot.simulator.finish(str(fox.generation_id))
    await bot.delivered(fox.id)
    acts: tuple[tuple[Act, str], ...]
    acts = (("final", "ink of"), ("variation", ""), ("remix", "ink of"))
    for act, now in acts:
        await bot.studio.preferences.change(person, {"prefix": now})
        [receipt] = await bot.studio.works.follow(
            fox.id,
            act,
            person,
            dedupe_key=act,
            thread=fox.request.thread,
            prompt="a wolf" if act == "remix" else "",
        )
        made = await bot.until(receipt.job_id, JobState.GENERATING)
        assert made.work.full_prompt == f"watercolour of {made.work.prompt}"
    await bot.studio.preferences.change(person, {"prefix": "ink of"})
    [receipt] = await bot.studio.works.follow(
        fox.id, "extend", person, dedupe_key="extend", thread=fox.request.thread, prompt="it runs"
    )
    assert (await bot.job(receipt.job_id)).work.full_prompt == "ink of it runs"
    await bot.studio.preferences.change(person, {"prefix": ""})


async def test_a_style_that_cannot_be_is_refused(bot: RunningBot) -> None:
    person = to_requester()
    for wrong, sentence in (
        ({"suffix": "x" * 301}, "The suffix is too long. At most 300 characters"),
        ({"concepts": "orbit_lefft"}, "no camera move. The nearest is orbit_left"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            await bot.studio.preferences.change(person, wrong)
    assert await bot.studio.preferences.own(person) == {}
