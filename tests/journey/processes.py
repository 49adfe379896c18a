"""The bot in a process of its own: how it is ended in order, and what its log must not tell."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.forked import Forked, forked

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Log:
    """What the bot logged in all its lives, at its most talkative and in both formats in turn.

    `hidden` is what no line may show: secrets, and words of people.
    """

    path: Path
    hidden: set[str] = field(default_factory=set)
    lives: int = 0

    @contextmanager
    def life(
        self, words: Sequence[str], env: Mapping[str, str], *, may_fail: bool = False
    ) -> Iterator[Forked]:
        """Run it while the block runs, unless it is killed before; its log is read at the end."""
        fmt = ("json", "text")[self.lives % 2]
        self.lives += 1
        talk = {"RAYBOT_BOT__LOG_LEVEL": "debug", "RAYBOT_BOT__LOG_FORMAT": fmt}
        settings = {**os.environ, **talk, **env}
        with forked(*words, cwd=ROOT, env=settings, err=self.path) as process:
            try:
                yield process
            finally:
                process.kill()
        self.check(() if may_fail else ("Traceback", "Unclosed"))

    def check(self, faults: Collection[str] = ()) -> None:
        """Nothing that is hidden is in it, nor one of these words."""
        said = self.text
        found = [each for each in {*self.hidden, *faults} if each in said]
        assert found == [], "\n".join(
            line for line in said.splitlines() if any(each in line for each in found)
        )

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")


async def stop(process: Forked) -> None:
    """End it as a service manager does."""
    process.send_signal(signal.SIGTERM)
    await end(process, seconds=30)


async def begin_to_stop(process: Forked) -> None:
    """The same, but come back once it has heard of it: it catches the signal only once."""
    process.send_signal(signal.SIGTERM)
    status = Path(f"/proc/{process.pid}/status")
    async with asyncio.timeout(30):
        while _catches(status.read_text(), signal.SIGTERM):
            await asyncio.sleep(0.01)


def _catches(status: str, number: int) -> bool:
    [caught] = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


async def end(process: Forked, *, seconds: float) -> None:
    """Let it end in order within so many seconds."""
    await asyncio.wait_for(process.wait(), seconds)
    assert process.returncode == 0
