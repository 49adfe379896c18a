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
from bot.simulator import Simulator
from bot.wiring.startup import secret_key
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.faults.outages import (
    MOST_OF_A_CORE,
    finish_all,
    hurry,
    pass_time,
    readiness,
    spin,
    until,
)

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


def as_root(*command: str | Path) -> None:
    """Run it, or skip the test where that is for root alone."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"Only root can mount a disk of its own: {getattr(error, 'stderr', error)}")


@pytest.fixture(params=["takes nothing", "is full"])
def breaks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breaks]:
    """How the disk of the bot's folder breaks."""
    if request.param == "takes nothing":
        yield takes_nothing
        return
    folder = tmp_path / "data"
    folder.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "size=12m", "raybot-test", folder)

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


async def nothing_is_taken(bot: RunningBot, why: str) -> None:
    """Whoever asks reads why, and so does who looks at `/readyz`."""
    told = []
    for number in range(20):
        await pass_time(bot, seconds=10, step=5)
        try:
            await bot.submit(f"{number} foxes", key=f"late {number}")
        except StoreError as error:
            told.append(error.sentence)
    assert told
    assert all(re.search(why, each) for each in told)
    status, said = await readiness(bot)
    assert (status, said["ready"]) == (503, False)
    assert re.search(why, said["problems"]["database"])
    assert await spin() < MOST_OF_A_CORE


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
        await nothing_is_taken(bot, "full|I/O")
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


# ---- a disk that the kernel has made read-only -------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk under the bot's folder; this is its image."""
    image, folder = tmp_path / "disk", tmp_path / "data"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(48 << 20)
    as_root("mkfs.ext4", "-q", "-F", image)
    as_root("mount", "-o", "loop", image, folder)
    yield image
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount_anew(disk: Path, folder: Path) -> None:
    """As its operator would, once it is checked."""
    subprocess.run(["umount", folder], check=True)
    # 1: it was not in order, and is now.
    checked = subprocess.run(["fsck.ext4", "-fy", disk], check=False, capture_output=True)
    assert checked.returncode <= 1
    subprocess.run(["mount", "-o", "loop", disk, folder], check=True)


async def test_a_disk_that_went_read_only_loses_nothing(
    disk: Path, tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    """As after an error: the kernel lets nobody write there again before it was mounted anew."""
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, chat, clock) as bot:
        # Tests copy the empty database there; what is written to it the bot has to sync itself.
        as_root("sync", "-f", tmp_path / "data")
        job_id = await bot.ask()
        await bot.until(job_id, JobState.GENERATING)
        as_root("mount", "-o", "remount,abort", tmp_path / "data")
        await finish_all(simulator)
        await nothing_is_taken(bot, "I/O")
    mount_anew(disk, tmp_path / "data")
    async with running(config, simulator, chat, clock) as bot:
        await until(bot, job_id, JobState.DELIVERED)
        after = await bot.ask("a last fox", key="last")
        await until(bot, after, JobState.GENERATING)
        await finish_all(simulator)
        await until(bot, after, JobState.DELIVERED)
        assert len(chat.clips()) == len(simulator.generations) == 2
        await bot.check_books()


# ---- the start ---------------------------------------------------------------------------------


def test_a_folder_that_takes_nothing_is_named_at_the_start(tmp_path: Path) -> None:
    config = to_config({"bot": {"data_dir": str(tmp_path)}})
    with takes_nothing(), pytest.raises(ConfigError, match=r"data_dir: .* cannot be used"):
        secret_key(config)
    assert len(secret_key(config)) > 40


def test_a_folder_on_a_read_only_disk_is_named_at_the_start(tmp_path: Path) -> None:
    config = to_config({"bot": {"data_dir": str(tmp_path / "data")}})
    (tmp_path / "data").mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "size=1m,ro", "raybot-test", tmp_path / "data")
    try:
        with pytest.raises(ConfigError, match=r"data_dir: .* cannot be used: Read-only"):
            secret_key(config)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "data")], check=True)
    assert len(secret_key(config)) > 40
