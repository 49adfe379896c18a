"""Clips that moderators look at before they are posted: which, who is asked, what they decide."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from bot.errors import TooLate
from bot.job import WITHHELD, Failure, Job, JobState
from bot.notices import Verdict
from bot.policy import is_reviewed
from bot.refs import JobId, ThreadRef
from bot.store import errands, jobs, ledger, messages, settings
from bot.store.transaction import Tx
from bot.words import clean, thing

#: Of a clip that was taken back before a moderator had looked at it.
NEVER_LOOKED_AT = Failure(code=WITHHELD, sentence="It was taken back before a moderator saw it.")
REASON_CHARS = 300
_ACT = "review "
SAID: dict[Verdict, str] = {"post": "it is posted", "reject": "it is not posted"}


def is_asked(conn: Connection, job: Job) -> bool:
    """Whether what this job makes waits for a moderator; a shot goes with its film."""
    return job.film is None and _is_reviewed(conn, job)


def _is_reviewed(conn: Connection, job: Job) -> bool:
    tenant, channel = job.request.requester.tenant, job.request.thread.channel
    place, own = settings.rules_scope(tenant), settings.rules_scope(tenant, channel)
    return is_reviewed(*settings.chosen_both(conn, place, own))


def ask(tx: Tx, job: Job, now: datetime) -> bool:
    """Let the clip be shown to the moderators of its place; False where they have no channel."""
    own = job.request.requester
    channel = settings.chosen(tx.conn, settings.rules_scope(own.tenant)).get("moderators_channel")
    if not channel:
        return False
    there = ThreadRef(adapter=own.adapter, workspace=own.workspace, channel=channel)
    errands.begin(tx, messages.review_key(job.id, job.tries), job.id, "review", there, now)
    return True


def decide(
    tx: Tx, job_id: JobId, verdict: Verdict, *, by: str, now: datetime, reason: str = ""
) -> Job:
    """Let a clip be posted, or never; raises `TooLate` where none waits any more.

    It is paid, and stays paid. The `reason` of a rejection is for its person alone.
    """
    job = jobs.get(tx.conn, job_id)
    if job.state is not JobState.REVIEWING:
        earlier, _ = decision(tx.conn, job_id)
        known = f"was decided already: {SAID[earlier]}" if earlier else "waits for no moderator"
        raise TooLate(f"{job_id} {known}.")
    why = clean(reason, limit=REASON_CHARS) if verdict == "reject" else ""
    detail = ": ".join(filter(None, (job.request.requester.person, why)))
    settings.write_audit(tx, now, actor=by, act=f"{_ACT}{verdict}", target=job_id, detail=detail)
    errands.renew(tx, job_id, now, kind="review")
    if verdict == "post":
        return jobs.move(tx, job, JobState.DELIVERING, now, next_at=now, parked_at=None)
    sentence = f"A moderator looked at your {thing(job.work)} and decided that it is not posted. "
    sentence += f"They say: “{why}” " if why else ""
    sentence += "It was made, so it stays charged."
    failure = Failure(code=WITHHELD, sentence=sentence)
    return ledger.end(tx, job, JobState.FAILED, now, charged=job.cost, failure=failure)


def is_over(conn: Connection, job_id: JobId) -> bool:
    """Whether it was decided about a clip, or its person took it back."""
    job = jobs.get(conn, job_id)
    is_withheld = job.failure is not None and job.failure.code == WITHHELD
    return is_withheld or decision(conn, job_id)[0] is not None


def withdraw(tx: Tx, job: Job, now: datetime) -> Job:
    """Its person takes back what waits for a moderator, so that nobody sees it."""
    errands.renew(tx, job.id, now, kind="review")
    return ledger.end(tx, job, JobState.CANCELLED, now, charged=job.cost, failure=NEVER_LOOKED_AT)


def decision(conn: Connection, job_id: JobId) -> tuple[Verdict | None, str]:
    """What was decided about a clip, and by whom; nothing, by nobody, where it was not."""
    said = settings.last_act(conn, job_id, _ACT)
    if said is None:
        return None, ""
    return next(each for each in SAID if said.act == _ACT + each), said.actor


def is_held_back(conn: Connection, job: Job) -> bool:
    """Whether what was made is for moderators' eyes only, as yet or for good."""
    whole = jobs.get(conn, job.film) if job.film is not None else job
    if whole.state is JobState.REVIEWING:
        return True
    if whole.failure is not None and whole.failure.code == WITHHELD:
        return True
    if job.film is None or whole.state is JobState.DELIVERED:
        return False
    # A film that was let go is no secret, although it could not be posted.
    return _is_reviewed(conn, job) and decision(conn, whole.id)[0] != "post"
