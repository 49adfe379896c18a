"""What people can have looked at, and what those who run a place decide about it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.courier import Courier
from bot.errors import (
    BotError,
    InvalidRequest,
    JobNotFound,
    StoreError,
    TooLate,
    asks_for_no_clip,
)
from bot.job import TERMINAL, Job
from bot.log import get_logger
from bot.notices import Outcome
from bot.refs import JobId, ThreadRef
from bot.request import Requester
from bot.store import complaints, errands, jobs, messages, reviews, settings
from bot.store.database import Database
from bot.store.errands import short
from bot.store.transaction import Tx
from bot.studio.removal import Removal
from bot.studio.rights import Rights
from bot.text import DECIDED, thing
from bot.words import clean

log = get_logger(__name__)
REASON_CHARS = 300
LOOK_EVERY = timedelta(minutes=10)
#: What became of a report: it is passed on, it was made before, or the clip was looked at already.
ReportAnswer = Literal["noted", "known", "decided"]


class Care:
    """Reports of clips, and decisions about them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        context: BotContext,
        rights: Rights,
        removal: Removal,
        courier: Courier,
    ) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._rights = rights
        self._removal = removal
        self._courier = courier

    @asks_for_no_clip
    async def report(self, job_id: JobId, requester: Requester, reason: str = "") -> ReportAnswer:
        """Let those who run its place look at a clip; once for each person.

        Its maker does not learn who reported it. Raises `JobNotFound` and `InvalidRequest`.
        """
        why, now = clean(reason, limit=REASON_CHARS), self._clock.now()

        def write(tx: Tx) -> ReportAnswer:
            job = jobs.get_or_none(tx.conn, job_id)
            if job is None or not job.request.is_seen_by(requester):
                raise JobNotFound(f"There is no job {job_id} here.")
            # Nobody has seen what is not posted yet, or never will be.
            is_out = job.state in TERMINAL and not reviews.is_held_back(tx.conn, job)
            if job.clip is None or not is_out:
                raise InvalidRequest(f"{job_id} has no {thing(job.work)} to report.")
            if not complaints.note(tx, job_id, requester.person, why, now):
                return "known"
            if complaints.of_job(tx.conn, job_id).outcome is not None:
                return "decided"
            self._pass_on(tx, job)
            return "noted"

        return await self._database.write(write)

    def _pass_on(self, tx: Tx, job: Job) -> None:
        """To the moderators' channel of its place, else to the operator."""
        now, tenant = self._clock.now(), job.request.requester.tenant
        rules = settings.chosen(tx.conn, settings.rules_scope(tenant))
        channel, own = rules.get("moderators_channel"), job.request.requester
        targets: dict[str, ThreadRef | Requester] = {}
        if channel:
            there = ThreadRef(adapter=own.adapter, workspace=own.workspace, channel=channel)
            targets[messages.report_key(job.id)] = there
        else:
            targets = {
                messages.report_key(job.id, f":{short(each.identity)}"): each.address
                for each in self._context.contacts
            }
        if not targets:
            sentence = f"{job.id} was reported, but {tenant} has no channel for its moderators."
            settings.note_operator(tx, f"report:{job.id}", sentence, now, job.id)
        errands.renew(tx, job.id, now, kind="report")
        for key, to in targets.items():
            errands.begin(tx, key, job.id, "report", to, now)
        tx.after_commit(self._courier.wake)

    @asks_for_no_clip
    async def decide(self, job_id: JobId, outcome: Outcome, *, actor: Requester) -> None:
        """Remove a clip that was reported, block its maker, or keep it; decided once.

        The adapter has checked that `actor` may decide in their place. Raises `NotAllowed`, and
        `InvalidRequest` where it was decided before.
        """
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        tenant = job.request.requester.tenant
        self._rights.check(tenant, actor=actor)
        now = self._clock.now()

        def write(tx: Tx) -> None:
            said = complaints.of_job(tx.conn, job_id)
            if said.outcome is not None:
                raise TooLate(f"{job_id} was decided already: {DECIDED[said.outcome]}")
            if said.count == 0:
                raise InvalidRequest(f"Nobody reported {job_id}.")
            complaints.decide(tx, job_id, outcome, by=actor.person, now=now)
            owner = job.request.requester.person
            settings.write_audit(
                tx,
                now,
                actor=actor.person,
                act=f"report {outcome}",
                target=job_id,
                detail=owner,
            )
            if outcome == "blocked":
                settings.block(tx, owner, until=None, reason=f"report of {job_id}", now=now)
            errands.renew(tx, job_id, now, kind="report")
            tx.after_commit(self._courier.wake)

        await self._database.write(write)
        await self.remove_decided()

    async def run(self) -> None:
        """Remove what could not be removed when it was decided, until cancelled."""
        while True:
            try:
                await self.remove_decided()
            except StoreError as error:
                log.error("care.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK_EVERY)

    async def remove_decided(self) -> None:
        """Remove the clips that were to be removed; what cannot be yet is left for later."""
        for job_id, by in await self._database.read(complaints.not_removed):
            await self._remove(job_id, by)

    async def _remove(self, job_id: JobId, by: str) -> None:
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        try:
            await self._removal.remove(job, by=by)
        except BotError as error:
            log.warning("care.not_removed", job=job_id, cause=type(error).__name__)
