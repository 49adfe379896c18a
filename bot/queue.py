"""Who is next for a free slot at a provider: fair between people, then the oldest. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from bot.refs import JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A job in line; a smaller `seq` came earlier."""

    job_id: JobId
    person: str
    seq: int


def line(waiting: Sequence[Waiting], running: Mapping[str, int]) -> Iterator[JobId]:
    """Everyone in the order of their turn.

    Max-min fair: next is always the person with the fewest running and already chosen, of
    equals the one whose job is oldest. So twenty of one do not stand before another's first.
    """
    own: defaultdict[str, deque[Waiting]] = defaultdict(deque)
    for job in sorted(waiting, key=lambda each: each.seq):
        own[job.person].append(job)
    heap = [(running.get(person, 0), jobs[0].seq, person) for person, jobs in own.items()]
    heapq.heapify(heap)
    while heap:
        count, _, person = heap[0]
        jobs = own[person]
        yield jobs.popleft().job_id
        if jobs:
            heapq.heapreplace(heap, (count + 1, jobs[0].seq, person))
        else:
            heapq.heappop(heap)


def next_up(waiting: Sequence[Waiting], running: Mapping[str, int], *, slots: int) -> list[JobId]:
    """Who takes the free slots now."""
    return list(islice(line(waiting, running), max(slots, 0)))


def positions(waiting: Sequence[Waiting], running: Mapping[str, int]) -> dict[JobId, int]:
    """Everyone's place in line, from 1."""
    return {job_id: place for place, job_id in enumerate(line(waiting, running), start=1)}
