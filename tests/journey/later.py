"""`python -m tests.journey.later SECONDS CONFIG`: the true bot in its chat, so many seconds later.

What it waits for at a start has passed then, as it has after a night; nothing else is changed.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import sys
from pathlib import Path

from bot.app import App
from bot.config import load_config
from bot.log import setup_logging
from tests.fakes import MovableClock


async def run(seconds: float, path: Path) -> None:
    """As `raybot run` does, until SIGTERM."""
    config = load_config(path)
    setup_logging(config.bot.log_level, fmt=config.bot.log_format)
    [name] = config.adapters
    adapter = importlib.import_module(f"adapters.{name}")
    settings = config.load_table(adapter.Settings, f"adapters.{name}")
    clock, stop = MovableClock(), asyncio.Event()
    clock.move(seconds=seconds)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with App(
        config, {name: lambda studio: adapter.create(settings, studio, clock=clock)}, clock=clock
    ) as app:
        await app.run(stop)


if __name__ == "__main__":
    asyncio.run(run(float(sys.argv[1]), Path(sys.argv[2])))
