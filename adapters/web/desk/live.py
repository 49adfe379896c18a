"""What is shown of work under way, for pages that are open: drawn once for all who see the same.

It is looked at every other second while anybody has such a page open, drawn again only where a job
has moved, and told only where it looks different then.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from adapters.web.desk.visit import DeskVisit
from adapters.web.news import News
from bot.clock import Clock
from bot.errors import BotError
from bot.log import get_logger

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
EVERY = timedelta(seconds=2)
#: Some of what is shown changes without a job that moves.
ANYWAY = timedelta(seconds=10)
MOST_VIEWS = 50
NAME = "queue"


@dataclass(frozen=True, kw_only=True)
class View:
    """What somebody sees: of one place, or of all where `tenant` is empty.

    `has_places`: each job with its place.
    """

    tenant: str
    has_places: bool


@dataclass
class _Watched:
    news: News
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)
    pages: int = 0
    pulse: int = -1
    drawn: str = ""
    drawn_at: datetime | None = None


#: Before any other time.
_NEVER_ASKED = datetime.min.replace(tzinfo=UTC)


@dataclass
class _Session:
    """Somebody who is signed in, asked for once for all of their pages."""

    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    pages: int = 0
    #: None once they are out.
    until: datetime | None = _NEVER_ASKED


class Live:
    """Views that pages are open on; `draw` draws one."""

    def __init__(
        self, studio: Studio, draw: Callable[[View], Awaitable[str]], *, clock: Clock
    ) -> None:
        self._entry = studio.entry
        self._jobs = studio.desk.jobs
        self._draw = draw
        self._clock = clock
        self._watched: OrderedDict[View, _Watched] = OrderedDict()
        self._sessions: dict[str, _Session] = {}
        self._anybody = asyncio.Event()

    async def now(self, view: View) -> tuple[str, str]:
        """What it looks like now, and what a page that is drawn with it has seen."""
        watched = self._of(view)
        # In order: else what was read first could be told last.
        async with watched.drawing:
            watched.pulse, watched.drawn_at = await self._jobs.pulse(), self._clock.now()
            watched.drawn = await self._draw(view)
            watched.news.tell(NAME, watched.drawn)
            return watched.drawn, watched.news.seen

    async def follow(self, view: View, seen: str, visit: DeskVisit) -> AsyncGenerator[bytes, None]:
        """What changes from there on, as long as its reader is signed in."""
        watched = self._of(view)
        session = self._sessions.setdefault(visit.key, _Session())
        watched.pages += 1
        session.pages += 1
        self._anybody.set()

        async def everything() -> list[str]:
            # As it was told last: what changes while it is drawn anew would be told twice.
            return [watched.drawn]

        news = watched.news.stream(seen, everything, partial(self._in_until, visit, session))
        try:
            # Nobody may have looked for long: what is over by the next look would never be told.
            if not watched.drawn or watched.pulse != await self._jobs.pulse():
                await self.now(view)
            async for event in news:
                yield event
        finally:
            await news.aclose()
            watched.pages -= 1
            session.pages -= 1
            if not session.pages:
                self._sessions.pop(visit.key, None)
            if not any(each.pages for each in self._watched.values()):
                self._anybody.clear()

    async def run(self) -> None:
        """Look at what pages are open on, until cancelled."""
        while True:
            await self._clock.wait(self._anybody, None)
            try:
                await self._look()
            except BotError as error:
                log.warning("desk.not_drawn", cause=type(error).__name__)
            await self._clock.wait(asyncio.Event(), self._clock.now() + EVERY)

    async def _look(self) -> None:
        pulse, now = await self._jobs.pulse(), self._clock.now()
        for view, watched in list(self._watched.items()):
            is_old = watched.drawn_at is None or now >= watched.drawn_at + ANYWAY
            if watched.pages and (is_old or watched.pulse != pulse):
                await self.now(view)

    def _of(self, view: View) -> _Watched:
        if view not in self._watched:
            self._watched[view] = _Watched(news=News(clock=self._clock))
            idle = [each for each, watched in self._watched.items() if not watched.pages]
            for each in idle[: max(0, len(self._watched) - MOST_VIEWS)]:
                if each != view:
                    del self._watched[each]
        self._watched.move_to_end(view)
        return self._watched[view]

    async def _in_until(self, visit: DeskVisit, session: _Session) -> datetime | None:
        """How long somebody may read on without being asked for again; None: no more."""
        now = self._clock.now()
        async with session.asking:
            if session.until is not None and now >= session.until:
                session.until = None
                with suppress(BotError):
                    sitting = await self._entry.sitting(visit.key)
                    if sitting is not None and sitting.has_desk:
                        session.until = self._entry.looks_again_at(sitting)
        return session.until
