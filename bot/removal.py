"""Takes a clip away from everywhere: its post, the copies of it, the kept file, its images."""

from __future__ import annotations

from contextlib import suppress

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.courier import Courier
from bot.errors import ThreadGone
from bot.job import DELETED, Failure, Job
from bot.planning import Planner
from bot.refs import JobId
from bot.store import errands, jobs, settings, stories
from bot.store.database import Database, Tx
from bot.text import thing


class Removal:
    """Removes clips; whoever asks again after a crash has it all done once more."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        clock: Clock,
        context: BotContext,
        courier: Courier,
    ) -> None:
        self._database = database
        self._planner = planner
        self._clips = clips
        self._clock = clock
        self._context = context
        self._courier = courier

    async def remove(self, job: Job, *, by: str) -> Job:
        """Remove what an ended job made, so that every link to it is dead; `by` is a person.

        The job and what it cost stay; a film goes with its shots. Raises `DeliveryError`s and
        `ClipUnavailable`.
        """
        every = [job]
        if job.is_film:
            every += await self._database.read(lambda conn: stories.every(conn, job.id))
        if not any(each.clip for each in every):
            return job
        # A copy that is just being posted is known first, or it would outlive its clip.
        await self._courier.settle(job.id)
        if job.message is not None:
            with suppress(ThreadGone):
                await self._context.delete_post(job.message)
        for each in every:
            if each.clip is not None:
                await self._clips.delete(each.clip)
            await self._planner.forget_images(each)

        def note(tx: Tx) -> Job:
            gone = [each.id for each in every if each.clip is not None and each.id != job.id]
            for each in gone:
                self._note(tx, each, by)
            return self._note(tx, job.id, by)

        return await self._database.write(note)

    def _note(self, tx: Tx, job_id: JobId, by: str) -> Job:
        job, now = jobs.get(tx.conn, job_id), self._clock.now()
        if is_deleted(job):
            return job
        is_own, owner = job.request.requester.person == by, job.request.requester.person
        if not is_own:
            settings.write_audit(tx, now, actor=by, act="delete", target=job.id, detail=owner)
        who = "the person who asked for it" if is_own else "a moderator"
        failure = Failure(code=DELETED, sentence=f"The {thing(job.work)} was deleted by {who}.")
        errands.renew(tx, job_id, now)
        tx.after_commit(self._courier.wake)
        tx.after_commit(lambda: self._context.announce(job_id))
        return jobs.change(tx, job, clip=None, clip_url=None, failure=failure)


def is_deleted(job: Job) -> bool:
    """Whether what it made was removed."""
    return job.failure is not None and job.failure.code == DELETED
