"""kill -9 amid a hundred jobs, after some answers of the service were lost: what people get."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from threading import Event
from time import perf_counter

from bench.children import PipedChild
from bench.figures import PEER, Figure
from bench.options import RunOptions
from bench.peer_run import RATE, PeerRun, run_until_told
from bench.peers import PEERS
from bench.post_log import PostLog
from bench.program import Chat, running, to_bench_config
from bench.service import Account, Service, to_prompt
from bench.workspace import Workspace, temporary_workspace
from bot.clock import SystemClock
from bot.notices import Delivered, Notice
from bot.ports import FIRST_TRY, Memo
from bot.refs import MessageRef, ThreadRef

JOBS, LOST_ANSWERS = 100, 5
#: Each is killed once it has shown so many; Raybot's next life gets so long for the rest.
SHOWN, PATIENCE_SECONDS = 30, 150.0
#: Of the posts after these Raybot does not hear: they stand there when it is killed.
HEARD = SHOWN - 5
RUN_SECONDS = 90.0
LOOK_SECONDS = 0.1
ACCOUNT = Account(min_seconds=15, max_seconds=35, full_size=False, lost_answers=LOST_ANSWERS)


class KeyedChat(Chat):
    """Posts once for each key as the adapters do: what was tried before is looked for.

    After so many `answers` a clip is still shown, and whoever posts it does not hear of that.
    """

    def __init__(self, post_log: PostLog, *, answers: float = math.inf) -> None:
        super().__init__(post_log)
        self._shown, self._answers = post_log, answers

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """As the memo has it: the first try is not looked for, and each later one is."""
        if memo.get(FIRST_TRY) is None:
            await memo.put(FIRST_TRY, SystemClock().now().isoformat())
        elif self._shown.has(key):
            return MessageRef(thread=thread, message=key)
        message = await super().post(thread, notice, key=key, memo=memo)
        if isinstance(notice, Delivered) and len(self._shown.clips()) > self._answers:
            await asyncio.Event().wait()
        return message


def run_bot(pipe: Connection, workspace: Workspace, url: str, asked: range) -> None:
    """A life of Raybot: the first is asked for clips until it is killed, the next ends them all.

    The first hears no answers any more for the last clips before it is killed.
    """
    answers = HEARD if asked else math.inf

    async def run() -> None:
        config = to_bench_config(workspace, url, running=JOBS)
        async with running(config, chat=KeyedChat(workspace.post_log, answers=answers)) as program:
            await program.ask_at_pace(asked, RATE)
            if not asked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(program.until_ended(), PATIENCE_SECONDS)
            pipe.send(len(asked))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


class _Stage:
    """Raybot and the peers side by side, each with an account and a post_log of its own."""

    def __init__(
        self,
        service: Service,
        workspace: Workspace,
        theirs: Workspace,
        peers: Sequence[str],
        processes: int,
    ) -> None:
        self._service, self._workspace = service, workspace
        self._own = [self._live(range(n, JOBS, processes)) for n in range(processes)]
        self._peers, self.post_logs = [], [workspace.post_log]
        for who, url in zip(peers, service.urls[1:], strict=True):
            post_log = theirs.folder / who
            peer_run = PeerRun(peer=who, url=url, jobs=JOBS, post_log=post_log)
            self._peers.append(PipedChild(run_until_told, peer_run, RUN_SECONDS))
            self.post_logs.append(PostLog(post_log))

    def _live(self, asked: range) -> PipedChild:
        return PipedChild(run_bot, self._workspace, self._service.urls[0], asked)

    def kill(self) -> list[int]:
        """Each of them once some of its clips are shown; how many those were."""
        for each in (*self._own, *self._peers):
            each.recv(RUN_SECONDS)
        alive = dict(enumerate([self._own, *([each] for each in self._peers)]))
        pause, until = Event(), perf_counter() + RUN_SECONDS
        while alive and perf_counter() < until:
            for number in list(alive):
                if len(set(self.post_logs[number].clips())) >= SHOWN:
                    for each in alive.pop(number):
                        each.kill()
            pause.wait(LOOK_SECONDS)
        for each in (process for group in alive.values() for process in group):
            each.kill()
        return [len(set(post_log.clips())) for post_log in self.post_logs]

    def start_again(self) -> float:
        """The next life of Raybot; seconds until everybody has a clip, or patience is over.

        It goes on until it has nothing left to do: it might pay or post again after that.
        Of the peers nothing is left that could be started again.
        """
        began, pause = perf_counter(), Event()
        self._own = [self._live(range(0)) for _ in self._own]
        while len(set(self.post_logs[0].clips())) < JOBS:
            if perf_counter() - began > PATIENCE_SECONDS:
                break
            pause.wait(LOOK_SECONDS)
        seconds = perf_counter() - began
        for each in self._own:
            each.recv(PATIENCE_SECONDS + RUN_SECONDS)
        return seconds

    def end(self) -> None:
        """Let those go that still live."""
        for each in (*self._own, *self._peers):
            each.end()


def measure_kill(options: RunOptions) -> list[Figure]:
    """What of a hundred requests was lost, paid twice, or posted twice."""
    peers = tuple(PEERS) if options.has_peers else ()
    accounts = [ACCOUNT] * (1 + len(peers))
    with (
        Service(accounts) as service,
        temporary_workspace(options.database_url) as workspace,
        temporary_workspace() as theirs,
    ):
        stage = _Stage(service, workspace, theirs, peers, options.processes)
        try:
            before = stage.kill()
            seconds = stage.start_again()
        finally:
            stage.end()
        ordered = [service.orders(number) for number in range(len(accounts))]
        shown = [post_log.clips() for post_log in stage.post_logs]
    names = ["Raybot", *(f"{PEER}{who}" for who in peers)]
    # A peer's post_log has the generations, which only the service has words for.
    fates = [
        KillOutcome(
            asked=[to_prompt(number) for number in range(JOBS)],
            paid=list(orders.values()),
            shown=[orders.get(each, each) for each in clips],
        )
        for orders, clips in zip(ordered, shown, strict=True)
    ]
    figures = [_to_figure(*each) for each in zip(names, before, fates, strict=True)]
    own = replace(
        figures[0],
        goal="0 lost, 0 paid twice, 0 posted twice",
        measured=f"{figures[0].measured}; {_ended(fates[0], seconds)}",
        remark=f"{figures[0].remark}, and all to the posts after the {HEARD}th; "
        "started again at once",
        is_reached=fates[0].is_whole and SHOWN <= before[0] < JOBS,
    )
    return [*figures[1:], own]


@dataclass(frozen=True, kw_only=True)
class KillOutcome:
    """What was asked for, paid and shown, each in the words of its request.

    Counted by request: one that is lost does not make up for another one that came twice.
    """

    asked: Sequence[str] = field(repr=False)
    paid: Sequence[str] = field(repr=False)
    shown: Sequence[str] = field(repr=False)

    @property
    def lost(self) -> int:
        """So many requests have no clip."""
        return len(set(self.asked) - set(self.shown))

    @property
    def paid_twice(self) -> int:
        """So many generations were paid beyond the first of each request."""
        return _too_many(self.paid, self.asked)

    @property
    def posted_twice(self) -> int:
        """So many clips stand there beyond the first of each request."""
        return _too_many(self.shown, self.asked)

    @property
    def is_whole(self) -> bool:
        """Each request was paid once and shown once, and nothing else was."""
        return Counter(self.asked) == Counter(self.paid) == Counter(self.shown)


def _too_many(found: Sequence[str], asked: Sequence[str]) -> int:
    return (Counter(found) - Counter(asked)).total()


def _ended(fate: KillOutcome, seconds: float) -> str:
    return f"{'NOT all' if fate.lost else 'all'} shown {seconds:.0f} s after the next start"


def _to_figure(who: str, before: int, fate: KillOutcome) -> Figure:
    return Figure(
        name=f"{who}, kill -9 amid {JOBS} jobs",
        measured=f"{fate.lost} of {JOBS - before} open ones lost, {fate.paid_twice} paid twice, "
        f"{fate.posted_twice} posted twice",
        remark=f"{before} shown before; {LOST_ANSWERS} answers to a POST were lost",
    )
