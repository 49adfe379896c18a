"""All that was asked, the newest first, with what it made: turned over, searched, looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.desk_job_views import ClipLine, ClipPage, Search, Spot
from bot.errors import JobNotFound
from bot.job import Job
from bot.overview import Sitting
from bot.refs import JobId
from bot.store import desk_clips, jobs
from bot.store.database import Database

PAGE = 24
#: Maximum of rows in a file, and how many are read for it at a time.
MOST_IN_FILE, CHUNK = 50_000, 500


class ClipsView:
    """What lies in the reach of a sitting; of the rest nothing is there (`JobNotFound`)."""

    def __init__(
        self, *, database: Database, clips: Clips, clock: Clock, context: BotContext
    ) -> None:
        self._database = database
        self._clips = clips
        self._clock = clock
        self._context = context

    @property
    def zone(self) -> str:
        """The time zone in which days begin and end here."""
        return self._context.limits.timezone

    async def tenants(self, sitting: Sitting) -> list[str]:
        """The places of a sitting, where it has several."""
        return [] if sitting.tenant else await self._database.read(desk_clips.tenants)

    async def page(self, sitting: Sitting, search: Search, after: Spot | None = None) -> ClipPage:
        """Some of what is looked for, older than a spot."""
        return await self._look(sitting, search, after, PAGE)

    def everything(self, sitting: Sitting, search: Search) -> AsyncIterator[tuple[ClipLine, ...]]:
        """All that is looked for, a part at a time, up to the most that a file has."""
        # What is not theirs is refused before the first part is asked for.
        return self._parts(sitting, _within(sitting, search))

    async def _parts(
        self, sitting: Sitting, search: Search
    ) -> AsyncIterator[tuple[ClipLine, ...]]:
        left, after = MOST_IN_FILE, None
        while left > 0:
            page = await self._look(sitting, search, after, min(CHUNK, left))
            yield tuple(page.lines)
            left, after = left - len(page.lines), page.older
            if after is None:
                return

    async def _look(
        self, sitting: Sitting, search: Search, after: Spot | None, limit: int
    ) -> ClipPage:
        within, reader = _within(sitting, search), sitting.who.person
        page = await self._database.read(
            lambda conn: desk_clips.look(conn, within, after, reader=reader, limit=limit)
        )
        return replace(page, lines=[self.signed(each) for each in page.lines])

    def signed(self, line: ClipLine) -> ClipLine:
        """A line with links: to its message, and one that opens its file for some hours."""
        chat = self._context.link_to(line.message) if line.message is not None else ""
        if not line.has_clip:
            return replace(line, chat=chat)
        path = f"/clips/{line.job_id}{PurePosixPath(line.link).suffix}"
        return replace(line, chat=chat, link=self._context.sign(path, self._link_ends()))

    def _link_ends(self) -> datetime:
        """A full hour, so that a page that is drawn again says the same."""
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        return hour + timedelta(hours=13)

    async def poster(self, sitting: Sitting, job_id: JobId) -> Path:
        """A picture of a clip, made when it is asked for; raises `ClipError`s, too."""
        job = await self._database.read(lambda conn: jobs.get_or_none(conn, job_id))
        line = await self.line(sitting, job_id)
        if job is None or job.clip is None or not line.has_clip:
            raise JobNotFound(f"There is no picture of {job_id}.")
        return await self._clips.poster(job.clip)

    async def line(self, sitting: Sitting, job_id: JobId) -> ClipLine:
        """A job as it stands in a list."""
        reader = sitting.who.person
        found = await self._database.read(lambda conn: desk_clips.one(conn, job_id, reader))
        if found is None or not sitting.sees(found.tenant):
            raise JobNotFound(f"There is no job {job_id}.")
        return self.signed(found)

    async def job(self, sitting: Sitting, job_id: JobId) -> tuple[ClipLine, Job]:
        """A job as it stands in a list, and the whole of it."""
        line = await self.line(sitting, job_id)
        return line, await self._database.read(lambda conn: jobs.get(conn, job_id))


def _within(sitting: Sitting, search: Search) -> Search:
    """A search that is kept to what a sitting sees."""
    if not sitting.tenant:
        return search
    if search.person and not search.person.startswith(f"{sitting.tenant}:"):
        raise JobNotFound("There is nobody like that here.")
    return replace(search, tenant=sitting.tenant)
