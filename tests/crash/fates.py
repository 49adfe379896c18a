"""One story with kills in it, and how it ended."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext

from tests.crash import doubts
from tests.crash.books import Kind
from tests.crash.points import Where
from tests.crash.worlds import World


@dataclass(frozen=True, kw_only=True)
class Fate:
    """How one story with a kill in it ended: where it was killed, and what is wrong since.

    `is_early`: a life ended by itself before it came to its point, and left something wrong.
    `is_asked`: it came to no end without the operator.
    """

    chat: str
    database: Kind
    story: str
    die_at: Where
    point: str
    wrong: tuple[str, ...]
    seconds: float
    is_early: bool = False
    is_asked: bool = False


async def tell(place: World, processes: ForkServerContext, *points: Where) -> Fate | None:
    """A story with a kill at each of these points, one a life; None where a life ended before.

    A life that ends in any other way is wrong, whatever the next one makes good. What was in
    doubt twice is not sent a third time: the operator is asked, who finds nothing, and releases.
    """
    began = time.monotonic()
    died, wrong, is_early = list[str](), list[str](), False
    for life, die_at in enumerate((*points, 0)):
        code = await place.live(processes, place.orders(life=life, die_at=die_at))
        if is_early := code == 0 and die_at != 0:
            break
        if code == -signal.SIGKILL and die_at != 0:
            died.append(place.passed[-1])
        elif code != 0:
            wrong.append(f"life {life + 1}: exit {code}")
    released = doubts.left(place.books) if len(died) > 1 else []
    if released:
        wrong += doubts.wrong_in_doubt(place.books, released, made=len(place.made))
        codes = await place.be_released(processes, lives=len(points) + 1)
        wrong += [f"with the operator's decision: exit {each}" for each in codes if each != 0]
    wrong += place.wrong(released=released)
    if is_early and not wrong:
        return None
    return Fate(
        chat=place.chat,
        database=place.books.kind,
        story=place.story.name,
        die_at=points[0],
        point=" · ".join(died),
        wrong=tuple(wrong),
        seconds=time.monotonic() - began,
        is_early=is_early,
        is_asked=bool(released),
    )
