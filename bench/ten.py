"""Ten slots under one person's flood: lag, calls, how busy the slots are, a newcomer's wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.children import Child
from bench.figures import Figure
from bench.lag import Tally, remark, to_callback_figure, to_peer_tally, to_tally
from bench.peer import PeerOrders, run_peers
from bench.program import Journey, Program, running, scratch, to_bench_config
from bench.service import Account, Report, Service
from bot.refs import GenerationId, JobId

SLOTS, FLOOD = 10, 100
MEAN_SECONDS = 30.0
NEWCOMER_AFTER = 40.0
RUN_SECONDS = 260.0


@dataclass(frozen=True, kw_only=True)
class FloodOutcome:
    """What became of each generation; until when jobs waited; when the newcomer asked."""

    journeys: Mapping[str, Journey] = field(repr=False)
    waited_until: float
    newcomer_asked: float
    newcomer: GenerationId | None


def run_flood(url: str, seconds: float) -> FloodOutcome:
    """One person asks for a hundred clips, another for one; the rest is cancelled in time."""
    return asyncio.run(_run_flood(url, seconds))


async def _run_flood(url: str, seconds: float) -> FloodOutcome:
    with scratch() as folder:
        async with running(to_bench_config(Path(folder), url, running=SLOTS)) as program:
            flood = await program.ask_for(range(FLOOD), person="flood")
            await asyncio.sleep(NEWCOMER_AFTER)
            asked = program.now()
            newcomer = await program.ask(0, person="newcomer")
            await asyncio.sleep(seconds - NEWCOMER_AFTER)
            waited_until = program.now()
            begun = await _cancel_waiting(program, flood)
            async with asyncio.timeout(RUN_SECONDS):
                await program.chat.until(lambda chat: len(chat.clips) > begun)
            return FloodOutcome(
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


def ten_running(*, is_quick: bool) -> list[Figure]:
    """The peer, the program by polling, and with callbacks, side by side on a service each."""
    seconds = 70.0 if is_quick else 105.0
    with Service([Account(), Account(callbacks=True), Account()]) as service:
        polling, calling = (Child(run_flood, url, seconds) for url in service.urls[:2])
        count = SLOTS if is_quick else 3 * SLOTS
        orders = PeerOrders(url=service.urls[2], at_once=SLOTS, jobs=count)
        peers = Child(run_peers, [orders])
        polled, called = polling.result(RUN_SECONDS), calling.result(RUN_SECONDS)
        visible = peers.result(RUN_SECONDS)
        reports = [service.report(number) for number in range(3)]
    peer = to_peer_tally(visible, reports[2:])
    by_polling = to_tally([polled.journeys], reports[:1])
    by_callback = to_tally([called.journeys], reports[1:2])
    return [
        Figure(name="  peer: SDK loop, 10 running", measured=peer.words, remark=remark(peer)),
        Figure(
            name="lag by polling, 10 running",
            goal="p50 ≤ 0.8 s, p95 ≤ 1.5 s, GETs ≤ the peer's",
            measured=by_polling.words,
            remark=remark(by_polling),
            is_reached=_is_quick_enough(by_polling, peer),
        ),
        to_callback_figure("10 running", by_callback),
        *_slot_figures("by polling", polled, reports[0]),
        *_slot_figures("with callbacks", called, reports[1]),
    ]


def _is_quick_enough(tally: Tally, peer: Tally) -> bool:
    return tally.p50 <= 0.8 and tally.p95 <= 1.5 and tally.looks <= peer.looks


def _slot_figures(how: str, outcome: FloodOutcome, report: Report) -> list[Figure]:
    share = busy_share(report, outcome.waited_until)
    began = report.created.get(outcome.newcomer or "")
    wait = None if began is None else began - outcome.newcomer_asked
    return [
        Figure(
            name=f"ten slots busy while jobs wait, {how}",
            goal="≥ 97 %",
            measured=f"{share * 100:.1f} %",
            is_reached=share >= 0.97,
        ),
        Figure(
            name=f"newcomer's wait behind a flood of {FLOOD}, {how}",
            goal=f"≤ one mean job time ({MEAN_SECONDS:.0f} s)",
            measured="never began" if wait is None else f"{wait:.1f} s",
            is_reached=wait is not None and wait <= MEAN_SECONDS,
        ),
    ]
