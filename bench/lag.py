"""From a generation's completion to its clip in the thread, and the calls that it took."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.children import Child
from bench.figures import Figure, percentile, spread
from bench.history import add_past
from bench.loop import idle, watch_stalls, worst
from bench.peer import PeerOrders, run_peers
from bench.program import Journey, running, scratch, to_bench_config
from bench.service import Account, Report, Service

RUN_SECONDS = 200.0


@dataclass(frozen=True, kw_only=True)
class Orders:
    """One program: its service, how many generations at once, and how many jobs in all.

    With `has_past` it has delivered fifty clips before, so it knows how long they take.
    """

    url: str
    at_once: int
    jobs: int
    gets_per_second: float = 5.0
    has_past: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of each generation, and how late the event loop was."""

    journeys: Mapping[str, Journey] = field(repr=False)
    late: Sequence[float] = field(repr=False)


def run_programs(orders: Sequence[Orders]) -> list[Outcome]:
    """Run all of them side by side in this process."""

    async def run_all() -> list[Outcome]:
        # One opens after the other: what migrates their databases is no thing for two threads.
        opening = asyncio.Lock()
        return await asyncio.gather(*(_run(each, opening) for each in orders))

    return asyncio.run(run_all())


async def _run(orders: Orders, opening: asyncio.Lock) -> Outcome:
    late: list[float] = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch())
        config = to_bench_config(
            Path(folder),
            orders.url,
            running=orders.at_once,
            gets_per_second=orders.gets_per_second,
        )
        async with opening:
            if orders.has_past:
                await add_past(config, [random.uniform(20, 40) for _ in range(50)])
            program = await stack.enter_async_context(running(config))
        watching = asyncio.ensure_future(watch_stalls(late))
        await program.ask_for(range(orders.jobs))
        async with asyncio.timeout(RUN_SECONDS):
            await program.chat.until(lambda chat: len(chat.clips) >= orders.jobs)
        journeys = await program.journeys()
        watching.cancel()
    return Outcome(journeys=journeys, late=late)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Lags in seconds, and how many looks (GETs) and calls in all each job took.

    `stages` is where the median lag was spent, if that is known.
    """

    lags: Sequence[float]
    looks: float
    calls: float
    stages: str = ""

    @property
    def words(self) -> str:
        """As the table shows it."""
        return f"{spread(self.lags)}; {self.looks:.2f} GETs per job"

    @property
    def p50(self) -> float:
        """The median lag."""
        return percentile(self.lags, 50)

    @property
    def p95(self) -> float:
        """The lag that one in twenty exceeds."""
        return percentile(self.lags, 95)


def to_tally(journeys: Iterable[Mapping[str, Journey]], reports: Sequence[Report]) -> Tally:
    """Put what the programs did beside what their services know."""
    pairs = [
        (journey, report.completed[generation])
        for own, report in zip(journeys, reports, strict=True)
        for generation, journey in own.items()
        if generation in report.completed
    ]
    stages = {
        "seen": [journey.seen - completed for journey, completed in pairs],
        "kept": [journey.kept - journey.seen for journey, _ in pairs],
        "posted": [journey.visible - journey.kept for journey, _ in pairs],
    }
    lags = [journey.visible - completed for journey, completed in pairs]
    count = sum(len(report.created) for report in reports)
    return Tally(
        lags=lags,
        looks=sum(report.looks for report in reports) / count,
        calls=sum(report.calls for report in reports) / count,
        stages=", ".join(f"{name} {percentile(each, 50):.2f}" for name, each in stages.items()),
    )


def remark(tally: Tally) -> str:
    """How many were measured, all calls, and where the time went."""
    where = f"; p50 of stages: {tally.stages} s" if tally.stages else ""
    return f"{len(tally.lags)} clips; {tally.calls:.2f} calls per job with the POST{where}"


def to_peer_tally(visible: Iterable[Mapping[str, float]], reports: Sequence[Report]) -> Tally:
    """The same of peers, of whom only the end is known."""
    journeys = [
        {each: Journey(seen=at, kept=at, visible=at) for each, at in own.items()}
        for own in visible
    ]
    return replace(to_tally(journeys, reports), stages="")


# ---- one at a time -----------------------------------------------------------------------------


def one_running(*, is_quick: bool) -> list[Figure]:
    """Programs and peers with one job each at a time, several pairs side by side."""
    pairs, rounds = (4, 1) if is_quick else (5, 3)
    with Service([Account(seed=number) for number in range(pairs)] * 3) as service:
        urls = [service.urls[start : start + pairs] for start in range(0, 3 * pairs, pairs)]
        programs = [
            Child(run_programs, [_alone(url, rounds, has_past=has_past) for url in part])
            for part, has_past in zip(urls, (False, True), strict=False)
        ]
        peers = Child(run_peers, [PeerOrders(url=url, at_once=1, jobs=rounds) for url in urls[2]])
        outcomes = [program.result(RUN_SECONDS) for program in programs]
        visible = peers.result(RUN_SECONDS)
        reports = [service.report(number) for number in range(3 * pairs)]
    new, known = (
        to_tally([each.journeys for each in part], reports[number * pairs :][:pairs])
        for number, part in enumerate(outcomes)
    )
    peer = to_peer_tally(visible, reports[2 * pairs :])
    goal = "p50 ≤ 1.0 s, GETs ≤ 1.5 × the peer's"
    return [
        Figure(name="  peer: SDK loop, 1 running", measured=peer.words, remark=remark(peer)),
        *(
            Figure(
                name=f"lag by polling, 1 running, {kind}",
                goal=goal,
                measured=each.words,
                remark=remark(each),
                is_reached=each.p50 <= 1.0 and each.looks <= 1.5 * peer.looks,
            )
            for kind, each in (("fresh install", new), ("50 clips known", known))
        ),
    ]


def _alone(url: str, rounds: int, *, has_past: bool) -> Orders:
    return Orders(url=url, at_once=1, jobs=rounds, has_past=has_past)


# ---- all at once -------------------------------------------------------------------------------


def hundred_running(*, is_quick: bool) -> list[Figure]:
    """A hundred at once: the peer, then the program by polling, then with callbacks.

    Where it has to be quick, the first two share the machine and the third is left out.
    """
    count = 100
    with Service([Account()]) as service:
        orders = [PeerOrders(url=service.urls[0], at_once=count, jobs=count)]
        peers = Child(run_peers, orders)
        polled = _at_once(count, Account())[0] if is_quick else None
        peer = to_peer_tally(peers.result(RUN_SECONDS), [service.report()])
    polled = polled or _at_once(count, Account())[0]
    figures = [
        Figure(name="  peer: SDK loop, 100 running", measured=peer.words, remark=remark(peer)),
        Figure(
            name="lag by polling, 100 running",
            goal="p50 ≤ 0.8 s, p95 ≤ 1.5 s, GETs ≤ 3",
            measured=polled.words,
            remark=remark(polled),
            is_reached=polled.p50 <= 0.8 and polled.p95 <= 1.5 and polled.looks <= 3,
        ),
    ]
    if not is_quick:
        called, _ = _at_once(count, Account(callbacks=True))
        figures.append(to_callback_figure("100 running", called))
    return figures


def to_callback_figure(name: str, tally: Tally) -> Figure:
    """What callbacks must reach, whatever the number."""
    return Figure(
        name=f"lag with callbacks, {name}",
        goal="p95 < 1 s, GETs ≤ 0.5",
        measured=tally.words,
        remark=remark(tally),
        is_reached=tally.p95 < 1.0 and tally.looks <= 0.5,
    )


def thousand_running(*, is_quick: bool) -> list[Figure]:
    """A thousand at once, with a quarter of the clips' sides: verifying takes two cores else."""
    count = 1000
    alone = Child(idle, 10.0).result(RUN_SECONDS)
    beside = Child(idle, 50.0)
    polled, late = _at_once(count, Account(full_size=False), gets_per_second=10.0)
    above = worst(late) - worst(alone)
    figures = [
        Figure(
            name="lag by polling, 1,000 running, 10 GET/s",
            goal="p95 ≤ 3 s",
            measured=polled.words,
            remark=f"{remark(polled)}; small clips",
            is_reached=polled.p95 <= 3.0,
        ),
        Figure(
            name="event-loop stall, 1,000 running, p99.9",
            goal="≤ 20 ms above an idle loop",
            measured=f"{worst(late):.1f} ms, {above:+.1f} ms above",
            remark=f"an idle loop before it {worst(alone):.1f} ms, one beside it "
            f"{worst(beside.result(RUN_SECONDS)):.1f} ms",
            is_reached=above <= 20,
        ),
    ]
    if not is_quick:
        account = Account(full_size=False, callbacks=True)
        called, _ = _at_once(count, account, gets_per_second=10.0)
        figures.append(to_callback_figure("1,000 running", called))
    return figures


def _at_once(
    count: int, account: Account, *, gets_per_second: float = 5.0
) -> tuple[Tally, Sequence[float]]:
    with Service([account]) as service:
        orders = Orders(
            url=service.urls[0], at_once=count, jobs=count, gets_per_second=gets_per_second
        )
        [outcome] = Child(run_programs, [orders]).result(RUN_SECONDS)
        return to_tally([outcome.journeys], [service.report()]), outcome.late
