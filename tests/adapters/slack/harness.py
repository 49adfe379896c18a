"""The port alone, beside a local Slack: what Raybot does there, and what Slack then shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from adapters.slack.addresses import Account, to_thread
from adapters.slack.delivery import Delivery
from bot import notices as n
from bot.errors import ThreadGone
from bot.refs import JobId, MessageRef, Micros, ThreadRef
from bot.request import Requester, VideoWork
from tests.fakes import Memory, MovableClock
from tests.slack_server import Channel, Message, Person, Request, SlackServer, Team
from tests.slack_server.faults import When

T = TypeVar("T")
JOB = JobId("r-00000abcde")
MIB = 1 << 20


@dataclass(frozen=True)
class Said:
    """A message as people see it."""

    ts: str
    text: str
    file: str = ""


@dataclass
class OneAccount:
    """Our bot in one workspace, until its token ends."""

    account: Account | None
    lost: list[str] = field(default_factory=list)

    async def of(self, workspace: str) -> Account:
        if self.account is None or workspace != self.account.workspace:
            raise ThreadGone("Raybot was removed from that workspace.")
        return self.account

    async def renewed(self, workspace: str) -> Account:
        return await self.of(workspace)

    async def lose(self, workspace: str, token: str) -> None:
        assert self.account is None or token == self.account.token
        self.lost.append(workspace)
        self.account = None


class Watched(Delivery):
    """Remembers what it was told."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.told: list[n.Notice] = []

    def on_told(self, notice: n.Notice) -> None:
        self.told.append(notice)


@dataclass
class DeliveryHarness:
    """One process of ours; `restarted` is the next one, with what the database kept."""

    slack: SlackServer
    ana: Person
    delivery: Watched
    accounts: OneAccount
    clock: MovableClock
    clip: Path
    memo: Memory = field(default_factory=Memory)

    # ---- what is said --------------------------------------------------------------------

    def about(self, **more: Any) -> n.About:
        requester = Requester(adapter="slack", workspace=self.team.id, user=self.ana.id)
        given: dict[str, Any] = {"job_id": JOB, "work": VideoWork(prompt="a red fox"), **more}
        return n.About(requester=requester, **given)

    def accepted(self, **more: Any) -> n.Accepted:
        return n.Accepted(about=self.about(**more))

    def failed(self) -> n.Failed:
        sentence = "It was refused."
        return n.Failed(about=self.about(), code="x", sentence=sentence, charged=Micros(0))

    def done(self) -> n.Done:
        return n.Done(about=self.about(), charged=Micros(1), took=timedelta(seconds=4))

    def delivered(self, **more: Any) -> n.Delivered:
        given: dict[str, Any] = {
            "about": self.about(),
            "path": str(self.clip),
            "filename": f"ray-flash-2_{JOB}_a-red-fox.mp4",
            "width": 960,
            "height": 540,
            "seconds": 5.0,
            "bytes": self.clip.stat().st_size,
            "charged": Micros(180_000),
            "took": timedelta(seconds=40),
        }
        return n.Delivered(**{**given, **more})

    # ---- what is done --------------------------------------------------------------------

    async def say(self, thread: ThreadRef | None = None) -> MessageRef:
        """Post the status message, as often as it is asked for."""
        key = f"{JOB}:status"
        return await self.delivery.post(
            thread or self.place(), self.accepted(), key=key, memo=self.memo
        )

    async def show(self, thread: ThreadRef | None = None, **more: Any) -> MessageRef:
        """Post the clip, with all the waiting that takes; no real time passes."""
        notice, key = self.delivered(**more), f"{JOB}:clip"
        return await self.hurry(
            self.delivery.post(thread or self.place(), notice, key=key, memo=self.memo)
        )

    async def hurry(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this, and let the time pass for which it waits."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait({task}, timeout=0.002)
            if self.clock._moved:
                self.clock.move(seconds=2)
        return task.result()

    @asynccontextmanager
    async def restarted(self) -> AsyncIterator[DeliveryHarness]:
        """The next process."""
        async with at_desk(self.slack, self.ana, self.clock, self.clip) as harness:
            harness.memo = Memory(dict(self.memo.kept))
            yield harness

    # ---- the local Slack -----------------------------------------------------------------

    @property
    def team(self) -> Team:
        return self.ana.team

    @property
    def channel(self) -> Channel:
        assert self.ana.here is not None
        return self.ana.here

    def place(self, thread: str = "") -> ThreadRef:
        return to_thread(self.team.id, self.channel.id, thread)

    @property
    def direct(self) -> ThreadRef:
        """Ana's direct messages."""
        return to_thread(self.team.id, self.slack.world.direct(self.team, self.ana.id).id)

    @property
    def private(self) -> ThreadRef:
        """The same, for what was asked in the channel."""
        return to_thread(self.team.id, self.channel.id, only=self.direct.channel)

    def refuse(self, method: str, code: str, **more: Any) -> None:
        """The next call of this method is answered so, and does nothing."""
        self.slack.faults.fail(method, code, **more)

    def answer(self, method: str, body: Any, **more: Any) -> None:
        """The same, with any answer."""
        self.slack.faults.answer(method, body, **more)

    def pause(self, method: str, seconds: int) -> None:
        self.slack.faults.fail(method, "ratelimited", status=429, retry_after=seconds)

    def drop(self, method: str, when: When = "after") -> None:
        """The connection of the next call ends without an answer, before or after its effect."""
        self.slack.faults.drop(method, when=when)

    def calls(self, method: str) -> list[Request]:
        """How this method was called."""
        return self.slack.requests_to(method)

    def said(self, thread: ThreadRef | None = None) -> list[Said]:
        """The messages of ours that people see there."""
        channel = self.slack.world.channels[(thread or self.place()).channel]
        return [to_said(each) for each in self.slack.posted(channel)]

    def clips(self, thread: ThreadRef | None = None) -> list[Said]:
        """Those with a file."""
        return [each for each in self.said(thread) if each.file]

    def leave(self) -> None:
        """The bot is thrown out of the channel."""
        self.slack.remove_bot(self.channel)

    async def wipe(self) -> None:
        """An admin deletes all messages of the channel."""
        olga = self.slack.person("Olga", self.team, self.channel, is_admin=True)
        for each in self.slack.said(self.channel):
            await olga.delete(each)

    async def forge(self, metadata: dict[str, Any]) -> None:
        """Another bot writes a message that carries this."""
        other = self.slack.person("Other", self.team, self.channel, is_bot=True)
        await other.say("It is me.", metadata=metadata)

    async def chatter(self, count: int) -> None:
        """People talk."""
        for each in range(count):
            await self.ana.say(f"word {each}")

    def show_few(self, count: int) -> None:
        """Slack shows so many messages at once, whatever is asked for."""
        self.slack.messages.most_at_once = count

    # ---- images --------------------------------------------------------------------------

    async def send(self, content: bytes) -> str:
        """Somebody sends a picture."""
        message = await self.ana.say("", files=[("fox.png", content)])
        return message.files[0].id

    def link_to(self, file: str) -> str:
        """Where Slack has it."""
        told = self.slack.payloads.file(self.slack.world.files[file], seen_by=self.team)
        return str(told["url_private"])

    # ---- its files -----------------------------------------------------------------------

    @property
    def files(self) -> list[str]:
        """The files of all our uploads, in their order."""
        files = self.slack.world.files.values()
        return [each.id for each in files if each.owner == self.team.bot_user]

    def content(self, file: str) -> bytes | None:
        """What Slack has of a file."""
        return self.slack.world.files[file].content

    @property
    def withdrawn(self) -> list[str]:
        """Those that we deleted."""
        return [each.args["file"] for each in self.calls("files.delete")]

    def hold(self, looks: int | None = None) -> None:
        """What is uploaded from now on is shown after so many looks, or never."""
        self.slack.shares = looks or "never"

    def go_on(self) -> None:
        """What is uploaded from now on is shown at once."""
        self.slack.shares = "now"

    def remove(self, file: str) -> None:
        """Somebody deletes a file."""
        self.slack.files.remove(self.slack.world.files[file])


def to_said(message: Message) -> Said:
    files = [each.id for each in message.files if not each.is_deleted]
    return Said(message.ts, message.text, files[0] if files else "")


@asynccontextmanager
async def at_desk(
    slack: SlackServer, ana: Person, clock: MovableClock, clip: Path
) -> AsyncIterator[DeliveryHarness]:
    team = ana.team
    account = Account(
        token=team.bot_token, workspace=team.id, bot_user=team.bot_user, bot_id=team.bot_id
    )
    accounts = OneAccount(account)
    delivery = Watched(
        accounts=accounts,
        clock=clock,
        base_url=slack.api_base_url,
        upload_limit_bytes=100 * MIB,
        file_hosts=["files.slack.com", slack.file_host],
    )
    async with delivery.clients:
        yield DeliveryHarness(slack, ana, delivery, accounts, clock, clip)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DeliveryHarness]:
    """A desk with a clip to show."""
    clip = folder / "clip.mp4"
    clip.write_bytes(bytes(300_000))
    clock = MovableClock()
    async with SlackServer(clock) as slack:
        team = slack.team()
        ana = slack.person("Ana", team, slack.channel(team))
        async with at_desk(slack, ana, clock, clip) as harness:
            yield harness
