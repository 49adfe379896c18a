"""How a job stands, as its status message says it; of a film that is how its shots stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol

from bot.job import Job, JobState
from bot.menu import Menu
from bot.notices import Notice
from bot.outlook import Outlook, to_film_status, to_status
from bot.store import lineage, stops, stories
from bot.store.database import Database


class Foresees(Protocol):
    """Knows what is in no row: places in line, how long it should take, troubles."""

    async def outlook(self, job: Job) -> Outlook:
        """What is to be expected of a job."""


class Status:
    """Builds a job's current status notice."""

    def __init__(
        self, *, database: Database, watchers: Mapping[str, Foresees], menu: Menu
    ) -> None:
        self._database = database
        self._watchers = watchers
        self._menu = menu

    async def to_notice(self, job: Job) -> Notice:
        """What is so now of a job."""
        outlook = await self._outlook(job)
        if not job.is_film:
            return to_status(job, outlook)
        shots = await self._database.read(lambda conn: stories.shots(conn, job.id))
        ahead = next((each for each in shots if each.state is not JobState.DELIVERED), job)
        return to_film_status(job, outlook, shots, to_status(ahead, await self._outlook(ahead)))

    async def _outlook(self, job: Job) -> Outlook:
        outlook = Outlook()
        if job.state is JobState.RECEIVED:
            outlook = Outlook(confirm_until=job.next_at)
        elif job.plan is not None and job.plan.provider in self._watchers:
            outlook = await self._watchers[job.plan.provider].outlook(job)
            if outlook.provider_trouble:
                outlook = replace(outlook, offer=job.plan.offered)
            if job.state is JobState.ACCEPTED and job.admitted_at is None:
                outlook = await self._unless_paused(job, outlook)
        parent = None
        if job.parent is not None:
            parent = await self._database.read(partial(lineage.parent, job=job))
        return replace(outlook, parent=parent, acts=self._menu.of(job))

    async def _unless_paused(self, job: Job, outlook: Outlook) -> Outlook:
        paused = await self._database.read(lambda conn: stops.why_paused(conn, job))
        return replace(outlook, provider_trouble=paused, offer=None) if paused else outlook
