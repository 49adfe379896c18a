"""A disk that is full, and one that takes nothing any more, as after it was mounted read-only."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bot.config import to_config
from bot.errors import ConfigError, StoreError
from bot.job import JobState
from bot.wiring.startup import secret_key
from tests.conftest import RunningBot
from tests.faults.outages import finish_all, hurry, pass_time, readiness, spin, until

Breaks = Callable[[], AbstractContextManager[None]]


@contextmanager
def takes_nothing() -> Iterator[None]:
    """Every write to a file fails while the block runs; what is there can be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(params=["takes nothing", "is full"])
def breaks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breaks]:
    """How the disk of the bot's folder breaks."""
    if request.param == "takes nothing":
        yield takes_nothing
        return
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "raybot-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Only root can mount a small disk: {getattr(error, 'stderr', error)}")

    @contextmanager
    def fill() -> Iterator[None]:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield
        ballast.unlink()

    yield fill
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_disk_that_breaks_loses_nothing(
    breaks: Breaks, start_bot: Callable[..., Any]
) -> None:
    bot: RunningBot = await start_bot()
    # The simulator has drawn its clip then, since it shares our limits.
    first = await bot.ask("a first fox")
    await bot.simulator.wait_for_creates(1)
    await finish_all(bot.simulator)
    await bot.delivered(first)
    running = await bot.ask("one fox")
    await bot.simulator.wait_for_creates(2)
    await bot.until(running, JobState.GENERATING)
    with breaks():
        await finish_all(bot.simulator)
        told = []
        for number in range(20):
            await pass_time(bot, seconds=10, step=5)
            try:
                await bot.submit(f"{number} foxes", key=f"late {number}")
            except StoreError as error:
                told.append(error.sentence)
        assert told
        assert all(re.search("full|I/O", each) for each in told)
        status, said = await readiness(bot)
        assert (status, said["ready"]) == (503, False)
        assert re.search("full|I/O", said["problems"]["database"])
        assert await spin() < 0.5
    assert (await readiness(bot))[0] == 200
    await hurry(bot, lambda: bot.chat.clips(running))
    await bot.delivered(running)
    after = await bot.ask("a last fox")
    await until(bot, after, JobState.GENERATING)
    await finish_all(bot.simulator)
    await until(bot, after, JobState.DELIVERED)
    assert len(bot.chat.clips()) == len(bot.simulator.generations)
    assert len(bot.chat.clips(running)) == len(bot.chat.clips(after)) == 1
    await bot.check_books()


def test_a_folder_that_takes_nothing_is_named_at_the_start(tmp_path: Path) -> None:
    config = to_config({"bot": {"data_dir": str(tmp_path)}})
    with takes_nothing(), pytest.raises(ConfigError, match=r"data_dir: .* cannot be used"):
        secret_key(config)
    assert len(secret_key(config)) > 40
