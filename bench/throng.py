"""Ten thousand running, of which some finish: how the peers hold it, each as far as it goes."""

from __future__ import annotations

import math

from bench.children import ChildFailed, Partner
from bench.contest import went_wrong
from bench.figures import Figure
from bench.loop import idle_worst
from bench.peers import PEERS
from bench.program import Journey
from bench.race import Race, Showing, stand
from bench.sample import take_sample
from bench.service import Account, Service
from bench.terms import Terms

#: To get all of them running; a peer that needs longer is measured with what it has by then.
PATIENCE_SECONDS = 75.0
RUN_SECONDS = 60.0


def thronging(terms: Terms) -> list[Figure]:
    """Each peer for itself; what Raybot does with as many stands under `restart`."""
    count = 2000 if terms.is_quick else 10_000
    idle_worst()
    return [_hold(who, count) for who in PEERS]


def _hold(who: str, count: int) -> Figure:
    with Service([Account(manual=True)]) as service:
        race = Race(peer=who, url=service.urls[0], jobs=count, seconds=math.inf)
        partner = Partner(stand, race, PATIENCE_SECONDS)
        try:
            ids: list[str] = partner.hear(PATIENCE_SECONDS + RUN_SECONDS)
            sample = take_sample(service, ids)
            partner.say("enough")
            showing: Showing = partner.hear(RUN_SECONDS)
        except ChildFailed as error:
            return Figure(name=f"  peer: {who}, {count:,} running", measured=f"fell over: {error}")
        finally:
            partner.end()
    journeys = {id_: Journey(seen=at, kept=at, visible=at) for id_, at in showing.visible.items()}
    tally = sample.to_tally(journeys)
    return Figure(
        name=f"  peer: {who}, {count:,} running",
        measured=tally.words,
        remark=f"{len(ids):,} of {count:,} running after {PATIENCE_SECONDS:.0f} s at the most; "
        f"{sample.words}{went_wrong(showing, sample.report)}",
        score=tally.to_score(who, count, late=showing.late, job_bytes=showing.job_bytes),
    )
