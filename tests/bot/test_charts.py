"""Charts: what stands on them, and that a true one is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot import charts
from bot.charts import panels_of, ticks_to
from bot.cli import commands
from bot.cli.pages import Period
from bot.errors import InvalidRequest, StoreError
from bot.overview import UsageRow
from bot.refs import Micros
from bot.words import days_between


def days(clips: Sequence[int], cents: int = 14) -> list[UsageRow]:
    """So many clips on each day, from the 28th of October."""
    return [
        UsageRow(
            label=(date(2026, 10, 28) + timedelta(days=at)).isoformat(),
            asked=count,
            delivered=count,
            refused=0,
            failed=0,
            seconds=5.0 * count,
            charged=Micros(count * cents * 10_000),
        )
        for at, count in enumerate(clips)
    ]


@pytest.mark.parametrize(
    ("most", "least", "ticks"),
    [
        (0, 1, [0, 1]),
        (1, 1, [0, 1]),
        (3, 1, [0, 1, 2, 3]),
        (5, 1, [0, 2, 4, 6]),
        (40, 1, [0, 10, 20, 30, 40]),
        (41, 1, [0, 20, 40, 60]),
        (9_000, 10_000, [0, 10_000]),
        (420_000, 10_000, [0, 200_000, 400_000, 600_000]),
    ],
)
def test_an_axis_has_few_round_values(most: int, least: int, ticks: list[int]) -> None:
    assert ticks_to(most, least) == ticks


def test_money_and_counts_are_written_as_everywhere() -> None:
    charged, clips = panels_of(days([1_000, 2_500]))
    assert charged["title"] == "Charged: $490.00"
    assert charged["labels"] == ["$0.00", "$100.00", "$200.00", "$300.00", "$400.00"]
    assert clips["title"] == "Clips delivered: 3,500"
    assert clips["labels"] == ["0", "1,000", "2,000", "3,000"]
    assert clips["values"] == [1_000, 2_500]
    assert clips["top"] == clips["ticks"][-1]


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-11-05", "2026-11-05", "5 Nov 2026"),
        ("2026-10-28", "2026-11-27", "28 Oct to 27 Nov 2026"),
        ("2025-11-28", "2026-11-28", "28 Nov 2025 to 28 Nov 2026"),
    ],
)
def test_days_are_named_with_their_year(first: str, last: str, words: str) -> None:
    assert days_between(date.fromisoformat(first), date.fromisoformat(last)) == words


async def test_a_command_draws_the_days_into_a_file(
    start_bot: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `charts` is not installed")
    bot, target = await start_bot(), tmp_path / "days.png"
    await commands.usage(bot.config, Period(days=31), "day", "csv", target)
    picture = Image.open(io.BytesIO(target.read_bytes()))
    assert (picture.format, picture.size) == ("PNG", (990, 594))
    left = [each.name for each in (bot.config.bot.data_dir / "charts").iterdir()]
    assert all(each.startswith("fontlist") for each in left), "nothing else stays"


async def test_a_folder_that_cannot_be_written_is_told_and_a_page_does_without_it(
    start_bot: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `charts` is not installed")
    bot, target = await start_bot(), tmp_path / "days.png"
    folder = bot.config.bot.data_dir / "charts"
    folder.touch()
    with pytest.raises(StoreError) as refused:
        await commands.usage(bot.config, Period(days=31), "day", "csv", target)
    assert refused.value.sentence == f"No chart can be drawn in {folder}: File exists."
    assert not target.exists()
    used = await bot.studio.admin.usage_of_days("recording:local", 3)
    assert (used.chart, len(used.days)) == (None, 3)


async def test_without_what_draws_it_is_said_how_to_get_it(
    start_bot: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "find_spec", lambda _: None)
    bot = await start_bot()
    with pytest.raises(InvalidRequest, match=r"`make charts`.*for the image PACKAGES=charts"):
        await commands.usage(bot.config, Period(days=31), "day", "csv", tmp_path / "days.png")
