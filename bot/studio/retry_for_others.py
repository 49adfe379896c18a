"""Another try of what failed, for whoever asked for it, by those who run their place."""

from __future__ import annotations

from bot.errors import InvalidRequest, JobNotFound
from bot.job import Job, JobState
from bot.refs import JobId, Micros, money
from bot.request import GenerationRequest, Requester
from bot.store import jobs, lineage, settings, stories
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.desk.acts import can_retry
from bot.studio.intake import Intake
from bot.studio.receipts import Receipt
from bot.studio.rights import Rights
from bot.studio.shelf import check_whole


class Retries:
    """Asks again in the name of others.

    The new job is its person's, as if they had pressed Retry: their limits hold, what is dear
    waits for their word, and it is answered where they asked. So only what failed and cost nothing
    is tried again, and only once at a time: nobody pays for what they did not ask for. Whether
    they still have the roles that they had then is not known: it is asked for without any.
    """

    def __init__(self, *, database: Database, intake: Intake, rights: Rights) -> None:
        self._database = database
        self._intake = intake
        self._rights = rights

    async def retry(self, job_id: JobId, *, actor: Requester, dedupe_key: str) -> Receipt:
        """Ask for the same again; `actor` is in the audit log with both jobs, the person asks.

        The adapter has checked that `actor` may decide in their place. Raises `JobNotFound` for
        what is of other places, and `Refusal`s; then nothing is charged.
        """
        job = await self._database.read(lambda conn: jobs.get_or_none(conn, job_id))
        tenant = job.request.requester.tenant if job is not None else ""
        if job is None or (tenant != actor.tenant and not self._rights.is_operator(actor)):
            raise JobNotFound(f"There is no job {job_id} here.")
        self._rights.check(tenant, actor=actor)
        charged = await self._database.read(lambda conn: stories.charged(conn, job))
        _check(job, charged)
        asked = job.request
        request = GenerationRequest(
            dedupe_key=dedupe_key,
            requester=asked.requester.model_copy(update={"roles": ()}),
            thread=asked.thread,
            work=asked.work,
            is_age_restricted=asked.is_age_restricted,
            parent=job_id,
            relation="retry",
        )

        def note(tx: Tx, started: Job) -> None:
            _check_first(tx, job_id, started)
            settings.write_audit(
                tx,
                started.created_at,
                actor=actor.person,
                act="retry",
                target=job_id,
                detail=f"{started.id} for {asked.requester.person}",
            )

        started = await self._intake.submit_all(
            [request], is_confirmed=False, retry_of=job_id, also=note
        )
        return started[0]


def _check(job: Job, charged: Micros) -> None:
    if can_retry(job, charged):
        return
    check_whole(job)
    if job.state is not JobState.FAILED:
        why = f"is {job.state}; only what failed can be tried again from here."
    elif charged:
        why = f"was charged ({money(charged)}), so only the person who asked can retry it."
    elif job.erased_at is not None:
        why = "was forgotten, as the person who asked wished."
    else:
        why = "was asked for in private, so only the person who asked can retry it."
    raise InvalidRequest(f"{job.id} {why}")


def _check_first(tx: Tx, job_id: JobId, started: Job) -> None:
    """Its person may have pressed Retry, too: one of both is enough."""
    others = [each for each in lineage.retries(tx.conn, job_id) if each.id != started.id]
    going = next((e for e in others if e.state not in (JobState.FAILED, JobState.CANCELLED)), None)
    if going is not None:
        raise InvalidRequest(f"{job_id} was tried again already: {going.id} is {going.state}.")
