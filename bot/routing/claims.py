"""A generation that turns up after its job went on without it: still the job's, or nobody's."""

from __future__ import annotations

from datetime import datetime

from bot.job import Job, JobState
from bot.log import get_logger
from bot.ports import Generation
from bot.refs import GenerationId, JobId
from bot.routing.failover import go_back
from bot.store import attempts, jobs, settings
from bot.store.transaction import Tx

log = get_logger(__name__)
#: States in which nobody knows whether the last attempt was taken.
IN_DOUBT = frozenset({JobState.SUBMITTING, JobState.UNCERTAIN})


def claim(tx: Tx, secret_hash: str, generation_id: GenerationId, now: datetime) -> Job | None:
    """Give it to the job whose attempt had this secret; None where that has it, or cannot.

    What no job can have any more is noted for the operator as paid and not delivered.
    """
    attempt = attempts.by_token_hash(tx.conn, secret_hash)
    if attempt is None or attempt.generation_id == generation_id:
        return None
    sent = attempt.submission
    job = jobs.get(tx.conn, sent.job_id)
    is_now = job.state in IN_DOUBT and job.attempt == sent.attempt
    # One taken for absent may turn up after all, while its job waits to be sent again.
    if (is_now or job.state is JobState.ACCEPTED) and (back := go_back(tx, job, attempt.provider)):
        return attempts.adopt(tx, back, generation_id, "adopted", now, attempt=sent.attempt)
    attempts.finish(tx, job.id, sent.attempt, "orphan", generation_id)
    tx.after_commit(lambda: log.warning("callback.orphan", job=job.id, generation=generation_id))
    settings.note_operator(
        tx,
        _key_of(generation_id),
        f"The video service also ran generation {generation_id} for {job.id}, an attempt that was "
        "given up. It was probably paid and was not delivered.",
        now,
        job.id,
    )
    return None


def reclaim(tx: Tx, job: Job, now: datetime) -> Job | None:
    """Give a job whose present attempt came to nothing what an earlier one made after all.

    That turned up while the present one was under way, so nobody could say whose clip is needed.
    """
    attempt = attempts.orphan(tx.conn, job.id)
    if attempt is None or attempt.generation_id in (None, job.generation_id):
        return None
    back = go_back(tx, job, attempt.provider)
    if back is None:
        return None
    generation_id, number = attempt.generation_id, attempt.submission.attempt
    if not settings.withdraw(tx, _key_of(generation_id)):
        sentence = f"Generation {generation_id}, which you heard of as lost, is {job.id}'s."
        settings.note_operator(tx, f"found:{generation_id}", sentence, now, job.id)
    if back.state is JobState.GENERATING:
        back = attempts.put_back(tx, back, now)
    return attempts.adopt(tx, back, generation_id, "adopted", now, attempt=number)


def end(tx: Tx, job_id: JobId, generation: Generation, now: datetime) -> bool:
    """Write that its provider is done with it; False where its job went on without it."""
    job = jobs.get(tx.conn, job_id)
    is_its = job.state is JobState.GENERATING and job.generation_id == generation.id
    if is_its:
        attempts.end(tx, job, generation, now)
    else:
        tell_if_ended(tx, job, generation, now)
    return is_its


def tell_if_ended(tx: Tx, job: Job, generation: Generation, now: datetime) -> None:
    """Note for the operator what is finished after they had ended its job without it."""
    is_finished = generation.state == "completed" and generation.id == job.generation_id
    if is_finished and job.state is JobState.FAILED and job.completed_at is None:
        settings.note_operator(
            tx,
            _key_of(generation.id),
            f"Generation {generation.id} of {job.id}, which was ended without it, is finished "
            "after all. It was probably paid and was not delivered.",
            now,
            job.id,
        )


def _key_of(generation_id: GenerationId) -> str:
    return f"orphan:{generation_id}"
