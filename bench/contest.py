"""Many running at once: Raybot beside what people would use instead, on the same arrivals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.children import Child
from bench.figures import PEER, Figure, Score
from bench.lag import RUN_SECONDS, Orders, Outcome, run_programs
from bench.lag_stats import LagStats, remark, to_lag_stats, to_peer_stats
from bench.loop import idle_worst, worst
from bench.options import RunOptions
from bench.peer_run import PeerResult, PeerRun, run_peers
from bench.peers import PEERS
from bench.service import Account, Report, Service
from bench.workspace import temporary_workspace

SEED = 7


def to_peer_figure(who: str, running: int, peer_result: PeerResult, report: Report) -> Figure:
    """How a peer did, with what it lost on the way and what it paid twice."""
    stats = to_peer_stats([peer_result.visible], [report])
    return Figure(
        name=f"{PEER}{who}, {running:,} running",
        measured=stats.words,
        remark=f"{remark(stats)}{went_wrong(peer_result, report)}",
        score=stats.to_score(who, running, late=peer_result.late, job_bytes=peer_result.job_bytes),
    )


def went_wrong(peer_result: PeerResult, report: Report) -> str:
    """In words: what a peer gave up by itself, with nobody killing it."""
    parts = [f"{count} ended by {name}" for name, count in peer_result.gave_up.items()]
    if (orphans := len(report.created) - peer_result.running) > 0:
        parts.append(f"{orphans} generations paid that it does not know of")
    return "".join(f"; {part}" for part in parts)


def to_callback_figure(
    running: int, stats: LagStats, *, late: Sequence[float], pace: str = ""
) -> Figure:
    """What callbacks must reach, whatever the number; `pace` where it is not the usual one."""
    return Figure(
        name=f"lag with callbacks, {running:,} running{pace}",
        goal="p95 < 1 s, GETs ≤ 0.5",
        measured=stats.words,
        remark=remark(stats),
        is_reached=stats.p95 < 1.0 and stats.looks <= 0.5,
        score=stats.to_score(f"Raybot, callbacks{pace}", running, late=late),
    )


def measure_hundred(options: RunOptions) -> list[Figure]:
    """A hundred at once: the peers, then the program by polling, then with callbacks.

    Where it has to be quick, the first two share the machine and the third is left out.
    """
    count, names = 100, PEERS if options.has_peers else ()
    idle_worst()
    with Service([Account(seed=SEED)] * len(names)) as service:
        runs = [
            Child(run_peers, [PeerRun(peer=who, url=url, jobs=count)])
            for who, url in zip(names, service.urls, strict=True)
        ]
        polled = at_once(count, Account(seed=SEED), options) if options.is_quick else None
        showings = [each.result(RUN_SECONDS)[0] for each in runs]
        reports = [service.report(number) for number in range(len(names))]
    peers = [
        to_peer_figure(who, count, peer_result, report)
        for who, peer_result, report in zip(names, showings, reports, strict=True)
    ]
    stats, outcome = polled or at_once(count, Account(seed=SEED), options)
    figures = [
        *peers,
        Figure(
            name="lag by polling, 100 running",
            goal="p50 ≤ 0.8 s, p95 ≤ 1.5 s, GETs ≤ 3",
            measured=stats.words,
            remark=remark(stats),
            is_reached=stats.p50 <= 0.8 and stats.p95 <= 1.5 and stats.looks <= 3,
            score=_to_score(count, stats, outcome),
        ),
    ]
    if not options.is_quick:
        called, outcome = at_once(count, Account(seed=SEED, callbacks=True), options)
        figures.append(to_callback_figure(count, called, late=outcome.late))
    return figures


def measure_thousand(options: RunOptions) -> list[Figure]:
    """A thousand at once, with a quarter of the clips' sides: verifying takes two cores else."""
    count = 1000
    small = Account(seed=SEED, full_size=False)
    idle_worst()
    stats, outcome = at_once(count, small, options, gets_per_second=10.0)
    above = worst(outcome.late) - idle_worst()
    figures = [
        Figure(
            name="lag by polling, 1,000 running, 10 GET/s",
            goal="p95 ≤ 3 s",
            measured=stats.words,
            remark=f"{remark(stats)}; small clips",
            is_reached=stats.p95 <= 3.0,
            score=_to_score(count, stats, outcome),
        ),
        Figure(
            name="event-loop stall, 1,000 running, p99.9",
            goal="≤ 20 ms above an idle loop",
            measured=f"{worst(outcome.late):.1f} ms, {above:+.1f} ms above",
            remark=f"an idle loop before it {idle_worst():.1f} ms",
            is_reached=above <= 20,
        ),
    ]
    if not options.is_quick:
        # Here the goal bounds the GETs by job.
        account = Account(seed=SEED, full_size=False, callbacks=True)
        called, outcome = at_once(count, account, options, gets_per_second=20.0)
        figures.append(to_callback_figure(count, called, late=outcome.late, pace=", 20 GET/s"))
    return figures


def _to_score(count: int, stats: LagStats, outcome: Outcome) -> Score:
    return stats.to_score("Raybot, polling", count, late=outcome.late, job_bytes=outcome.job_bytes)


def at_once(
    count: int, account: Account, options: RunOptions, *, gets_per_second: float = 5.0
) -> tuple[LagStats, Outcome]:
    """So many jobs, shared by as many processes as the options say; the outcome is of all."""
    with Service([account]) as service, temporary_workspace(options.database_url) as workspace:
        children = [
            Child(
                run_programs,
                [
                    Orders(
                        url=service.urls[0],
                        at_once=count,
                        jobs=count,
                        gets_per_second=gets_per_second,
                        workspace=workspace,
                        share=range(number, count, options.processes),
                    )
                ],
            )
            for number in range(options.processes)
        ]
        outcomes = [child.result(RUN_SECONDS)[0] for child in children]
        report = service.report()
    journeys = {id_: journey for each in outcomes for id_, journey in each.journeys.items()}
    late = max((each.late for each in outcomes), key=worst)
    weights = [each.job_bytes for each in outcomes if not math.isnan(each.job_bytes)]
    outcome = Outcome(
        journeys=journeys,
        late=late,
        job_bytes=sum(weights) / len(weights) if weights else math.nan,
    )
    return to_lag_stats([journeys], [report]), outcome
