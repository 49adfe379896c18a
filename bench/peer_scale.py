"""The peers with a thousand running and with ten thousand, each as far as it goes."""

from __future__ import annotations

import math

from bench.children import Child, ChildFailed, PipedChild
from bench.contest import SEED, to_peer_figure, went_wrong
from bench.figures import PEER, Figure
from bench.loop import idle_worst
from bench.options import RunOptions
from bench.peer_run import PeerResult, PeerRun, run_peers, run_until_told
from bench.peers import PEERS
from bench.program import Journey
from bench.sample import take_sample
from bench.service import Account, Service

FEWER = 1000
#: To get all of them running; a peer that needs longer is measured with what it has by then.
PATIENCE_SECONDS = 45.0
RUN_SECONDS = 100.0
#: A peer that is later than this with fewer, or gives jobs up, is not asked for more.
HOPELESS_SECONDS = 10.0


def measure_peer_scale(options: RunOptions) -> list[Figure]:
    """Each peer for itself, with the whole machine but for the service.

    What Raybot does with as many stands under `thousand` and `restart`.
    """
    more = 2000 if options.is_quick else 10_000
    idle_worst()
    figures = []
    for who in PEERS:
        figure, holds = _measure_finishing(who, FEWER)
        figures.append(figure)
        if holds:
            figures.append(_measure_running(who, more))
        else:
            measured = f"not tried: it did not hold {FEWER:,}"
            figures.append(Figure(name=_to_name(who, more), measured=measured))
    return figures


def _to_name(who: str, count: int) -> str:
    return f"{PEER}{who}, {count:,} running"


def _measure_finishing(who: str, count: int) -> tuple[Figure, bool]:
    """All of them at once, as Raybot gets them; and whether more can be asked of it."""
    with Service([Account(seed=SEED, full_size=False)]) as service:
        run = PeerRun(peer=who, url=service.urls[0], jobs=count, seconds=RUN_SECONDS)
        try:
            [peer_result] = Child(run_peers, [run]).result(RUN_SECONDS + PATIENCE_SECONDS)
        except ChildFailed as error:
            return Figure(name=_to_name(who, count), measured=f"fell over: {error}"), False
        report = service.report()
    figure = to_peer_figure(who, count, peer_result, report)
    assert figure.score is not None
    return figure, figure.score.p95 < HOPELESS_SECONDS and len(peer_result.visible) == count


def _measure_running(who: str, count: int) -> Figure:
    with Service([Account(manual=True, full_size=False)]) as service:
        run = PeerRun(peer=who, url=service.urls[0], jobs=count, seconds=math.inf)
        child = PipedChild(run_until_told, run, PATIENCE_SECONDS)
        try:
            ids: list[str] = child.recv(PATIENCE_SECONDS + RUN_SECONDS)
            sample = take_sample(service, ids)
            child.send("enough")
            peer_result: PeerResult = child.recv(RUN_SECONDS)
        except ChildFailed as error:
            return Figure(name=_to_name(who, count), measured=f"fell over: {error}")
        finally:
            child.end()
    journeys = {
        id_: Journey(seen=at, kept=at, visible=at) for id_, at in peer_result.visible.items()
    }
    stats = sample.to_lag_stats(journeys)
    return Figure(
        name=_to_name(who, count),
        measured=stats.words,
        remark=f"{len(ids):,} of {count:,} running after {PATIENCE_SECONDS:.0f} s at the most; "
        f"{sample.words}{went_wrong(peer_result, sample.report)}",
        score=stats.to_score(who, count, late=peer_result.late, job_bytes=peer_result.job_bytes),
    )
