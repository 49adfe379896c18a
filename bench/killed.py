"""kill -9 amid a hundred jobs, after some answers of the service were lost: what people get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from threading import Event
from time import perf_counter

from bench.children import Partner
from bench.figures import PEER, Figure
from bench.home import Home, home
from bench.peers import PEERS
from bench.program import Chat, running, to_bench_config
from bench.race import RATE, Race, stand
from bench.service import Account, Service
from bench.terms import Terms
from bench.wall import Wall

JOBS, LOST_ANSWERS = 100, 5
#: Each is killed once it has shown so many; Raybot's next life gets so long for the rest.
SHOWN, PATIENCE_SECONDS = 30, 150.0
RUN_SECONDS = 90.0
LOOK_SECONDS = 0.1
ACCOUNT = Account(min_seconds=15, max_seconds=35, full_size=False, lost_answers=LOST_ANSWERS)


def live(pipe: Connection, place: Home, url: str, asked: range) -> None:
    """A life of Raybot, which is asked for so many clips; ends when it is told to, or killed."""

    async def run() -> None:
        config = to_bench_config(place, url, running=JOBS)
        async with running(config, chat=Chat(place.wall)) as program:
            await program.ask_at_pace(asked, RATE)
            pipe.send(len(asked))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


class _Stage:
    """Raybot and the peers side by side, each with an account and a wall of its own."""

    def __init__(
        self,
        service: Service,
        place: Home,
        theirs: Home,
        peers: Sequence[str],
        processes: int,
    ) -> None:
        self._service, self._place = service, place
        self._own = [self._live(range(n, JOBS, processes)) for n in range(processes)]
        self._peers, self.walls = [], [place.wall]
        for who, url in zip(peers, service.urls[1:], strict=True):
            wall = theirs.folder / who
            race = Race(peer=who, url=url, jobs=JOBS, wall=wall)
            self._peers.append(Partner(stand, race, RUN_SECONDS))
            self.walls.append(Wall(wall))

    def _live(self, asked: range) -> Partner:
        return Partner(live, self._place, self._service.urls[0], asked)

    def kill(self) -> list[int]:
        """Each of them once some of its clips are shown; how many those were."""
        for each in (*self._own, *self._peers):
            each.hear(RUN_SECONDS)
        alive = dict(enumerate([self._own, *([each] for each in self._peers)]))
        pause, until = Event(), perf_counter() + RUN_SECONDS
        while alive and perf_counter() < until:
            for number in list(alive):
                if len(set(self.walls[number].clips())) >= SHOWN:
                    for each in alive.pop(number):
                        each.kill()
            pause.wait(LOOK_SECONDS)
        for each in (process for group in alive.values() for process in group):
            each.kill()
        return [len(set(wall.clips())) for wall in self.walls]

    def start_again(self) -> float:
        """The next life of Raybot; seconds until everybody has a clip, or patience is over.

        Of the peers nothing is left that could be started again.
        """
        began, pause = perf_counter(), Event()
        self._own = [self._live(range(0)) for _ in self._own]
        while len(set(self.walls[0].clips())) < JOBS:
            if perf_counter() - began > PATIENCE_SECONDS:
                break
            pause.wait(LOOK_SECONDS)
        return perf_counter() - began

    def end(self) -> None:
        """Let those go that still live."""
        for each in (*self._own, *self._peers):
            each.end()


def killing(terms: Terms) -> list[Figure]:
    """What of a hundred requests was lost, paid twice, or posted twice."""
    peers = tuple(PEERS) if terms.has_peers else ()
    accounts = [ACCOUNT] * (1 + len(peers))
    with Service(accounts) as service, home(terms.database_url) as place, home() as theirs:
        stage = _Stage(service, place, theirs, peers, terms.processes)
        try:
            before = stage.kill()
            seconds = stage.start_again()
        finally:
            stage.end()
        created = [len(service.report(number).created) for number in range(len(accounts))]
        shown = [wall.clips() for wall in stage.walls]
    names = ["Raybot", *(f"{PEER}{who}" for who in peers)]
    found = zip(names, before, created, shown, strict=True)
    figures = [_to_figure(*each) for each in found]
    own = replace(
        figures[0],
        goal="0 lost, 0 paid twice, 0 posted twice",
        measured=f"{figures[0].measured}; {_ended(shown[0], seconds)}",
        remark=f"{figures[0].remark}; started again at once",
        is_reached=created[0] == len(shown[0]) == len(set(shown[0])) == JOBS,
    )
    return [*figures[1:], own]


def _ended(shown: Sequence[str], seconds: float) -> str:
    is_whole = len(set(shown)) == JOBS
    return f"{'all' if is_whole else 'NOT all'} shown {seconds:.0f} s after the next start"


def _to_figure(who: str, before: int, created: int, shown: Sequence[str]) -> Figure:
    kinds = len(set(shown))
    lost, again = JOBS - kinds, max(0, created - JOBS)
    return Figure(
        name=f"{who}, kill -9 amid {JOBS} jobs",
        measured=f"{lost} of {JOBS - before} open ones lost, {again} paid twice, "
        f"{len(shown) - kinds} posted twice",
        remark=f"{before} shown before; {LOST_ANSWERS} answers to a POST were lost",
    )
