"""What a filter refused, and being forgotten, as one person alone meets them at the terminal."""

from __future__ import annotations

from pathlib import Path

from bot.job import JobState
from bot.refs import money
from tests.adapters.test_terminal_opinions import Sit, sit
from tests.bot.studio.test_erasure import forgotten, rows
from tests.fakes import MovableClock
from tests.rendered import png

__all__ = ["sit"]
#: What the service says; which class that is, what to change, and how to ask again here.
REFUSED = (
    ("Your prompt was blacklisted", "the words", "Try it in other words.", "remix {0} and other"),
    ("Copyright of a protected name", "a name that", "without it.", "remix {0} and other"),
    ("Frame moderation failed", "the image", "Use another one.", "with --start and another image"),
)


async def test_what_a_filter_refused_is_explained_and_asked_for_otherwise(sit: Sit) -> None:
    grim = ""
    async with sit("ana", limits={"running_per_person": 9}) as ana:
        for reason, minded, change, again in REFUSED:
            ana.bot.simulator.faults.fail(reason)
            grim = await ana.makes("a grim fox --loop --ar 16:9", JobState.FAILED)
            told = (await ana.reads(f"video service minded {minded}")).rpartition("✗ ")[2]
            shown = await ana.says(f"show {grim}")
            for each in (minded, change, again.format(grim), "Nothing was charged.", grim):
                assert each in told
                assert each in shown
            assert f"retry {grim}" not in told
        kind = await ana.asks(f"remix {grim} a kind fox")
        shown = await ana.says(f"show {kind}")
        assert "“a kind fox”" in shown
        assert "16:9 · loop" in shown

        # Our own list says no before there is anything to charge.
        await ana.says("admin words add word clown")
        told = await ana.says("a CL0WN in snow --loop")
        assert "Something in your words is not allowed here." in told
        assert "Nothing was charged." in told
        clown = told.partition("To ask again: remix ")[2].split()[0]
        mild = await ana.asks(f"remix {clown} a mild fox")
        assert "1:1 · loop" in await ana.says(f"show {mild}")


async def test_who_confirms_it_is_forgotten_but_for_the_sums(
    sit: Sit, tmp_path: Path, clock: MovableClock
) -> None:
    clock.set_to_noon()
    folder, image = tmp_path / "clips", tmp_path / "my-face.png"
    image.write_bytes(png())
    async with sit("ben") as ben:
        boat = await ben.makes("a blue boat")
    async with sit("ana") as ana:
        await ana.says("settings ar=9:16")
        fox = await ana.makes(f"my red house --start {image}")
        await ana.says(f"star {boat}")
        asked = await ana.says("forget me")
        assert "1 clip with its copies, 1 own setting, 1 star" in asked
        assert "type: forget me yes" in asked
        assert "my red house" in await ana.says("jobs")
        begun = await ana.says("/ray forget me yes")
        assert "being removed" in begun
        for stays in ("video service keeps", "backups", "sums of money", "audit log"):
            assert stays in begun
        await forgotten(ana.bot)

        assert "Nothing of yours is kept here" in await ana.says("forget me")
        assert "my red house" not in await ana.says(f"show {fox}")
        assert "No jobs here" in await ana.says("jobs")
        assert "9:16  " not in await ana.says("settings")
        left = [path.name for path in folder.iterdir()]
        assert [name for name in left if "blue-boat" in name]
        assert "my-red-house" not in " ".join(left) + (folder / ".transcript.jsonl").read_text()
        assert "my-face" not in await rows(ana.bot)
        job, made = await ana.bot.job(fox), ana.bot.simulator.generations.values()
        assert {each.id for each in made if each.is_deleted} == {job.generation_id}
        assert f"your budget per day: {money(job.cost)} of" in await ana.says("usage")
        assert "forget" in await ana.says("admin audit")
        # What is asked for from now on is new.
        await ana.makes("a green hill")
        assert "a green hill" in await ana.says("jobs")
