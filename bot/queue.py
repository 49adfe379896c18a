"""Who is next for a free slot at a provider: fair between people, then the oldest. Pure.

`served` says whom a slot was given to, a greater number later: with few slots somebody whose only
clip just ended runs no more than those who never had one.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType

from bot.refs import JobId

NOBODY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A job in line; a smaller `seq` came earlier."""

    job_id: JobId
    person: str
    seq: int


def line(
    waiting: Sequence[Waiting], running: Mapping[str, int], served: Mapping[str, int] = NOBODY
) -> Iterator[JobId]:
    """Everyone in the order of their turn.

    Max-min fair: next is always the person with the fewest running and already chosen, of equals
    who was not served for longest, then whose job is oldest. So twenty of one do not stand before
    another's first.
    """
    own: defaultdict[str, deque[Waiting]] = defaultdict(deque)
    for job in sorted(waiting, key=lambda each: each.seq):
        own[job.person].append(job)
    heap = [
        (running.get(person, 0), served.get(person, 0), jobs[0].seq, person)
        for person, jobs in own.items()
    ]
    heapq.heapify(heap)
    while heap:
        count, last, _, person = heap[0]
        jobs = own[person]
        yield jobs.popleft().job_id
        if jobs:
            heapq.heapreplace(heap, (count + 1, last, jobs[0].seq, person))
        else:
            heapq.heappop(heap)


def next_up(
    waiting: Sequence[Waiting],
    running: Mapping[str, int],
    served: Mapping[str, int] = NOBODY,
    *,
    slots: int,
) -> list[JobId]:
    """Who takes the free slots now."""
    return list(islice(line(waiting, running, served), max(slots, 0)))


def positions(
    waiting: Sequence[Waiting], running: Mapping[str, int], served: Mapping[str, int] = NOBODY
) -> dict[JobId, int]:
    """Everyone's place in line, from 1."""
    turns = line(waiting, running, served)
    return {job_id: place for place, job_id in enumerate(turns, start=1)}
