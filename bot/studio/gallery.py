"""Clips that people like: starred, shown again in their place's gallery, sent to whoever asks."""

from __future__ import annotations

from typing import Literal

from bot.clock import Clock
from bot.courier import Courier
from bot.errors import InvalidRequest, JobNotFound, NotAllowed, ThreadGone, asks_for_no_clip
from bot.job import Job, JobState
from bot.policy import GALLERY_STARS
from bot.refs import JobId, ThreadRef
from bot.request import Requester
from bot.store import errands, jobs, messages, places, reviews, settings, stars
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.text import thing

#: A copy was sent now, or had been sent before.
SendAnswer = Literal["sent", "known"]
#: A star counts, or is no more than a word about oneself.
StarAnswer = Literal["counted", "own"]


class Gallery:
    """Stars, and the copies they lead to; each copy is posted once."""

    def __init__(
        self, *, database: Database, clock: Clock, access: Access, courier: Courier
    ) -> None:
        self._database = database
        self._clock = clock
        self._access = access
        self._courier = courier

    @asks_for_no_clip
    async def star(self, job_id: JobId, requester: Requester, *, is_on: bool = True) -> StarAnswer:
        """Star a clip, or take that back; enough stars bring it into the gallery for good.

        One's own star does not count. Raises `JobNotFound` and `InvalidRequest`.
        """

        def write(tx: Tx) -> StarAnswer:
            job = _visible_clip(tx, job_id, requester)
            if job.request.requester.person == requester.person:
                return "own"
            if is_on:
                stars.put(tx, job_id, requester.person, self._clock.now())
                self._show_again(tx, job)
            else:
                stars.take(tx, job_id, requester.person)
            return "counted"

        return await self._database.write(write)

    def _show_again(self, tx: Tx, job: Job) -> None:
        own = job.request.requester
        rules = settings.chosen(tx.conn, settings.rules_scope(own.tenant))
        channel, needed = rules.get("gallery_channel", ""), rules.get("gallery_stars")
        is_served = self._access.is_served(own.tenant, places.state(tx.conn, own.tenant))
        may_adults_only = rules.get("gallery_age_restricted") == "yes"
        is_kept_out = job.request.is_age_restricted and not may_adults_only
        if not channel or not is_served or is_kept_out or not _is_public(job, channel):
            return
        if stars.count(tx.conn, job.id) < int(needed or GALLERY_STARS):
            return
        there = ThreadRef(adapter=own.adapter, workspace=own.workspace, channel=channel)
        key, now = messages.gallery_key(job.id), self._clock.now()
        if errands.begin(tx, key, job.id, "gallery", there, now):
            tx.after_commit(self._courier.wake)

    @asks_for_no_clip
    async def send(self, job_id: JobId, requester: Requester) -> SendAnswer:
        """Send somebody a copy of a clip by direct message, once.

        Raises `NotAllowed` where they cannot be written to, `DeliveryUnavailable` where it comes
        later, `ClipError`s where it is no longer kept.
        """
        key, now = messages.letter_key(job_id, errands.short(requester.person)), self._clock.now()

        def write(tx: Tx) -> SendAnswer:
            _visible_clip(tx, job_id, requester)
            if messages.get(tx.conn, key).message is not None:
                return "known"
            if not errands.begin(tx, key, job_id, "letter", requester, now):
                errands.again(tx, key, now)
            return "sent"

        answer = await self._database.write(write)
        try:
            await self._courier.carry(key)
        except ThreadGone as gone:
            raise NotAllowed(f"I cannot write to you directly: {gone.sentence}") from gone
        return answer


def _visible_clip(tx: Tx, job_id: JobId, requester: Requester) -> Job:
    job = jobs.get_or_none(tx.conn, job_id)
    if job is None or not job.request.is_seen_by(requester):
        raise JobNotFound(f"There is no job {job_id} here.")
    if job.clip is None or reviews.is_held_back(tx.conn, job):
        raise InvalidRequest(f"{job_id} has no {thing(job.work)}.")
    return job


def _is_public(job: Job, gallery: str) -> bool:
    """Whether everybody there may see a clip, and it is not in the gallery anyway."""
    request = job.request
    is_private = request.is_private or request.requester.is_outside
    is_there = gallery in (request.thread.channel, request.thread.thread)
    return job.state is JobState.DELIVERED and not is_private and not is_there
