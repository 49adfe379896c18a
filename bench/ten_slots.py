"""Ten slots under one person's flood: lag, calls, how busy the slots are, a newcomer's wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from bench.children import Child
from bench.contest import to_callback_figure, to_peer_figure
from bench.figures import Figure
from bench.lag_stats import LagStats, remark, to_lag_stats
from bench.loop import idle_worst, watch_stalls
from bench.options import RunOptions
from bench.peer_run import PeerRun, run_peers
from bench.peers import PEERS
from bench.program import Journey, Program, running, to_bench_config
from bench.service import Account, Report, Service
from bench.workspace import temporary_workspace
from bot.refs import GenerationId, JobId

SLOTS, FLOOD = 10, 100
MEAN_SECONDS = 30.0
NEWCOMER_AFTER = 40.0
RUN_SECONDS = 260.0


@dataclass(frozen=True, kw_only=True)
class FloodOutcome:
    """What became of each generation; until when jobs waited; when the newcomer asked."""

    journeys: Mapping[str, Journey] = field(repr=False)
    late: Sequence[float] = field(repr=False)
    waited_until: float
    newcomer_asked: float
    newcomer: GenerationId | None


def run_flood(url: str, seconds: float) -> FloodOutcome:
    """One person asks for a hundred clips, another for one; the rest is cancelled in time."""
    return asyncio.run(_run_flood(url, seconds))


async def _run_flood(url: str, seconds: float) -> FloodOutcome:
    late: list[float] = []
    with temporary_workspace() as workspace:
        async with running(to_bench_config(workspace, url, running=SLOTS)) as program:
            watching = asyncio.ensure_future(watch_stalls(late))
            flood = await program.ask_for(range(FLOOD), person="flood")
            await asyncio.sleep(NEWCOMER_AFTER)
            asked = program.now()
            newcomer = await program.ask(0, person="newcomer")
            await asyncio.sleep(seconds - NEWCOMER_AFTER)
            waited_until = program.now()
            begun = await _cancel_waiting(program, flood)
            async with asyncio.timeout(RUN_SECONDS):
                await program.chat.until(lambda chat: len(chat.clips) > begun)
            watching.cancel()
            return FloodOutcome(
                late=late,
                journeys=await program.journeys(),
                waited_until=waited_until,
                newcomer_asked=asked,
                newcomer=(await program.job(newcomer)).generation_id,
            )


async def _cancel_waiting(program: Program, flood: Sequence[JobId]) -> int:
    """Take back what still waits, the last first; returns how many of the flood had begun."""
    begun = 0
    for job_id in reversed(flood):
        job = await program.job(job_id)
        if job.admitted_at is not None:
            begun += 1
        else:
            await program.app.studio.cancel(job.id, job.request.requester)
    return begun


def busy_share(report: Report, until: float) -> float:
    """The share of slot-seconds with a running generation, from the tenth creation on."""
    created = sorted(report.created.values())
    since = created[SLOTS - 1]
    spans = (
        min(report.completed.get(each, until), until) - max(began, since)
        for each, began in report.created.items()
    )
    return sum(span for span in spans if span > 0) / (SLOTS * (until - since))


def most_running(report: Report) -> int:
    """How many generations there were at once at the most: more than the slots hides idle ones."""
    ends = [(at, -1) for at in report.completed.values()]
    begins = [(at, 1) for at in report.created.values()]
    return max(accumulate(step for _, step in sorted([*ends, *begins])), default=0)


def measure_ten(options: RunOptions) -> list[Figure]:
    """The peers, the program by polling, and with callbacks, side by side on a service each."""
    seconds = 70.0 if options.is_quick else 90.0
    count = SLOTS if options.is_quick else 3 * SLOTS
    idle_worst()
    with Service([Account(), Account(callbacks=True), *[Account()] * len(PEERS)]) as service:
        polling, calling = (Child(run_flood, url, seconds) for url in service.urls[:2])
        runs = [
            Child(run_peers, [PeerRun(peer=who, url=url, at_once=SLOTS, jobs=count)])
            for who, url in zip(PEERS, service.urls[2:], strict=True)
        ]
        polled, called = polling.result(RUN_SECONDS), calling.result(RUN_SECONDS)
        showings = [each.result(RUN_SECONDS)[0] for each in runs]
        reports = [service.report(number) for number in range(2 + len(PEERS))]
    peers = [
        to_peer_figure(who, SLOTS, peer_result, report)
        for who, peer_result, report in zip(PEERS, showings, reports[2:], strict=True)
    ]
    by_polling = to_lag_stats([polled.journeys], reports[:1])
    by_callback = to_lag_stats([called.journeys], reports[1:2])
    return [
        *peers,
        Figure(
            name="lag by polling, 10 running",
            goal="p50 ≤ 0.8 s, p95 ≤ 1.5 s, GETs ≤ the SDK loop's",
            measured=by_polling.words,
            remark=remark(by_polling),
            is_reached=_is_quick_enough(by_polling, peers[0]),
            score=by_polling.to_score("Raybot, polling", SLOTS, late=polled.late),
        ),
        to_callback_figure(SLOTS, by_callback, late=called.late),
        *_slot_figures("by polling", polled, reports[0]),
        *_slot_figures("with callbacks", called, reports[1]),
    ]


def _is_quick_enough(stats: LagStats, peer: Figure) -> bool:
    assert peer.score is not None
    return stats.p50 <= 0.8 and stats.p95 <= 1.5 and stats.looks <= peer.score.looks


def _slot_figures(how: str, outcome: FloodOutcome, report: Report) -> list[Figure]:
    share, most = busy_share(report, outcome.waited_until), most_running(report)
    began = report.created.get(outcome.newcomer or "")
    wait = None if began is None else began - outcome.newcomer_asked
    return [
        Figure(
            name=f"ten slots busy while jobs wait, {how}",
            goal=f"≥ 97 %, never more than {SLOTS}",
            measured=f"{share * 100:.1f} %, at most {most}",
            is_reached=share >= 0.97 and most <= SLOTS,
        ),
        Figure(
            name=f"newcomer's wait behind a flood of {FLOOD}, {how}",
            goal=f"≤ one mean job time ({MEAN_SECONDS:.0f} s)",
            measured="never began" if wait is None else f"{wait:.1f} s",
            is_reached=wait is not None and wait <= MEAN_SECONDS,
        ),
    ]
