"""What the operator reads and decides at the terminal, on the true program."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from adapters.login import whoami
from adapters.own_place import AdminAct, read_admin
from adapters.terminal import parse
from adapters.terminal.listener import Terminal
from adapters.terminal.render import PlainScreen
from adapters.terminal.sources import Listed
from bot.simulator import Simulator
from bot.studio import Studio
from tests.adapters.web.visitor import pages_in
from tests.conftest import running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter

ME = whoami(parse.NAME).user
SAYS = {
    "admin words add word clown": "Blocked words: clown. Patterns: none.",
    "a CL0WN in snow": "not allowed here",
    "/ray admin words remove word clown": "Blocked words: none.",
    "admin words remove word clown": "not on the list",
    "admin limit clips_per_person_per_day 0": "Set here: clips_per_person_per_day 0.",
    "a stoat": "used 0 of 0 clips per day",
    "admin limits": "Limits here",
    "admin limit": "Names of limits",
    "admin rule remix own": "Decided here: remix own.",
    "admin rules": "Rules here",
    "admin defaults ar=9:16": "Defaults here: aspect_ratio 9:16.",
    "admin pause Back at noon.": "Paused",
    "a fox": "Back at noon.",
    "admin resume": "takes requests here again",
    "admin rule rules Be kind.": "rules Be kind.",
    "a wolf": "a script accepts them only with --yes",
    "admin usage today": "Usage",
    "admin usage week": "Usage",
    "admin usage tomorrow": "today, week, month or year",
    "admin queue": "Nothing waits",
    "admin audit": "limits",
    "admin": "admin with one of",
    "admin help": "admin with one of",
    "admin channel": "admin with one of",
    "admin digest": "digest on, or",
    "admin digest on": "comes here",
    "admin block ben 3 spam": "ben can ask for nothing more, for 3 days. What waits of theirs is",
    "admin block ben 1": "ben can ask for nothing more, for a day.",
    "admin unblock ben": "ben can ask again",
    f"admin block {ME}": f"{ME} can ask for nothing more",
    "a badger": "You cannot use Raybot here",
    f"admin unblock {ME}": f"{ME} can ask again",
    "admin grant ben 5": "ben can spend $5.00 more",
    "admin forget ben": "Nothing of ben is kept",
    "admin rule": "You can set remix",
    "settings animate_mine=nobody": "nobody",
    "admin desk": "/desk/enter?key=",
}


class Lines(Listed):
    """Tells when everything was read, and so answered."""

    def __init__(self) -> None:
        super().__init__(list(SAYS))
        self.is_over = asyncio.Event()

    async def read(self, number: Callable[[], str]) -> str | None:
        line = await super().read(number)
        if line is None:
            self.is_over.set()
        return line


async def test_the_operator_runs_the_own_place_by_typing(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    shown, lines = io.StringIO(), Lines()
    screen = PlainScreen(Console(file=shown, width=200), clock=clock)
    clock.set_to_noon()

    def create(studio: Studio) -> Terminal:
        return Terminal(
            studio, folder=tmp_path, screen=screen, source=lines, clock=clock, assume_yes=False
        )

    config = to_test_config(tmp_path, simulator)
    pages = pages_in(tmp_path, clock)
    async with running(config, simulator, chat, clock, terminal=create, web=pages) as bot:
        await asyncio.wait_for(lines.is_over.wait(), 30)
        await bot.check_books()
    said = shown.getvalue()
    for line, words in SAYS.items():
        assert words in said.partition(line)[2], line
    today = clock.now()
    for line, first in {"today": today, "week": today - timedelta(days=6)}.items():
        shown_of = said.partition(f"admin usage {line}\n")[2].partition("admin usage")[0]
        assert f"From {first.day} {first:%b} 00:00 UTC to {today.day} {today:%b} " in shown_of
    assert simulator.generations == {}


@pytest.mark.parametrize("text", ["admin in snow", "administer", "an admin audit"])
def test_an_admin_can_be_in_a_clip(text: str) -> None:
    assert read_admin(text) is None
    assert not isinstance(parse.read_line(text).typed, AdminAct)
