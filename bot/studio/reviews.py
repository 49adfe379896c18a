"""What moderators decide about clips that are looked at before they are posted."""

from __future__ import annotations

from bot.clock import Clock
from bot.courier import Courier
from bot.errors import JobNotFound, asks_for_no_clip
from bot.job import Job
from bot.notices import Reviewed, Verdict
from bot.outlook import to_about
from bot.refs import JobId
from bot.request import Requester
from bot.store import jobs, reviews
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.intake import Intake
from bot.studio.rights import Rights


class Reviews:
    """Decisions about clips that wait, each once and in the audit log."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        intake: Intake,
        rights: Rights,
        courier: Courier,
    ) -> None:
        self._database = database
        self._clock = clock
        self._intake = intake
        self._rights = rights
        self._courier = courier

    @asks_for_no_clip
    async def decide(
        self, job_id: JobId, verdict: Verdict, *, actor: Requester, reason: str = ""
    ) -> Reviewed:
        """Let a clip be posted, or never; what holds then, which somebody may have decided before.

        The `reason` of a rejection is told to the clip's person, and kept in the audit log.
        The adapter has checked that `actor` may decide in their place. Raises `JobNotFound` for
        what is of other places, and `InvalidRequest` where it never waited.
        """
        job = await self._database.read(lambda conn: jobs.get_or_none(conn, job_id))
        tenant = job.request.requester.tenant if job is not None else ""
        if job is None or (tenant != actor.tenant and not self._rights.is_operator(actor)):
            raise JobNotFound(f"There is no job {job_id} here.")
        self._rights.check(tenant, actor=actor)
        now = self._clock.now()

        def write(tx: Tx) -> Job:
            if reviews.is_over(tx.conn, job_id):
                return jobs.get(tx.conn, job_id)
            tx.after_commit(self._courier.wake)
            return reviews.decide(tx, job_id, verdict, by=actor.person, now=now, reason=reason)

        decided = await self._intake.receipts.write(write)
        holds, by = await self._database.read(lambda conn: reviews.decision(conn, job_id))
        about = to_about(decided)
        return Reviewed(about=about, verdict=holds, decided_by=by.rpartition(":")[2])
