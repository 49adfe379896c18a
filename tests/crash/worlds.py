"""What outlives the bot: a video service, a chat with people in it, and a disk."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Literal

from bot.notices import Verdict
from bot.refs import Micros
from bot.simulator import Generation, Simulator
from bot.words import charge_words
from tests.conftest import KEY, to_test_config
from tests.crash import doubts
from tests.crash.books import Book
from tests.crash.life import LOOK_SECONDS, PATIENCE_SECONDS, Orders, live
from tests.crash.points import Where
from tests.crash.stories import SAYS, TEXT, Story
from tests.ports import free_port
from tests.secrecy import found_in

#: What the bot speaks with; "naive" is another bot, in front of Discord.
Chat = Literal["discord", "slack", "naive"]
#: A restart comes so much later: whatever was in doubt has had its time to show.
LATER_SECONDS = 130
A_DAY_SECONDS = 86_400
ASK_AGAIN_SECONDS = 10
#: How long after a press, and between two looks into the books, which may be a server's.
PRESS_AGAIN_SECONDS, READ_SECONDS = 1.0, 0.1
#: So long somebody waits for a form that a press opens.
FORM_SECONDS = 2.0
#: What a clip's file is called, or that of a picture of it; one to be animated begins otherwise.
CLIPS, START = (".mp4", ".jpg"), "start."
#: How often another service is looked at.
QUICK = {"first_look_seconds": 0, "look_seconds": 0.05, "gets_per_second": 100}
#: What people press, and what they are told where that was done.
CONFIRM, CANCEL, POST, REJECT = "Confirm", "Cancel", "Post", "Reject"
CANCELLED, REJECTED = "Cancelled", "Rejected"
VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    "post": (POST, "Approved"),
    "reject": (REJECT, REJECTED),
}
#: What the books say of it.
RUNS = "SELECT 1 FROM jobs WHERE state = 'generating'"
IS_CANCELLED = "SELECT 1 FROM jobs WHERE cancel_requested"
IS_DECIDED = "SELECT 1 FROM audit_log WHERE act = 'review {}'"
ENDS = "SELECT state, cost > 0, seconds > 0 FROM jobs ORDER BY coalesce(shot, 0)"
FORGOTTEN = "what was acknowledged was not written down"
UNSEEN = "a clip was shown that no moderator had let go"


class World(ABC):
    """Everything around the bot; `ask` is Ana's command.

    Its `workspace` is the one place that is served, `moderators` their channel there.
    """

    chat: Chat
    workspace: str
    moderators: str

    def __init__(self, folder: Path, luma: Simulator, books: Book, story: Story = TEXT) -> None:
        self.folder = folder
        self.luma = luma
        self.books = books
        self.story = story
        self.trouble: list[str] = []
        #: The service that is asked where the first one takes nothing.
        self.another: Simulator | None = None
        #: Whether the operator has seen that there is nothing at the service, and says so.
        self.is_released = False
        self._port = free_port() if story.is_public else 0

    @abstractmethod
    async def ask(self) -> None:
        """Ana asks for a clip; comes back soon, heard or not."""

    @abstractmethod
    def is_promised(self) -> bool:
        """Whether Ana was told that she was heard."""

    @abstractmethod
    async def press(self, label: str) -> bool:
        """Whose button it is presses it wherever it is shown; False where it is not.

        A form that opens is sent as it is.
        """

    @abstractmethod
    def is_press_promised(self, said: str) -> bool:
        """Whether who pressed a button was told that it was heard; `said` that it was done."""

    @abstractmethod
    async def connected(self) -> None:
        """Wait until the bot hears what is said."""

    @abstractmethod
    def clips(self) -> int:
        """How many clips everybody sees."""

    @abstractmethod
    def words(self) -> list[str]:
        """What each message of the bot says to everybody, clips included, or to Ana directly."""

    @abstractmethod
    def words_for_moderators(self) -> list[str]:
        """What each message of the bot says in their channel."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The adapter's settings, which lead here and nowhere else."""

    @abstractmethod
    def access(self) -> dict[str, Any]:
        """That its place is served."""

    def orders(self, *, life: int = 0, die_at: Where = 0, more: int = 0) -> Orders:
        """A life of the bot in this world; how many it had before, and how much later it is."""
        later = LATER_SECONDS * (life if self.books.kind == "postgresql" else min(life, 1)) + more
        self.books.be_later(later)
        is_shared = self.books.kind == "postgresql"
        bot: dict[str, Any] = {}
        if is_shared:
            bot |= {"database_url": self.books.url, "single_host": True}
        if self.story.is_public:
            bot |= {"public_port": self._port, "public_url": f"http://127.0.0.1:{self._port}"}
        config = to_test_config(
            self.folder,
            self.luma,
            access=self.access(),
            bot=bot,
            limits=self.story.limits,
            **self._more_services(),
        )
        rules = {"moderators_channel": self.moderators, "review": "before_post"}
        return Orders(
            folder=str(self.folder),
            tables=dict(config.tables),
            chat=self.chat,
            settings=self.settings(),
            die_at=die_at,
            later=later,
            hurries=life > 0 and self.books.can_hurry,
            told=str(self._told) if self._has_last_words else "",
            workspace=self.workspace,
            rules=rules if self.story.verdict else {},
        )

    def _more_services(self) -> dict[str, dict[str, Any]]:
        if self.another is None:
            return {}
        table = {"api_key": KEY, "base_url": self.another.base_url, **QUICK}
        return {"defaults": {"providers": ["luma", "replicate"]}, "replicate": table}

    async def be_released(self, processes: ForkServerContext, *, lives: int) -> list[int | None]:
        """The operator decides beside no bot, then one lives to tell of it; how both lives ended.

        What becomes of a film that lacks a shot, Ana may say within a day.
        """
        decides = replace(self.orders(life=lives), releases=True)
        self.is_released = True
        self._told.unlink(missing_ok=True)
        codes = [await self.live(processes, decides)]
        orders = self.orders(life=lives, more=A_DAY_SECONDS if self.story.is_film else 0)
        return [*codes, await self.live(processes, orders)]

    @property
    def _has_last_words(self) -> bool:
        return self.story.has_last_words or self.is_released

    @property
    def _told(self) -> Path:
        return self.folder / "told"

    async def live(self, processes: ForkServerContext, orders: Orders) -> int | None:
        """One life, in which Ana asks unless the bot has heard her; minus nine: it was killed."""
        async with self.begun(processes, orders) as child:
            await wait_for_end(child, PATIENCE_SECONDS + 10)
            # None where it hangs, and only then it is killed from here.
            return child.exitcode

    @asynccontextmanager
    async def begun(
        self, processes: ForkServerContext, orders: Orders
    ) -> AsyncIterator[ForkServerProcess]:
        """A life that is ended with the block, if it is not over by then."""
        child = processes.Process(target=live, args=(orders,))
        child.start()
        acts = (
            self._ask_until_heard(),
            self._confirm_when_asked(),
            self._cancel_while_it_runs(),
            self._decide_when_asked(),
            self._note_when_told(),
        )
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

    # ---- what people do ----------------------------------------------------------------------

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

    def _is_heard(self) -> bool:
        asked = "SELECT 1 FROM jobs UNION SELECT 1 FROM inbox WHERE done_at IS NULL"
        return bool(self.books.read(asked))

    async def _confirm_when_asked(self) -> None:
        while self.story.has_image:
            await self.connected()
            is_asked = await self.press(CONFIRM)
            await asyncio.sleep(ASK_AGAIN_SECONDS if is_asked else LOOK_SECONDS)

    async def _cancel_while_it_runs(self) -> None:
        """Ana takes it back; the service lets it end only once that is written down."""
        if not self.story.is_cancelled:
            return
        await self.connected()
        while not self.books.read(RUNS):
            await asyncio.sleep(READ_SECONDS)
        await self._press_until_heard(CANCEL, CANCELLED, IS_CANCELLED)
        for each in tuple(self.luma.generations):
            await self.luma.finish(each)

    async def _decide_when_asked(self) -> None:
        if (verdict := self.story.verdict) is not None:
            await self._press_until_heard(*VERDICTS[verdict], IS_DECIDED.format(verdict))

    async def _press_until_heard(self, label: str, said: str, heard: str) -> None:
        """Whose button it is presses it until the books say so; `said` is what they are told.

        Who was told to be heard finds it written down, at least as what is still to be done.
        """
        asked = f"{heard} UNION SELECT 2 FROM inbox WHERE done_at IS NULL"
        while True:
            await self.connected()
            # In this order, as above; no clip is shown, either, before it is let go.
            is_promised, is_shown = self.is_press_promised(said), self.clips() > 0
            found = self.books.read(asked)
            if (1,) in found:
                return
            lost = {FORGOTTEN: is_promised and not found, UNSEEN: is_shown}
            self.trouble += [each for each, is_so in lost.items() if is_so]
            is_pressed = await self.press(label)
            await asyncio.sleep(PRESS_AGAIN_SECONDS if is_pressed else READ_SECONDS)

    async def _note_when_told(self) -> None:
        """Let a life end once those who wait for words have read them."""
        while self._has_last_words:
            await self.connected()
            if self._is_told():
                break
            await asyncio.sleep(READ_SECONDS)
        self._told.touch()

    def _is_told(self) -> bool:
        """Whether moderators read what was decided, and Ana what she paid where she has no clip.

        Of what is in doubt for good nobody is told more before the operator has decided.
        """
        if doubts.left(self.books):
            return not self.is_released
        if self.is_released:
            return self.clips() > 0 or doubts.is_told(self.words())
        verdict, asked = self.story.verdict, self.words_for_moderators()
        if verdict is not None and not any(VERDICTS[verdict][1] in each for each in asked):
            return False
        if self.story.clips:
            return True
        ended = self.books.read("SELECT cost FROM jobs WHERE ended_at IS NOT NULL")
        charged = [charge_words(Micros(row[0])) for row in ended]
        return any(each in said for each in charged for said in self.words())

    @property
    def made(self) -> list[Generation]:
        """What the services took."""
        services = [self.luma, *([self.another] if self.another else [])]
        return [each for service in services for each in service.generations.values()]

    # ---- what is wrong -----------------------------------------------------------------------

    def wrong(self, *, released: Sequence[str] = ()) -> list[str]:
        """What is not as it was promised; nothing, if all is well.

        Of the jobs that the operator released, nothing was made and nobody paid.
        """
        story = self.story
        if released:
            found = doubts.wrong_once_released(self.books, released, words=self.words())
            paid = doubts.paid(self.books)
            clips = 1 if story.clips and paid else 0
            found += self.wrong_outside(generations=paid, clips=clips) + self._broken_books()
        else:
            found = self.wrong_outside(generations=story.generations, clips=story.clips)
            found += self._wrong_in_the_books()
        return list(dict.fromkeys(self.trouble)) + found + self._told_in_the_log()

    def wrong_outside(self, *, generations: int = 1, clips: int = 1) -> list[str]:
        """What Luma and the people in the chat could tell: so many generations, and clips."""
        paid = [each for each in self.made if each.state != "failed"]
        asked = self.words_for_moderators()
        is_asked = self.story.verdict is not None and generations > 0
        found = [
            f"{found} {what}"
            for what, found, wanted in (
                ("generations", len(paid), generations),
                ("clips", self.clips(), clips),
                ("messages for moderators", len(asked), int(is_asked)),
            )
            if found != wanted
        ]
        if self.clips() and not any(SAYS[self.story.form] in each for each in self.words()):
            found.append("a clip that is not shown as it has to be")
        if len(self.words()) > 2:
            found.append(f"{len(self.words())} messages")
        return found

    def _wrong_in_the_books(self) -> list[str]:
        story = self.story
        reviewed = int(story.verdict is not None)
        settled = 0 if story.fails else len(story.rows)
        wanted: dict[str, list[tuple[Any, ...]]] = {
            ENDS: [*story.rows],
            "SELECT count(*) FROM ledger_entries WHERE kind = 'settle'": [(settled,)],
            "SELECT count(*) FROM audit_log WHERE act LIKE 'review %'": [(reviewed,)],
        }
        answers = {question: self.books.read(question) for question in wanted}
        found = [f"{each}: {said}" for each, said in answers.items() if said != wanted[each]]
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


async def wait_for_end(child: ForkServerProcess, seconds: float) -> None:
    """Wait until it has ended, and leave its exit code to this thread.

    Whoever starts another child reads it as well, and of two that read at once one finds none.
    """
    await asyncio.to_thread(connection.wait, [child.sentinel], seconds)
