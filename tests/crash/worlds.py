"""What outlives the bot: a video service, a chat with a person in it, and a disk."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from bot.simulator import Simulator
from tests.conftest import to_test_config
from tests.crash.books import Book, Kind
from tests.crash.life import LOOK_SECONDS, PATIENCE_SECONDS, Orders, live
from tests.crash.points import Where
from tests.crash.stories import TEXT, Story
from tests.ports import free_port
from tests.secrecy import found_in

#: What the bot speaks with; "naive" is another bot, in front of Discord.
Chat = Literal["discord", "slack", "naive"]
GUILD = 4242
#: A restart comes so much later: whatever was in doubt has had its time to show.
LATER_SECONDS = 130
ASK_AGAIN_SECONDS = 10
#: What is said of a job that failed and cost nothing.
UNCHARGED = "Nothing was charged."
FORGOTTEN = "what was acknowledged was not written down"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """How one story with a kill in it ended: where it was killed, and what is wrong since.

    `is_early`: a life ended by itself before it came to its point, and left something wrong.
    """

    chat: str
    database: Kind
    story: str
    die_at: Where
    point: str
    wrong: tuple[str, ...]
    seconds: float
    is_early: bool = False


class World(ABC):
    """Everything around the bot; `ask` is Ana's command."""

    chat: Chat

    def __init__(self, folder: Path, luma: Simulator, books: Book, story: Story = TEXT) -> None:
        self.folder = folder
        self.luma = luma
        self.books = books
        self.story = story
        self.trouble: list[str] = []
        self._port = free_port() if story.is_called else 0

    @abstractmethod
    async def ask(self) -> None:
        """Ana asks for a clip; comes back soon, heard or not."""

    @abstractmethod
    def is_promised(self) -> bool:
        """Whether Ana was told that she was heard."""

    async def confirm(self) -> bool:
        """Ana agrees to the price wherever she is asked; False where she is not."""
        return False

    @abstractmethod
    async def connected(self) -> None:
        """Wait until the bot hears what is said."""

    @abstractmethod
    def clips(self) -> int:
        """How many clips everybody sees."""

    @abstractmethod
    def words(self) -> list[str]:
        """What each message of the bot says that everybody sees, clips included."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The adapter's settings, which lead here and nowhere else."""

    def access(self) -> dict[str, Any]:
        return {"servers": [str(GUILD)]}

    def orders(self, *, life: int = 0, die_at: Where = 0) -> Orders:
        """A life of the bot in this world; how many it had before."""
        later = LATER_SECONDS * (life if self.books.kind == "postgresql" else min(life, 1))
        self.books.be_later(later)
        is_shared = self.books.kind == "postgresql"
        bot: dict[str, Any] = {}
        if is_shared:
            bot |= {"database_url": self.books.url, "single_host": True}
        if self.story.is_called:
            bot |= {"public_port": self._port, "public_url": f"http://127.0.0.1:{self._port}"}
        config = to_test_config(
            self.folder, self.luma, access=self.access(), bot=bot, limits=self.story.limits
        )
        return Orders(
            folder=str(self.folder),
            tables=dict(config.tables),
            chat=self.chat,
            settings=self.settings(),
            die_at=die_at,
            later=later,
            hurries=life > 0 and self.books.can_hurry,
            told=str(self._told) if self.story.fails else "",
        )

    @property
    def _told(self) -> Path:
        return self.folder / "told"

    async def live(self, processes: ForkServerContext, orders: Orders) -> int | None:
        """One life, in which Ana asks unless the bot has heard her; minus nine: it was killed."""
        async with self.begun(processes, orders) as child:
            await asyncio.to_thread(child.join, PATIENCE_SECONDS + 10)
            # None where it hangs, and only then it is killed from here.
            return child.exitcode

    @asynccontextmanager
    async def begun(
        self, processes: ForkServerContext, orders: Orders
    ) -> AsyncIterator[ForkServerProcess]:
        """A life that is ended with the block, if it is not over by then."""
        child = processes.Process(target=live, args=(orders,))
        child.start()
        acts = (self._ask_until_heard(), self._confirm_when_asked(), self._note_when_told())
        acting = [asyncio.create_task(each) for each in acts]
        try:
            yield child
        finally:
            for each in acting:
                each.cancel()
            if child.is_alive():
                child.kill()
            ended = await asyncio.gather(*acting, return_exceptions=True)
            self.trouble += [repr(each) for each in ended if isinstance(each, Exception)]

    async def _ask_until_heard(self) -> None:
        """Who is not heard, because the bot was just dying, asks again after a while.

        Whoever was told to be heard need not: that it was forgotten stays wrong.
        """
        while True:
            await self.connected()
            # In this order: it is written down before anybody is told.
            is_promised = self.is_promised()
            if self._is_heard():
                return
            if is_promised:
                self.trouble.append(FORGOTTEN)
            await self.ask()
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _confirm_when_asked(self) -> None:
        while self.story.has_image:
            await self.connected()
            await asyncio.sleep(ASK_AGAIN_SECONDS if await self.confirm() else LOOK_SECONDS)

    async def _note_when_told(self) -> None:
        """Let a life end once Ana knows that her clip failed."""
        while self.story.fails and not any(UNCHARGED in each for each in self.words()):
            await asyncio.sleep(LOOK_SECONDS)
        self._told.touch()

    def _is_heard(self) -> bool:
        asked = "SELECT 1 FROM jobs UNION SELECT 1 FROM inbox WHERE done_at IS NULL"
        return bool(self.books.read(asked))

    def wrong(self, *, kills: int = 1) -> list[str]:
        """What is not as it was promised; nothing, if all is well.

        What was in doubt twice is not sent a third time: the operator is asked.
        """
        if kills > 1 and self.books.read("SELECT state FROM jobs") == [("uncertain",)]:
            found = self.wrong_outside(count=0) + self._broken_books()
        else:
            count = 0 if self.story.fails else 1
            found = self.wrong_outside(count=count) + self._wrong_in_the_books()
        return self.trouble + found + self._told_in_the_log()

    def wrong_outside(self, *, count: int = 1) -> list[str]:
        """What Luma and the people in the chat could tell: so many generations, and clips."""
        paid = [each for each in self.luma.generations.values() if each.state != "failed"]
        found = [
            f"{found} {what}"
            for what, found in (("generations", len(paid)), ("clips", self.clips()))
            if found != count
        ]
        if len(self.words()) > 2:
            found.append(f"{len(self.words())} messages")
        return found

    def _wrong_in_the_books(self) -> list[str]:
        found = []
        rows = self.books.read("SELECT state, cost > 0 FROM jobs")
        if rows != [("failed", 0) if self.story.fails else ("delivered", 1)]:
            found.append(f"jobs: {rows}")
        return found + self._broken_books()

    def _told_in_the_log(self) -> list[str]:
        """What the log of any life shows that none may."""
        told = found_in((self.folder / "bot.log").read_text("utf-8"))
        return [f"{len(told)} lines of the log tell secrets or words"] if told else []

    def _broken_books(self) -> list[str]:
        broken = self.books.broken_invariants()
        return [f"books: {broken}"] if broken else []

    @property
    def passed(self) -> list[str]:
        """The points that the last life passed that wrote them down."""
        names: list[str] = json.loads((self.folder / "points.json").read_text())
        return names


async def tell(place: World, processes: ForkServerContext, *points: Where) -> Fate | None:
    """A story with a kill at each of these points, one a life; None where a life ended before.

    A life that ends in any other way is wrong, whatever the next one makes good.
    """
    began = time.monotonic()
    died, wrong, is_early = list[str](), list[str](), False
    for life, die_at in enumerate((*points, 0)):
        code = await place.live(processes, place.orders(life=life, die_at=die_at))
        if is_early := code == 0 and die_at != 0:
            break
        if code == -signal.SIGKILL and die_at != 0:
            died.append(place.passed[-1])
        elif code != 0:
            wrong.append(f"life {life + 1}: exit {code}")
    wrong += place.wrong(kills=len(died))
    if is_early and not wrong:
        return None
    return Fate(
        chat=place.chat,
        database=place.books.kind,
        story=place.story.name,
        die_at=points[0],
        point=" · ".join(died),
        wrong=tuple(wrong),
        seconds=time.monotonic() - began,
        is_early=is_early,
    )
