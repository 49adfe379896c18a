"""Reading round a long list, the newest first, a stretch at a time. Knows no service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from copy import copy
from datetime import datetime
from itertools import pairwise
from typing import Generic, TypeVar

from bot.ports import Generation
from bot.refs import GenerationId

Times = Sequence[datetime | None]
Page = TypeVar("Page")
#: How many rows may be removed between two pages, so that the others move up and none is missed.
OVERLAP = 10


class Rounds:
    """Which offset to read next: the newest page first, then on from where it stopped last.

    A list grows at its front, so what stood at an offset stands behind it later, never before.
    """

    def __init__(self, *, pages: int) -> None:
        self._pages = pages
        self._left = self._offset = self._front = self._start = self._goes_on_at = 0
        self._rows = 0
        self._has_turned = False

    def begin(self) -> int:
        """Begin a stretch of so many pages at most; returns the offset of the newest page."""
        self._left, self._offset, self._front = self._pages, 0, 0
        self._has_turned = False
        return self._offset

    def after(self, rows: int, *, is_end: bool) -> int | None:
        """The offset after a page of so many rows, None where the stretch or the round is over.

        Behind an `is_end` nothing matters: it turns back to the second page, if it left that out.
        """
        self._left -= 1
        is_end = is_end or not rows
        self._rows = self._rows if is_end else rows
        if self._offset == 0:
            self._front, self._start = rows, max(rows, self._goes_on_at - OVERLAP)
            self._offset = self._start
        elif is_end and not self._has_turned and self._start > self._front:
            self._offset, self._has_turned, is_end = self._front, True, False
        else:
            self._offset += rows
        if is_end or (self._has_turned and self._offset >= self._start):
            self.rewind()
            return None
        self._goes_on_at = self._offset
        return self._offset if self._left else None

    def ahead(self) -> int | None:
        """The offset after the page that is read now, if it is as long as the one before."""
        return copy(self).after(self._rows, is_end=False) if self._rows else None

    def rewind(self) -> None:
        """Let the next stretch go on behind the newest page: this one found all."""
        self._goes_on_at = 0


class ReadAhead(Generic[Page]):
    """Asks for the next page while one is still on its way: the pace counts, not the distance.

    So the later one may be answered first, and a row that moves from it to the earlier page in
    between is missed; the next stretch sees it.
    """

    def __init__(self, read: Callable[[int], Awaitable[Page]]) -> None:
        self._read = read
        self._asked: dict[int, asyncio.Future[Page]] = {}

    async def page(self, offset: int, *, ahead: int | None) -> Page:
        """The page at an offset; the one `ahead` is asked for, too. Raises what reading raises."""
        page = self._asked.pop(offset, None) or self._ask(offset)
        if ahead is not None and ahead not in self._asked:
            self._asked[ahead] = self._ask(ahead)
        return await page

    def _ask(self, offset: int) -> asyncio.Future[Page]:
        return asyncio.ensure_future(self._read(offset))  # noqa: TID251 - all end in `aclose`

    async def aclose(self) -> None:
        """Give up what was asked for in vain."""
        for page in self._asked.values():
            page.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


class Turns:
    """Takes a few of many at a time, each in its turn."""

    def __init__(self, count: int) -> None:
        self._count, self._next = count, 0

    def take(self, ids: Iterable[GenerationId]) -> list[GenerationId]:
        """The generations whose turn it is."""
        waiting = sorted(ids)
        if len(waiting) <= self._count:
            return waiting  # Nobody's turn is over because somebody else was alone.
        turn = self._next % len(waiting)
        self._next = turn + self._count
        return (waiting[turn:] + waiting[:turn])[: self._count]


class Horizon:
    """How far back a list matters: to the oldest of those that are looked for."""

    def __init__(self) -> None:
        self._created: dict[GenerationId, datetime] = {}
        self._missed: set[GenerationId] = set()

    def remember(self, seen: Iterable[Generation]) -> None:
        """Note when these began, until they are over."""
        for each in seen:
            self._missed.discard(each.id)
            if each.created_at and each.state in ("queued", "running"):
                self._created[each.id] = each.created_at
            else:
                self._created.pop(each.id, None)

    def miss(self, generation_id: GenerationId) -> None:
        """The service does not know this one, so no list is read for its sake."""
        self._missed.add(generation_id)
        self._created.pop(generation_id, None)

    def of(self, ids: Set[GenerationId]) -> tuple[Set[GenerationId], datetime | None]:
        """What a list may hold, and when the oldest of it began, once that is known of all."""
        wanted = ids - self._missed
        times = [self._created[each] for each in wanted if each in self._created]
        return wanted, min(times, default=None) if len(times) == len(wanted) else None


def reaches(times: Times, since: datetime | None) -> bool:
    """Whether a list goes on with older ones only; an order that nobody promised is seen."""
    known = [time for time in times if time]
    if since is None or len(known) < len(times) or not known:
        return False
    return all(a >= b for a, b in pairwise(known)) and known[-1] < min(since, known[0])
