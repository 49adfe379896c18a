"""All that can be made of a clip at the terminal, and what a person has there, by typing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.job import JobState
from bot.store import jobs
from tests.adapters.test_terminal_opinions import Sit, sit
from tests.journey.test_story import make
from tests.rendered import png

__all__ = ["sit"]
#: Luma names no price for these two, so they are off until the operator enters one.
PRICES = {"ray-flash-2/upscale": 0.001, "ray-flash-2/audio": 0.05}
RELATIONS = (
    *("extend", "prequel", "join", "loop", "final", "upscale", "audio", "reframe", "modify"),
    *("variation", "variation", "remix", "retry"),
)


async def test_everything_can_be_made_of_a_clip_by_typing(sit: Sit) -> None:
    tables: dict[str, Any] = {"luma": {"prices": PRICES}, "limits": {"confirm_above_usd": None}}
    async with sit("ana", **tables) as ana:
        fox = await ana.makes("a red fox --draft")
        large = await ana.reads(f"To make it large: final {fox} and a size: 720p · ≈ $")
        assert "1080p · ≈ $" in large
        longer = await ana.makes(f"extend {fox} it runs")
        for typed in (
            f"prequel {fox} it wakes",
            f"join {fox} {longer}",
            f"loop {fox}",
            f"vary {fox} 2",
            f"final {fox} 720p",
            f"upscale {fox} 1080p",
            f"sound {fox} paws in snow --no wind",
            f"reframe {fox} 16:9",
            f"modify {fox} flex_2 a drawing",
            f"remix {fox} --ar 9:16",
            f"retry {fox}",
        ):
            assert "Accepted" in await ana.says(typed), typed
        shown = await ana.says(f"show {fox}")
        assert shown.count(" r-") >= len(RELATIONS)
        read = ana.bot.app.database.read
        every = await read(lambda c: jobs.of_person(c, "terminal:local:ana", search="", page=1))
        made = [each for each in every if each.parent == fox]
        assert sorted(each.request.relation or "" for each in made) == sorted(RELATIONS)

        for refused, says in (
            (f"vary {fox} 5", "1 to 4"),
            (f"reframe {fox} 1:1", "is 1:1 already"),
            ("extend r-0nobody123", "no job"),
            (f"animate {fox} --start {longer}", "Leave --start out"),
            (f"reframe {fox}", "Say which. Possible: 16:9"),
            ("story", "The story is empty"),
            ('story "a fox wakes"', "two shots or more"),
        ):
            told = await ana.says(refused)
            assert says in told, refused
            assert "Nothing was charged." in told, refused
        assert "watercolour" in await ana.says('settings suffix=", in watercolour"')
        await ana.says("admin defaults ar=9:16 suffix=grey")
        held = await ana.says("settings")
        assert [line.split()[-1] for line in held.splitlines() if "9:16 " in line] == ["place"]
        assert [line.split()[-1] for line in held.splitlines() if "watercolour" in line] == ["you"]
        assert "yours over the channel's, then the place's" in held
        assert "settings ar=default" in held
        [drawing] = [each.id for each in made if each.request.relation == "modify"]
        await ana.bot.until(drawing, JobState.GENERATING)
        assert f"{drawing}: generating" in await ana.says("usage")


async def test_what_is_private_or_for_adults_is_tried_again_as_that(sit: Sit) -> None:
    async with sit("ana", moderation={"require_age_restricted": True}) as ana:
        owl = await ana.makes("a grey owl")
        assert "Accepted" in await ana.says(f"retry {owl}")
        fox = await ana.makes("a red fox --private")
        for typed in (f"retry {fox}", f"extend {fox} it runs"):
            made = await ana.asks(typed)
            assert (await ana.bot.job(made)).request.is_private, typed


async def test_of_a_film_nothing_is_begun_that_its_shots_are_for(sit: Sit) -> None:
    async with sit("ana", luma={"prices": PRICES}) as ana:
        film = await ana.asks('story "a fox wakes" | "it runs"')
        for number in (1, 2):
            await make(ana.bot, film, number)
        await ana.bot.delivered(film)
        for typed in (
            *(f"vary {film} 3", f"final {film} 720p", f"loop {film}", f"upscale {film} 1080p"),
            *(f"extend {film} it runs on", f"prequel {film} it sleeps", f"reframe {film} 9:16"),
        ):
            told = await ana.says(typed)
            assert f"is a film. Go on from one of its shots: `show {film}`" in told, typed
            assert "Nothing was charged." in told
        who = "terminal:local:ana"
        read = ana.bot.app.database.read
        [asked] = await read(lambda c: jobs.of_person(c, who, search="", page=1))
        assert asked.id == film
        assert "Accepted" in await ana.says(f"retry {film}")


async def test_other_words_are_not_paid_where_they_change_nothing(sit: Sit) -> None:
    async with sit("ana", luma={"prices": PRICES}) as ana:
        film = await ana.asks('story "a fox wakes" | "it runs"')
        first = await make(ana.bot, film, 1)
        await make(ana.bot, film, 2)
        await ana.bot.delivered(film)
        large = await ana.makes(f"upscale {first.id} 1080p")
        before = len(ana.bot.simulator.generations)
        for typed, says in (
            (f"remix {film} an owl flies", f"Go on from one of its shots: `show {film}`"),
            (f"remix {large} an owl flies", f"{large} was made of {first.id}"),
        ):
            told = await ana.says(typed)
            assert says in told
            assert "Nothing was charged." in told
        assert len(ana.bot.simulator.generations) == before


async def test_a_remix_is_made_as_its_clip_was_whatever_was_usual(
    sit: Sit, tmp_path: Path
) -> None:
    image = tmp_path / "wide.png"
    image.write_bytes(png(320, 180))
    async with sit("ana", moderation={"blocked_words": ["clown"]}) as ana:
        # The service has no model that is usual for stills, and an image has a shape of its own.
        for typed, made in (
            ("a red fox --still", "photon-1"),
            (f"it runs --start {image}", "16:9"),
        ):
            first = await ana.makes(typed)
            assert made in await ana.says(f"show {first}")
            again = await ana.makes(f"remix {first} an owl")
            assert made in await ana.says(f"show {again}")
        refused = await ana.says("a clown --still")
        never = refused.partition("To ask again: remix ")[2].split()[0]
        await ana.makes(f"remix {never} an owl")
