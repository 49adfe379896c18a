"""The usage of a place by day as a picture, for those who run it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bot.codec import Codec
from bot.errors import StoreError
from bot.log import get_logger
from bot.overview import UsageRow
from bot.refs import money
from bot.words import day_words, days_between

log = get_logger(__name__)
#: Maximum of steps on an axis, each 1, 2 or 5 times a power of ten.
MOST_STEPS = 4
MONEY, CLIPS = "#2f6f4f", "#3b5bdb"
CENT = 10_000


class Charts:
    """Draws in a child process; the list of fonts that this needs is kept in a folder."""

    def __init__(self, codec: Codec, folder: Path) -> None:
        self._codec = codec
        self._folder = folder

    async def draw(self, days: Sequence[UsageRow]) -> bytes | None:
        """A PNG of days by their dates, earliest first; None where nothing here can draw it.

        Raises `StoreError` where the folder cannot be used.
        """
        if find_spec("matplotlib") is None or not days:
            return None
        try:
            return await self._draw(days)
        except OSError as error:
            raise StoreError(
                f"No chart can be drawn in {self._folder}: {error.strerror}."
            ) from error

    async def try_to_draw(self, days: Sequence[UsageRow]) -> bytes | None:
        """The same for a page that does without it."""
        try:
            return await self.draw(days)
        except StoreError as error:
            log.warning("chart.not_drawn", cause=error.sentence)
            return None

    async def _draw(self, days: Sequence[UsageRow]) -> bytes | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        dates = [date.fromisoformat(each.label) for each in days]
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            target = Path(folder) / "usage.png"
            is_drawn = await self._codec.draw_usage(
                target,
                cache=self._folder,
                title=f"Usage by day, {days_between(dates[0], dates[-1])}",
                days=list(map(day_words, dates)),
                panels=panels_of(days),
            )
            return await asyncio.to_thread(target.read_bytes) if is_drawn else None


def panels_of(days: Sequence[UsageRow]) -> list[dict[str, Any]]:
    """What was charged on each day, and the clips that were delivered."""
    charged, clips = [each.charged for each in days], [each.delivered for each in days]
    return [
        _panel(f"Charged: {money(sum(charged))}", MONEY, charged, CENT, money),
        _panel(f"Clips delivered: {sum(clips):,}", CLIPS, clips, 1, "{:,}".format),
    ]


def _panel(
    title: str, colour: str, values: Sequence[int], least: int, words: Callable[[int], str]
) -> dict[str, Any]:
    ticks = ticks_to(max(values), least)
    axis = {"ticks": ticks, "labels": [words(each) for each in ticks], "top": ticks[-1]}
    return {"title": title, "colour": colour, "values": list(values), **axis}


def ticks_to(most: int, least: int) -> list[int]:
    """Round values from zero to the first that is not below `most`; steps are `least` or more."""
    step, at = least, 0
    while step * MOST_STEPS < most:
        at += 1
        step = least * (1, 2, 5)[at % 3] * 10 ** (at // 3)
    return list(range(0, max(most, 1) + step, step))
