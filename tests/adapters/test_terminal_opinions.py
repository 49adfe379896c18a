"""Stars, letters, reports, reviews and consent at the terminal, on the true program."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adapters.opinions import Opinion
from adapters.terminal import parse
from adapters.terminal.listener import Terminal
from adapters.terminal.render import PlainScreen
from bot.errors import InvalidRequest
from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Simulator
from bot.studio import Studio
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, until


class Typing:
    """Lines as they are typed one after the other, each once the one before was answered.

    To what is asked at the prompt the answer is yes.
    """

    has_person = False

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self.is_idle = asyncio.Event()
        self.asked: list[str] = []

    async def read(self, number: Callable[[], str]) -> str:
        del number
        self.is_idle.set()
        return await self._lines.get()

    async def ask(self, question: str) -> bool:
        self.asked.append(question)
        return True

    def forget(self) -> None:
        pass

    async def type(self, line: str) -> None:
        self.is_idle.clear()
        self._lines.put_nowait(line)
        await asyncio.wait_for(self.is_idle.wait(), 30)


class Sitting:
    """Somebody at the terminal, and what they read."""

    def __init__(self, bot: RunningBot, typing: Typing, shown: io.StringIO) -> None:
        self.bot, self._typing, self._shown = bot, typing, shown
        self.asked = typing.asked

    async def says(self, line: str) -> str:
        """Type a line; what is answered at once."""
        before = len(self._shown.getvalue())
        await self._typing.type(line)
        return self._shown.getvalue()[before:]

    async def reads(self, words: str, *, times: int = 1) -> str:
        """Wait for words to be shown, so often in all."""
        await until(lambda: self._shown.getvalue().count(words) >= times)
        return self._shown.getvalue()

    async def asks(self, line: str) -> JobId:
        """Ask for a clip; its job."""
        told = self._shown.getvalue()
        answer = await self.says(line)
        # News of earlier ones may come in between.
        [named, *_] = [each for each in re.findall(r"job (r-\w+)", answer) if each not in told]
        return JobId(named)

    async def makes(self, line: str, state: JobState = JobState.DELIVERED) -> JobId:
        """Ask for a clip and wait until it stands so."""
        job_id = await self.asks(line)
        made = await self.bot.until(job_id, JobState.GENERATING)
        assert made.generation_id is not None
        await self.bot.simulator.finish(made.generation_id)
        await self.bot.until(job_id, state)
        return job_id


Sit = Callable[..., AbstractAsyncContextManager[Sitting]]


@pytest.fixture
def sit(
    tmp_path: Path,
    simulator: Simulator,
    chat: RecordingAdapter,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
) -> Sit:
    @asynccontextmanager
    async def at_the_terminal(name: str, **tables: Any) -> AsyncIterator[Sitting]:
        monkeypatch.setenv("LOGNAME", name)
        shown, typing = io.StringIO(), Typing()
        screen = PlainScreen(Console(file=shown, width=300), clock=clock)

        def create(studio: Studio) -> Terminal:
            return Terminal(
                studio,
                folder=tmp_path / "clips",
                screen=screen,
                source=typing,
                clock=clock,
                assume_yes=False,
            )

        config = to_test_config(tmp_path, simulator, **tables)
        async with running(config, simulator, chat, clock, terminal=create) as bot:
            await asyncio.wait_for(typing.is_idle.wait(), 30)
            yield Sitting(bot, typing, shown)
            await bot.check_books()

    return at_the_terminal


async def test_one_person_alone_reports_mails_and_moderates(sit: Sit, tmp_path: Path) -> None:
    async with sit("ana") as ana:
        assert "star, unstar or mail r-" in await ana.says("help")
        fox = await ana.makes("a red fox")
        await ana.reads(".mp4")
        assert "your own clip" in await ana.says(f"star {fox}")
        assert "Here is your copy." in await ana.says(f"/ray mail {fox}")
        assert f"show {fox}" in await ana.says(f"mail {fox}")
        assert f"keep {fox}, remove {fox}, or block {fox}" in await ana.says(
            f"report {fox} too scary"
        )
        assert "Reason: too scary" in await ana.reads("was reported")
        assert "The clip stays." in await ana.says(f"keep {fox}")
        assert "decided already" in await ana.says(f"remove {fox}")
        assert "looked at it already" not in await ana.says(f"report {fox}")
        assert "There is no job" in await ana.says("star r-0nobody123")

        assert "review before_post" in await ana.says("admin rule review before_post")
        wolf = await ana.makes("a grey wolf", JobState.REVIEWING)
        assert f"post {wolf}, or reject {wolf}" in await ana.reads("waits for a moderator")
        await ana.says("wait")  # Until somebody decides there is nothing to wait for.
        [clip] = (tmp_path / "clips").glob("*grey-wolf*.mp4")
        assert "Rejected" in await ana.says(f"reject {wolf} too dark")
        await ana.reads("They say: “too dark”")
        await until(lambda: not clip.exists())
        hare = await ana.makes("a brown hare", JobState.REVIEWING)
        await ana.reads("Waiting for a moderator", times=2)
        assert "Approved" in await ana.says(f"post {hare}")
        await ana.says("wait")
        assert list((tmp_path / "clips").glob("*brown-hare*.mp4"))
        assert "of ana: too dark" in await ana.says("admin audit")


async def test_people_who_take_turns_star_and_ask_each_other(sit: Sit) -> None:
    async with sit("ana") as ana:
        for rule in ("gallery_channel wall", "gallery_stars 1", "animate_others ask"):
            await ana.says(f"admin rule {rule}")
        await ana.says("admin rule rules Be kind.")
        fox = await ana.makes("a red fox --still")
        await ana.reads("Please read the rules of this place")
        assert ana.asked == ["Accept them? [y/N] "]
        await ana.says("admin rule rules")
    async with sit("ben") as ben:
        assert "Starred." in await ben.says(f"star {fox}")
        await ben.reads("★ 1")
        assert "taken back" in await ben.says(f"unstar {fox}")
        asked = await ben.asks(f"it sleeps --start {fox}")
        await ben.reads(f"ana can answer here: allow {asked}, or deny {asked}")
        assert "Only whoever is asked" in await ben.says(f"allow {asked}")
        await ben.says("wait")
    async with sit("ana") as ana:
        await ana.says(f"allow {asked}")
        await ana.bot.until(asked, JobState.GENERATING)
        assert "comes here" in await ana.says("admin digest on")
        ana.bot.clock.move(days=7)
        await ana.reads("The week with Raybot")


@pytest.mark.parametrize(
    "text", ["report r-rated films", "a star", "post r-abcd today", "block the road", "keep calm"]
)
def test_what_is_no_act_makes_a_clip(text: str) -> None:
    assert not isinstance(parse.read_line(text).typed, Opinion)


@pytest.mark.parametrize("text", ["star", "Mail", "/ray report", "reject"])
def test_an_act_without_its_job_makes_no_clip(text: str) -> None:
    with pytest.raises(InvalidRequest, match="needs a job's id"):
        parse.read_line(text)
